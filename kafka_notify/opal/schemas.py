# SPDX-License-Identifier: Apache-2.0
"""What OPAL 0.9 writes and reads: BroadcastNotification, DataUpdate and their parts.

Made from JSON by ``parse``, written by ``to_json`` as OPAL writes it; fields that are not known
here are kept both ways. Works with pydantic 1, which OPAL needs, and with pydantic 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from kafka_notify.errors import ConfigurationError, MissingExtra

try:
    import pydantic
except ImportError as _error:
    raise MissingExtra("opal", needed_for="OPAL's schemas") from _error

_IS_V1 = pydantic.VERSION.startswith("1.")
_METHODS = ("PUT", "PATCH")
_NEEDS_VALUE = ("add", "replace", "test")

T = TypeVar("T", bound="Schema")


class SchemaError(ConfigurationError):
    """Raised when JSON is not of a schema.

    ``problems`` has a dict for each field that is wrong, as FastAPI answers with 422: ``loc``
    (the way to it), ``msg``, ``type``.
    """

    def __init__(self, name: str, problems: Sequence[Mapping[str, Any]]) -> None:
        shown = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problems)
        super().__init__(f"no {name}: {shown}")
        self.problems = [dict(one) for one in problems]


class Schema(pydantic.BaseModel):
    """Base of the schemas."""

    if _IS_V1:

        class Config:
            """Keep what is not known here."""

            extra = "allow"

    else:
        model_config = pydantic.ConfigDict(extra="allow")

    @classmethod
    def parse(cls: type[T], found: Any) -> T:
        """Return what a JSON text, or a value parsed from one, holds; raise SchemaError."""
        if isinstance(found, (str, bytes)):
            try:
                found = json.loads(found)
            except ValueError as error:
                problem = {"loc": (), "msg": f"not JSON: {error}", "type": "json_invalid"}
                raise SchemaError(cls.__name__, [problem]) from error
        try:
            made = cls.parse_obj(found) if _IS_V1 else cls.model_validate(found)
        except pydantic.ValidationError as error:
            problems = [
                {"loc": one["loc"], "msg": one["msg"], "type": one["type"]}
                for one in error.errors()
            ]
            raise SchemaError(cls.__name__, problems) from error
        problems = made._problems()
        if problems:
            raise SchemaError(cls.__name__, problems)
        return made  # type: ignore[no-any-return,unused-ignore]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON's values, in OPAL's order of fields."""
        found: dict[str, Any] = (
            self.dict(by_alias=True) if _IS_V1 else self.model_dump(mode="json", by_alias=True)
        )
        return found

    def to_json(self) -> str:
        """Return it as the text that OPAL writes."""
        return json.dumps(self.to_dict())

    def _problems(self) -> list[dict[str, Any]]:
        """Return what is wrong beyond the types of the fields."""
        return []


class DataSourceEntry(Schema):
    """Where clients get a piece of data, and where they store it; ``data`` may be inline."""

    url: str
    config: dict[str, Any] | None = None
    topics: list[str] = ["policy_data"]
    dst_path: str = ""
    save_method: str = "PUT"
    data: list[Any] | dict[str, Any] | None = None

    def _problems(self) -> list[dict[str, Any]]:
        if self.data is None:
            return []
        if self.save_method not in _METHODS:
            return [_wrong("save_method", f"{self.save_method!r} is neither PUT nor PATCH")]
        if self.save_method == "PATCH" and not _is_json_patch(self.data):
            return [_wrong("data", "with PATCH it is a list of JSON patch operations (RFC 6902)")]
        return []


class UpdateCallback(Schema):
    """Whom clients tell how an update went: URLs, or pairs of a URL and how to call it."""

    callbacks: list[str | tuple[str, dict[str, Any]]]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON's values; a pair is a list there."""
        return dict(_listed(super().to_dict()))


class DataUpdate(Schema):
    """An update that clients make: entries, why, and whom to tell."""

    id: str | None = None
    entries: list[DataSourceEntry]
    reason: str | None = None
    callback: UpdateCallback = UpdateCallback(callbacks=[])

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON's values, in OPAL's order of fields."""
        return dict(_listed(super().to_dict()))

    def _problems(self) -> list[dict[str, Any]]:
        return [
            {**problem, "loc": ("entries", number, *problem["loc"])}
            for number, entry in enumerate(self.entries)
            for problem in entry._problems()
        ]


class BroadcastNotification(Schema):
    """An event of the backbone: who says it, OPAL's topics, and what; often a DataUpdate."""

    notifier_id: str
    topics: list[str]
    data: Any = None

    def update(self) -> DataUpdate:
        """Return its data as a DataUpdate; raise SchemaError if it is none."""
        return DataUpdate.parse(self.data)


class DataSourceConfig(Schema):
    """From where clients get the whole of their data at first: ``GET /data/config``."""

    entries: list[DataSourceEntry] = []


def _wrong(field: str, message: str) -> dict[str, Any]:
    return {"loc": (field,), "msg": message, "type": "value_error"}


def _is_json_patch(data: Any) -> bool:
    return isinstance(data, list) and all(
        isinstance(one, dict)
        and isinstance(one.get("op"), str)
        and isinstance(one.get("path"), str)
        and (one["op"] not in _NEEDS_VALUE or "value" in one)
        for one in data
    )


def _listed(value: Any) -> Any:
    """Return the value with lists for tuples, which JSON has none of."""
    if isinstance(value, dict):
        return {key: _listed(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_listed(each) for each in value]
    return value
