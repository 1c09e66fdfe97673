# SPDX-License-Identifier: Apache-2.0
"""The wire format: upstream's, without loss, and faults that cost one record only."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kafka_notify.core.envelope import decode, encode
from kafka_notify.core.message import Notification
from kafka_notify.errors import SerializationError, UndecodableRecord

MESSAGE: dict[str, Any] = {
    "message_id": "5c329c20-d435-444c-8fa2-e1b54592219c",
    "publisher_id": "compute.host1",
    "event_type": "compute.instance.update",
    "priority": "INFO",
    "payload": {"state": "active", "none": None},
    "timestamp": "2026-11-22 11:16:32.270352",
}
CTXT = {"user_id": "u", "request_id": "req-1"}

# Half surrogate pairs are legal in JSON and in Python, though not in UTF-8.
texts = st.text(max_size=8) | st.just("\ud800")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def with_payload(payload: Any) -> dict[str, Any]:
    return {**MESSAGE, "payload": payload}


def exactly(value: Any) -> str:
    """Return a text that differs wherever values differ, in type as well."""
    return json.dumps(value)


@given(json_values)
@example({"big": 2**64, "bigger": [-(10**40)], "float": 1e300, "half": "\ud800"})
@example({"1": 18446744073709551615, "2": -9223372036854775808, "3": 1e19, "4": 1e16})
def test_payloads_survive(payload: Any) -> None:
    """Whatever JSON can hold arrives as it was sent, in value and type."""
    notification = decode(encode(with_payload(payload), CTXT))

    assert exactly(notification.payload) == exactly(payload)


def test_all_fields_survive() -> None:
    """A notification arrives whole; its priority in small letters."""
    assert decode(encode(MESSAGE, CTXT)) == Notification(
        "info",
        MESSAGE["publisher_id"],
        MESSAGE["event_type"],
        MESSAGE["payload"],
        CTXT,
        MESSAGE["message_id"],
        MESSAGE["timestamp"],
    )


def test_the_wire() -> None:
    """The record's value is UTF-8 JSON of an envelope, whose message is JSON text again."""
    outer = json.loads(encode(MESSAGE, CTXT).decode("utf-8"))

    assert outer.keys() == {"oslo.version", "oslo.message"}
    assert outer["oslo.version"] == "2.0"
    assert json.loads(outer["oslo.message"]) == {**MESSAGE, "_context": CTXT}


def test_the_callers_values_stay() -> None:
    """Encoding changes nothing that it is given."""
    message, ctxt = dict(MESSAGE), dict(CTXT)

    encode(message, ctxt)

    assert (message, ctxt) == (MESSAGE, CTXT)


@dataclasses.dataclass
class Data:
    value: object


def test_odd_keys() -> None:
    """Keys that are numbers, or None, become the texts that Python's json writes."""
    odd = {1: "a", 1.5: "b", None: "d", 1e16: "e", 2**70: "f"}

    assert decode(encode(with_payload(odd), {})).payload == json.loads(json.dumps(odd))


def test_iterators_are_read_once() -> None:
    """An iterator arrives whole, also where something else in the payload is odd."""
    for odd in ({1: "x"}, {"big": 2**70}, {"half": "\ud800"}):
        payload = {"items": map(str, [1, 2]), **odd}
        assert decode(encode(with_payload(payload), {})).payload["items"] == ["1", "2"]


Cycle: list[Any] = []
Cycle.append(Cycle)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("payload", "path", "problem"),
    [
        (object(), "payload", "object"),
        ({"a": [1, {"b": object()}]}, "payload/a/1/b", "object"),
        ({"a": len}, "payload/a", "builtin_function"),
        ({"a": b"\xff"}, "payload/a", "bytes"),
        ({"a": 1j}, "payload/a", "complex"),
        ({(1, 2): "x"}, "payload", "key"),
        ({"a": {datetime.date(2026, 1, 1): "x"}}, "payload/a", "key"),
        ({"a": math.nan}, "payload/a", "NaN"),
        ({"a": [0.5, -math.inf]}, "payload/a/1", "infinite"),
        ({"a": {math.nan}}, "payload/a", "NaN"),
        ({"a": collections.deque([math.inf])}, "payload/a", "infinite"),
        ({"a": Data(math.nan)}, "payload/a", "NaN"),
        ({"a": map(float, ["nan"])}, "payload/a", "NaN"),
        ({1: math.nan}, "payload/1", "NaN"),
        ({"big": 2**70, "a": math.nan}, "payload/a", "NaN"),
        ({"a": {object()}}, "payload/a", "object"),
        ({"a": Data(object())}, "payload/a", "object"),
        ({"a": Cycle}, "payload/a", "holds itself"),
        ({"a": deep(100_000)}, "payload/a", "nested deeper"),
    ],
    ids=lambda value: str(type(value).__name__) if not isinstance(value, str) else value,
)
def test_what_json_cannot_hold(payload: Any, path: str, problem: str) -> None:
    """The error names the notification, the path to the culprit, and what is wrong with it."""
    with pytest.raises(SerializationError, match=problem) as caught:
        encode(with_payload(payload), {})

    assert caught.value.path.startswith(path)
    assert path in str(caught.value)
    assert "compute.instance.update" in str(caught.value)


def test_context_that_json_cannot_hold() -> None:
    """The context has a path as well."""
    for wrong in (object(), math.nan):
        with pytest.raises(SerializationError) as caught:
            encode(MESSAGE, {"roles": [wrong]})
        assert caught.value.path == "ctxt/roles/0"


def test_deep_payloads() -> None:
    """A payload as deep as the encoder takes arrives; a limit of ours does not cut it off."""
    for levels in (10, 200):
        assert decode(encode(with_payload(deep(levels)), {})).payload == deep(levels)
    for levels in (500, 1000):  # of others, deeper than Python's own recursion may go
        text = f'{{"priority":"info","payload":{"[" * levels}{"]" * levels}}}'
        payload = decode(
            json.dumps({"oslo.version": "2.0", "oslo.message": text}).encode()
        ).payload
        for _ in range(levels - 1):
            [payload] = payload
        assert payload == []


@given(st.binary())
@example(b"")
@example(b"null")
@example(b"[]")
@example(b'"text"')
@example(b"\xff\xfe")
@example(b"{}")
@example(b'{"priority": 3}')
@example(b'{"oslo.message": "{}"}')
@example(b'{"oslo.version": "2.0", "oslo.message": {}}')
@example(b'{"oslo.version": "2.0", "oslo.message": "[]"}')
@example(b'{"oslo.version": "2.0", "oslo.message": "{"}')
@example(b'{"oslo.version": "1.0", "oslo.message": "{}"}')
@example(b'{"oslo.version": 2, "oslo.message": "{}"}')
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"1" * 100_000)
@example(b'{"oslo.version": "2.0", "oslo.message": "' + b"[" * 100_000 + b'"}')
@example(b'{"priority":"info","payload":"\xed\xa0\x80"}')
def test_any_bytes_decode_or_are_undecodable(value: bytes) -> None:
    """No bytes lead to anything but a notification or an UndecodableRecord that says why."""
    try:
        notification = decode(value)
    except UndecodableRecord as error:
        assert str(error)  # noqa: PT017 - most bytes are none, not all
    else:
        assert isinstance(notification.priority, str)
        assert isinstance(notification.ctxt, dict)


@given(
    st.dictionaries(
        st.sampled_from(["oslo.version", "oslo.message", "priority", "payload", "_context", "x"]),
        json_values | st.sampled_from(["2.0", '{"priority":"INFO"}', "{}"]),
    )
)
def test_any_object_decodes_or_is_undecodable(outer: dict[str, Any]) -> None:
    """The same holds for JSON objects of every kind."""
    try:
        notification = decode(json.dumps(outer).encode())
    except UndecodableRecord:
        return

    assert notification.priority == notification.priority.lower()


def test_tombstones() -> None:
    """A record without a value is no notification."""
    with pytest.raises(UndecodableRecord, match="tombstone"):
        decode(None)


def test_notifications_without_an_envelope() -> None:
    """Plain notifications of old fleets are read."""
    plain = {**MESSAGE, "_context": CTXT}

    assert decode(json.dumps(plain).encode()) == decode(encode(MESSAGE, CTXT))


@pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "1" * 40])
@pytest.mark.parametrize("enveloped", [True, False])
def test_large_numbers_are_exact(number: str, enveloped: bool) -> None:
    """Integers beyond 64 bits are not rounded, whoever wrote them, and in whichever field."""
    text = f'{{"priority":"info","message_id":{number},"payload":[{number}]}}'
    value = json.dumps({"oslo.version": "2.0", "oslo.message": text}) if enveloped else text

    notification = decode(value.encode())

    assert notification.message_id == int(number)
    assert notification.payload == [int(number)]


def test_numbers_that_no_python_reads() -> None:
    """One of more digits than Python turns into an integer makes its record undecodable."""
    with pytest.raises(UndecodableRecord, match="digits"):
        decode(b'{"priority":"info","payload":%b}' % (b"1" * 5000))


def test_an_envelope_is_not_taken_for_a_plain_notification() -> None:
    """Whatever else stands beside the message of an envelope, its version counts."""
    with pytest.raises(UndecodableRecord, match=r"version '3\.0'"):
        decode(b'{"oslo.version":"3.0","oslo.message":"{}","priority":"info","payload":1}')


def test_the_last_of_two_fields_of_one_name_counts() -> None:
    """As for Python's json; a key may be spelled with escapes."""
    notification = decode(b'{"priority":3,"payload":1,"p\\u0061yload":2,"priority":"info"}')

    assert (notification.priority, notification.payload) == ("info", 2)


def test_missing_fields() -> None:
    """What an old sender left out is None, and its context empty."""
    assert decode(b'{"priority": "Error", "_context": null}') == Notification(
        "error", None, None, None, {}, None, None
    )


def test_what_python_writes_beyond_json() -> None:
    """NaN, half surrogate pairs and numbers beyond a float's are read, as by Python's json."""
    payload = decode(b'{"priority":"info","payload":[NaN,-Infinity,"\\ud800",1e400]}').payload

    assert math.isnan(payload[0])
    assert payload[1:] == [-math.inf, "\ud800", math.inf]


@pytest.mark.parametrize("version", ["2", "2.0", "2.7"])
def test_versions_that_are_read(version: str) -> None:
    """Every 2.x envelope is read."""
    outer = {"oslo.version": version, "oslo.message": json.dumps(MESSAGE)}

    assert decode(json.dumps(outer).encode()).priority == "info"


@pytest.mark.functional
@given(payload=json_values)
@example(payload={1: "x", None: 2.5, "when": datetime.datetime(2026, 1, 2), "s": {3}})
def test_upstream_reads_ours(payload: Any) -> None:
    """Upstream's deserialize_msg makes of ours what it makes of its own."""
    common = pytest.importorskip("oslo_messaging._drivers.common")
    jsonutils = pytest.importorskip("oslo_serialization.jsonutils")
    whole = {**with_payload(payload), "_context": CTXT}
    theirs = jsonutils.loads(jsonutils.dumps(common.serialize_msg(whole)))

    ours = jsonutils.loads(encode(with_payload(payload), CTXT))

    assert exactly(common.deserialize_msg(ours)) == exactly(common.deserialize_msg(theirs))
    assert ours.keys() == theirs.keys()
    assert ours["oslo.version"] == theirs["oslo.version"]


@pytest.mark.functional
@given(payload=json_values)
def test_we_read_upstreams(payload: Any) -> None:
    """What upstream's serialize_msg writes is read as what was sent."""
    common = pytest.importorskip("oslo_messaging._drivers.common")
    jsonutils = pytest.importorskip("oslo_serialization.jsonutils")
    whole = {**with_payload(payload), "_context": CTXT}

    value = jsonutils.dumps(common.serialize_msg(whole)).encode()

    assert exactly(decode(value).payload) == exactly(payload)
    assert decode(value).ctxt == CTXT


def test_orjson_alone_reads_what_is_plain() -> None:
    """A plain notification is plain JSON, for readers that are no Python."""
    outer = orjson.loads(encode(MESSAGE, CTXT))

    assert orjson.loads(outer["oslo.message"])["payload"] == MESSAGE["payload"]
