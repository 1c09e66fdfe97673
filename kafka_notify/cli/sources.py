# SPDX-License-Identifier: Apache-2.0
"""Notifications that the user wrote, as arguments or JSON lines: parsed and checked.

Knows no Kafka.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from kafka_notify.core.message import PRIORITIES
from kafka_notify.errors import ConfigurationError

_TEXTS = ("priority", "publisher_id", "event_type")
_FIELDS = frozenset((*_TEXTS, "payload", "ctxt"))
_IGNORED = frozenset(("metadata",))  # what listen writes; a new notification gets its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A notification to send; ``line`` is its line in the source, 0 for one from arguments."""

    line: int = 0
    priority: str
    publisher_id: str
    event_type: str
    payload: Any
    ctxt: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What stands in for fields that a line leaves out; None where a line must have it."""

    priority: str
    publisher_id: str
    event_type: str | None


class BadLine(ConfigurationError):
    """Raised, or yielded, for a line that is no notification; says which and why."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"line {number}: {problem}")


def parse_payload(text: str) -> Any:
    """Return the payload that an argument spells in JSON, or raise ConfigurationError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(
            f"--payload {text!r} is not JSON: {error}; a text needs double quotes of its own, "
            "--payload '\"text\"'"
        ) from error


def read_drafts(lines: Iterable[bytes], defaults: Defaults) -> Iterator[Draft | BadLine]:
    """Yield for each line its notification or what is wrong with it; blank lines count only."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _draft(number, line, defaults)
            except ValueError as error:
                yield BadLine(number, str(error))


def _draft(number: int, line: bytes, defaults: Defaults) -> Draft:
    """Return one line's notification, or raise ValueError with what is wrong."""
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"a JSON object is needed, this is {_kind(fields)}")
    unknown = sorted(fields.keys() - _FIELDS - _IGNORED)
    if unknown:
        raise ValueError(
            f"unknown field {unknown[0]!r}; known are {', '.join((*_TEXTS, 'payload', 'ctxt'))}"
        )
    texts = {name: _text(fields, name, getattr(defaults, name)) for name in _TEXTS}
    texts["priority"] = texts["priority"].lower()
    if texts["priority"] not in PRIORITIES:
        raise ValueError(
            f"priority {fields['priority']!r} is unknown; known are {', '.join(PRIORITIES)}"
        )
    if "payload" not in fields:
        raise ValueError("it has no payload")
    ctxt = fields.get("ctxt")
    if ctxt is not None and not isinstance(ctxt, dict):
        raise ValueError(f"ctxt must be a JSON object, this is {_kind(ctxt)}")
    return Draft(line=number, **texts, payload=fields["payload"], ctxt=ctxt or {})


def _text(fields: dict[str, Any], name: str, default: str | None) -> str:
    value = fields.get(name, default)
    if value is None:
        argument = f"--{name.replace('_', '-')}"
        raise ValueError(f"it has no {name}; give one there, or {argument} for all such lines")
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a text that is not empty, this is {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {dict: "an object", list: "a list", bool: "a truth value", str: "a text"}
    if value == "":
        return "an empty text"
    return names.get(type(value), "a number")
