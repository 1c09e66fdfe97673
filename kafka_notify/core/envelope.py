# SPDX-License-Identifier: Apache-2.0
"""Notification to record value and back: the wire format of oslo.messaging's Kafka driver.

``{"oslo.version": "2.0", "oslo.message": "<the notification as JSON text>"}``, UTF-8. Both of
upstream's formats (``messaging`` and ``messagingv2``) look like this over Kafka; notifications
without the envelope, from old fleets, are read too.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import orjson

from kafka_notify.core.message import PRIORITIES, Notification
from kafka_notify.core.primitive import to_primitive
from kafka_notify.core.wire import REFUSALS, Read, Whole, read_whole
from kafka_notify.errors import SerializationError, UndecodableRecord

_VERSION = "oslo.version"
_MESSAGE = "oslo.message"
_OUR_VERSION = "2.0"
# Datetimes go through to_primitive, which writes them as oslo.serialization does.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_DEEPEST = 200
_QUICKLY_READ = 4096  # bytes: compiled, to read all of it takes no longer than to leave out a part
_NOT_FINITE = "is NaN or infinite, which JSON cannot hold"
_wrap = msgspec.json.Encoder().encode  # of one long text: a tenth quicker than orjson
_flatten = msgspec.msgpack.Encoder().encode
_INFINITY = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")  # see _may_hold_infinity


def encode_in_python(message: Mapping[str, Any], ctxt: dict[str, Any]) -> bytes:
    """Do what ``encode`` does: for what is not plain, and where nothing was compiled."""
    whole = {**message, "_context": ctxt}
    try:
        text = _encode_plain(whole, None)
    except (TypeError, ValueError):
        text = _encode_odd(whole)
    return _wrap({_VERSION: _OUR_VERSION, _MESSAGE: text})


decode_plain: Callable[[bytes], tuple[Any, ...] | None] | None
encode: Callable[[Mapping[str, Any], dict[str, Any]], bytes]
"""Return the record value of a notification's fields and its context.

Raises SerializationError that names the path of what JSON cannot hold.
"""
try:
    from kafka_notify.core import _decoder, _encoder
except ImportError:  # it was installed without a compiler
    decode_plain, encode = None, encode_in_python
else:
    decode_plain, encode = _decoder.decode_plain, _encoder.encoder(encode_in_python)


def _encode_plain(whole: dict[str, Any], default: _Primitives | None) -> str:
    """Encode what orjson can, with ``default`` other types too; raises TypeError, ValueError."""
    inner = orjson.dumps(whole, default, _OPTIONS)
    # orjson writes NaN and the infinities as null, without a word.
    if b"null" in inner and _may_hold_infinity(whole) and not _is_finite(whole):
        raise ValueError(_NOT_FINITE)
    return inner.decode()


def _encode_odd(whole: dict[str, Any]) -> str:
    """Encode other types, too, and at last what orjson does not.

    That is keys that are no texts, large numbers and half surrogate pairs: Python's json, which
    upstream writes with, does.
    """
    default = _Primitives()
    try:
        return _encode_plain(whole, default)
    except (TypeError, ValueError):
        pass
    try:
        return json.dumps(whole, default=default, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        fields = {("ctxt" if name == "_context" else name): whole[name] for name in whole}
        path, problem = _find_culprit(fields, default)
        raise SerializationError(
            f"notification {whole.get('event_type')!r}: {path or 'a value'} {problem or error}",
            path=path,
        ) from error


class _Primitives:
    """``to_primitive`` for one notification, whose encoding may take more than one attempt.

    It remembers what iterators gave, since they give it only once, and finds NaN inside of what
    it returns, since only orjson sees that.
    """

    def __init__(self) -> None:
        self._read: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: Any) -> Any:
        if hasattr(value, "__next__"):
            # The iterator is kept, too: its id is its own only as long as it lives.
            if id(value) not in self._read:
                self._read[id(value)] = (value, to_primitive(value))
            primitive = self._read[id(value)][1]
        else:
            primitive = to_primitive(value)
        if not _is_finite(primitive):
            raise ValueError(_NOT_FINITE)
        return primitive


def decode(value: bytes | None, read: Read = read_whole) -> Notification:
    """Return the notification in a record's value, of which ``read`` may read the JSON text.

    Raises UndecodableRecord that says why; the caller names topic, partition and offset.
    """
    if value is None:
        raise UndecodableRecord("a tombstone (no value)")
    if decode_plain is not None and (read is read_whole or len(value) <= _QUICKLY_READ):
        fields = decode_plain(value)
        if fields is not None:
            # In half the time of Notification(*fields).
            return tuple.__new__(Notification, fields)
    return decode_in_python(value, read)


def decode_in_python(value: bytes, read: Read = read_whole) -> Notification:
    """Do what ``decode`` does: for what is not plain, and where nothing was compiled."""
    try:
        outer = orjson.loads(value)
        if _MESSAGE not in outer:
            found = read(value)  # once more: orjson rounds large numbers
        elif outer[_VERSION] == _OUR_VERSION:
            found = read(outer[_MESSAGE])
        else:
            found = _read_unusual(value)
    except (*REFUSALS, LookupError):
        found = _read_unusual(value)
    priority = found.priority.lower()
    if priority not in PRIORITIES:
        raise UndecodableRecord(f"no notification: its priority is {priority!r}")
    ctxt = found.context
    fields = (
        priority,
        found.publisher_id,
        found.event_type,
        found.payload,
        ctxt if isinstance(ctxt, dict) else {},
        found.message_id,
        found.timestamp,
    )
    return tuple.__new__(Notification, fields)


def message_id_of(value: bytes | None) -> str | None:
    """Return the message_id in a record's value, None if it has none that can be read."""
    try:
        return decode(value).message_id
    except UndecodableRecord:
        return None


def _read_unusual(value: bytes) -> Whole:
    """Read, slowly, what the quick way refuses: other versions of 2.x, and what is no JSON.

    Raises UndecodableRecord for what is no notification.
    """
    outer = _loads(value)
    if not isinstance(outer, dict):
        raise UndecodableRecord(f"a JSON {type(outer).__name__}, not an object")
    message = _unwrap(outer)
    priority = message.get("priority")
    if not isinstance(priority, str):
        raise UndecodableRecord("no notification: it has no priority")
    return Whole(
        priority,
        message.get("publisher_id"),
        message.get("event_type"),
        message.get("_context"),
        message.get("message_id"),
        message.get("timestamp"),
        message.get("payload"),
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
    """Read what Python's json reads, which upstream writes with: NaN, half surrogate pairs."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        try:
            return orjson.loads(text)  # which reads what is nested too deep for Python
        except ValueError:
            raise UndecodableRecord(f"not JSON: {error}") from error


def _may_hold_infinity(whole: dict[str, Any]) -> bool:
    """Tell, quickly, whether a float in it may be NaN or infinite: true at times where none is.

    MessagePack has a float as 0xcb and eight bytes, the first two of which are then all ones in
    their exponent. Few payloads hold such a first byte at all; walking through a notification
    takes five times as long.
    """
    try:
        flat = _flatten(whole)
    except (TypeError, ValueError, OverflowError, RecursionError):  # it has no form for it
        return True
    return (b"\x7f" in flat or b"\xff" in flat) and _INFINITY.search(flat) is not None


def _is_finite(value: Any) -> bool:
    """Tell whether no float in plain dicts, lists and tuples is NaN or infinite."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return True
    for part in value:
        if isinstance(part, (float, dict, list, tuple)) and not _is_finite(part):
            return False
    return True


def _find_culprit(
    value: Any, default: _Primitives, *, path: str = "", depth: int = 0
) -> tuple[str, str]:
    """Return the path of the first thing that JSON cannot hold, and what is wrong with it."""
    if depth > _DEEPEST:
        start = "/".join(path.split("/")[:4])
        return start, f"is nested deeper than {_DEEPEST} levels, or holds itself"
    if isinstance(value, dict):
        parts: Any = value.items()
    elif isinstance(value, (list, tuple)):
        parts = enumerate(value)
    else:
        return path, _problem_of(value, default)
    for name, part in parts:
        if not isinstance(name, (str, int, float, type(None))):
            return path or "the top", f"has the key {name!r}; JSON's keys are strings"
        found = _find_culprit(
            part, default, path=f"{path}/{name}" if path else str(name), depth=depth + 1
        )
        if found[1]:
            return found
    return "", ""


def _problem_of(value: Any, default: _Primitives) -> str:
    if not _is_finite(value):
        return _NOT_FINITE
    try:
        json.dumps(value, default=default, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return f"({type(value).__name__}) cannot be written as JSON: {error}"
    return ""
