# SPDX-License-Identifier: Apache-2.0
"""The record key: which notifications are kept in order, one after the other.

Option ``record_key``. Sender and listener both use it: the sender for the record's key, the
listener for lanes of records that came without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_notify.errors import ConfigurationError

_FIELDS = ("publisher_id", "event_type")
_NAMED = ("none", *_FIELDS)
_ROOTS = ("payload", "context")


class RecordKey:
    """The rule that an option's text spells.

    Raises ConfigurationError for a text that is neither a name nor a path.
    """

    __slots__ = ("_field", "_path")

    def __init__(self, text: str) -> None:
        root, *path = text.split("/")
        self._field = text if text in _FIELDS else None
        self._path: tuple[str, ...] = ()
        if text in _NAMED:
            return
        if root not in _ROOTS or not path or not all(path):
            raise ConfigurationError(
                f"option record_key: {text!r} is unknown; take {', '.join(_NAMED)}, or a path "
                "such as payload/instance_id or context/project_id"
            )
        self._path = (root, *path)

    def of(self, message: Mapping[str, Any], ctxt: Any) -> bytes | None:
        """Return the key of one notification, by its fields and context; None for no order."""
        if self._field is not None:
            value: Any = message.get(self._field)
        elif not self._path:
            return None
        else:
            value = self._walk({"payload": message.get("payload"), "context": ctxt})
            if value is None:
                value = message.get("publisher_id")
        if value is None:
            return None
        try:
            return str(value).encode()
        except UnicodeEncodeError:
            # Half a surrogate pair, which JSON can spell, has no UTF-8 form of its own.
            return str(value).encode(errors="backslashreplace")

    def _walk(self, value: Any) -> Any:
        for name in self._path:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value if isinstance(value, (str, int)) else None
