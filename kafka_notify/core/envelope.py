# SPDX-License-Identifier: Apache-2.0
"""Notification to record value and back: the wire format of oslo.messaging's Kafka driver.

``{"oslo.version": "2.0", "oslo.message": "<the notification as JSON text>"}``, UTF-8. Both of
upstream's formats (``messaging`` and ``messagingv2``) look like this over Kafka; notifications
without the envelope, from old fleets, are read too.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from kafka_notify.core.message import Notification
from kafka_notify.core.primitive import to_primitive
from kafka_notify.errors import SerializationError, UndecodableRecord

_VERSION = "oslo.version"
_MESSAGE = "oslo.message"
_OUR_VERSION = "2.0"
# Datetimes go through to_primitive, which writes them as oslo.serialization does.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_DEEPEST = 200


def encode(message: dict[str, Any], ctxt: dict[str, Any]) -> bytes:
    """Return the record value of a notification's fields and its context.

    Raises SerializationError that names the path of what JSON cannot hold.
    """
    whole = {**message, "_context": ctxt}
    try:
        inner = orjson.dumps(whole, to_primitive, _OPTIONS)
    except (TypeError, ValueError):
        inner = _encode_odd_keys(whole)
    if b"null" in inner:
        _refuse_silent_null(message, ctxt)
    return orjson.dumps({_VERSION: _OUR_VERSION, _MESSAGE: inner.decode()})


def _encode_odd_keys(whole: dict[str, Any]) -> bytes:
    """Encode keys that are numbers as the texts that JSON makes of them, as upstream does."""
    try:
        return orjson.dumps(whole, to_primitive, _OPTIONS | orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError) as error:
        path, problem = _find_culprit(whole)
        raise SerializationError(
            f"notification {whole.get('event_type')!r}: {path or 'a value'} {problem or error}",
            path=path,
        ) from error


def decode(value: bytes | None) -> Notification:
    """Return the notification in a record's value.

    Raises UndecodableRecord that says why; the caller names topic, partition and offset.
    """
    if value is None:
        raise UndecodableRecord("a tombstone (no value)")
    outer = _loads(value)
    if not isinstance(outer, dict):
        raise UndecodableRecord(f"a JSON {type(outer).__name__}, not an object")
    message = _unwrap(outer)
    ctxt = message.get("_context")
    priority = message.get("priority")
    if not isinstance(priority, str):
        raise UndecodableRecord("no notification: it has no priority")
    return Notification(
        priority.lower(),
        message.get("publisher_id"),
        message.get("event_type"),
        message.get("payload"),
        ctxt if isinstance(ctxt, dict) else {},
        message.get("message_id"),
        message.get("timestamp"),
    )


def _unwrap(outer: dict[str, Any]) -> dict[str, Any]:
    if _MESSAGE not in outer:
        return outer
    version = outer.get(_VERSION)
    if not isinstance(version, str) or version.partition(".")[0] != "2":
        raise UndecodableRecord(f"an envelope of version {version!r}, known is 2.x")
    text = outer[_MESSAGE]
    if not isinstance(text, str):
        raise UndecodableRecord("an envelope whose oslo.message is not a text")
    message = _loads(text)
    if not isinstance(message, dict):
        raise UndecodableRecord(f"an envelope around a JSON {type(message).__name__}")
    return message


def _loads(text: str | bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as strict:
        # Python's own json, which upstream writes with, also writes NaN and Infinity.
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise UndecodableRecord(f"not JSON: {strict}") from strict


def _refuse_silent_null(message: dict[str, Any], ctxt: dict[str, Any]) -> None:
    """Raise for NaN and infinities, which orjson writes as null without a word."""
    path = _find_not_finite(message, "") or _find_not_finite(ctxt, "/ctxt")
    if path:
        raise SerializationError(
            f"notification {message.get('event_type')!r}: {path[1:]} is NaN or infinite, "
            "which JSON cannot hold",
            path=path[1:],
        )


def _find_not_finite(value: Any, path: str) -> str:
    if isinstance(value, float):
        return "" if math.isfinite(value) else path
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return ""
    for name, part in items:
        if isinstance(part, (float, dict, list, tuple)):
            found = _find_not_finite(part, f"{path}/{name}")
            if found:
                return found
    return ""


def _find_culprit(value: Any, path: str = "", depth: int = 0) -> tuple[str, str]:
    """Return the path of the first thing that JSON cannot hold, and what is wrong with it."""
    if depth > _DEEPEST:
        return path, f"is nested deeper than {_DEEPEST} levels, or holds itself"
    if isinstance(value, dict):
        for name, part in value.items():
            if not isinstance(name, (str, int, float, type(None))):
                return path or "the top", f"has the key {name!r}; JSON's keys are strings"
            found = _find_culprit(part, f"{path}/{name}" if path else str(name), depth + 1)
            if found[1]:
                return found
        return "", ""
    if isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            found = _find_culprit(part, f"{path}/{number}", depth + 1)
            if found[1]:
                return found
        return "", ""
    return path, _scalar_problem(value)


def _scalar_problem(value: Any) -> str:
    try:
        orjson.dumps(value, to_primitive, _OPTIONS)
    except (TypeError, ValueError) as error:
        return f"({type(value).__name__}) cannot be written as JSON: {error}"
    return ""
