# SPDX-License-Identifier: Apache-2.0
"""Which notifications an endpoint wants: regular expressions on their fields, as upstream's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kafka_notify.errors import ConfigurationError

_Patterns = dict[str, re.Pattern[str]]


def _compile(pattern: str, what: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
        compiled.match("")  # an expression for bytes fails here, not in a listener's thread
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise ConfigurationError(
            f"NotificationFilter: {what} {pattern!r} is no regular expression: {error}"
        ) from error
    return compiled


def _compile_all(patterns: Mapping[str, str] | None, what: str) -> _Patterns:
    return {
        name: _compile(pattern, f"{what}[{name!r}]") for name, pattern in (patterns or {}).items()
    }


class NotificationFilter:
    """Let through the notifications whose fields match every given expression.

    ``publisher_id`` and ``event_type`` are expressions, ``context``, ``metadata`` and ``payload``
    map a field's name to one. An expression matches at the start of the text (``re.match``); a
    field that is missing or no text does not match. Where no endpoint of a listener looks at
    ``payload``, the payloads of what nobody wants are not read. Threads: any.

    Raises ConfigurationError for a malformed expression.
    """

    def __init__(
        self,
        context: Mapping[str, str] | None = None,
        publisher_id: str | None = None,
        event_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        payload: Mapping[str, str] | None = None,
    ) -> None:
        self._publisher_id = (
            None if publisher_id is None else _compile(publisher_id, "publisher_id")
        )
        self._event_type = None if event_type is None else _compile(event_type, "event_type")
        self._context = _compile_all(context, "context")
        self._metadata = _compile_all(metadata, "metadata")
        self._payload = _compile_all(payload, "payload")

    def match(
        self, context: Any, publisher_id: Any, event_type: Any, metadata: Any, payload: Any
    ) -> bool:
        """Tell whether a notification passes. The arguments' order is upstream's."""
        # Looked at one by one: most filters have one expression, and there may be hundreds.
        return (
            (self._publisher_id is None or _matches(self._publisher_id, publisher_id))
            and (self._event_type is None or _matches(self._event_type, event_type))
            and (not self._context or _all_match(self._context, context))
            and (not self._metadata or _all_match(self._metadata, metadata))
            and (not self._payload or _all_match(self._payload, payload))
        )

    @property
    def needs_payload(self) -> bool:
        """Whether what it tells depends on the payload."""
        return bool(self._payload)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.match(value) is not None


def _all_match(patterns: _Patterns, fields: Any) -> bool:
    if not isinstance(fields, Mapping):
        return False
    return all(
        name in fields and _matches(pattern, fields[name]) for name, pattern in patterns.items()
    )
