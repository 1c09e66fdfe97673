# SPDX-License-Identifier: Apache-2.0
"""The compiled decoder reads what the one in Python does, as that does, or leaves it to that."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kafka_notify.core import envelope
from kafka_notify.core.envelope import decode_in_python, encode, encode_in_python
from kafka_notify.core.message import PRIORITIES
from kafka_notify.core.wire import read_whole
from kafka_notify.errors import UndecodableRecord

if envelope.decode_plain is None:  # test_encoder fails where there is a compiler
    pytest.skip("no compiler, or Python's headers are not here", allow_module_level=True)

decode_plain = envelope.decode_plain

# Long enough for the steps of eight bytes, with every kind of byte at any place in them.
texts = st.text(max_size=40) | st.text('ab"\\/\n\x00\x1f\x7f\x80é☃😀', max_size=40)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=1 - 10**18, max_value=10**18 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
odd = st.recursive(
    st.integers() | st.floats() | texts | st.just("\ud800") | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
contexts = st.dictionaries(texts, plain, max_size=3)
priorities = st.sampled_from([*PRIORITIES, "INFO", "Warn", "iNFo"])


def fields_of(payload: Any, context: Any = None, priority: str = "INFO") -> dict[str, Any]:
    """Return the fields of a notification in upstream's order."""
    return {
        "message_id": "5c329c20-d435-444c-8fa2-e1b54592219c",
        "publisher_id": "compute.host1",
        "event_type": "compute.instance.update",
        "priority": priority,
        "payload": payload,
        "timestamp": "2026-11-22 11:16:32.270352",
        "_context": context,
    }


def around(text: str) -> bytes:
    """Return the record value around a notification as JSON text, as ours writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{{"oslo.version":"2.0","oslo.message":"{escaped}"}}'.encode("utf-8", "surrogatepass")


def with_payload(text: str) -> bytes:
    """Return a record value whose payload is this JSON text."""
    return around(f'{{"priority":"info","payload":{text}}}')


def by_ours(fields: dict[str, Any]) -> bytes:
    fields = dict(fields)
    context = fields.pop("_context")
    return encode(fields, context)


def by_ours_in_python(fields: dict[str, Any]) -> bytes:
    fields = dict(fields)
    context = fields.pop("_context")
    return encode_in_python(fields, context)


def by_upstream(fields: dict[str, Any], **options: Any) -> bytes:
    outer = {"oslo.version": "2.0", "oslo.message": json.dumps(fields, **options)}
    return json.dumps(outer, **options).encode("utf-8", "surrogatepass")


def by_upstream_in_utf_8(fields: dict[str, Any]) -> bytes:
    return by_upstream(fields, ensure_ascii=False)


def by_upstream_indented(fields: dict[str, Any]) -> bytes:
    return by_upstream(fields, indent=2)


def by_upstream_backwards(fields: dict[str, Any]) -> bytes:
    outer = {"oslo.message": json.dumps(fields), "oslo.version": "2.0"}
    return b"\r\n " + json.dumps(outer, indent="\t").encode() + b"\n"


def outcome(read: Callable[[bytes], Any], value: bytes) -> str:
    """Return a text that differs wherever notifications do, in types as well, or errors."""
    try:
        return repr(read(value))
    except UndecodableRecord as error:
        return str(error)


def read_the_same(value: bytes) -> bool:
    """Assert that both read the same; return whether the compiled one did so alone."""
    expected = outcome(decode_in_python, value)
    fields = decode_plain(value)
    assert fields is None or repr(tuple(fields)) == repr(tuple(decode_in_python(value)))
    assert outcome(envelope.decode, value) == expected
    return fields is not None


@pytest.mark.parametrize("write", [by_ours, by_ours_in_python, by_upstream, by_upstream_in_utf_8])
@given(payload=plain, context=contexts, priority=priorities)
@example(
    payload=[0.1, -0.0, 1e16, 1e-7, 5e-324, 1.7976931348623157e308], context={}, priority="INFO"
)
@example(payload=[0, -1, 10**18 - 1, 1 - 10**18, True, False, None], context={}, priority="INFO")
def test_what_is_plain_is_read_at_once(
    write: Callable[[dict[str, Any]], bytes], payload: Any, context: Any, priority: str
) -> None:
    """Values, types, names and their order are those of the decoder in Python."""
    assert read_the_same(write(fields_of(payload, context, priority)))


@pytest.mark.parametrize("write", [by_upstream, by_upstream_indented, by_upstream_backwards])
@given(payload=odd, context=odd)
def test_whatever_upstream_writes_is_read_the_same(
    write: Callable[[dict[str, Any]], bytes], payload: Any, context: Any
) -> None:
    """NaN, large numbers, half surrogate pairs; a context that is none; other white space."""
    read_the_same(write(fields_of(payload, context)))


VALUES = [
    by_ours(fields_of({"a": [1, -2.5e-7, None, True, {"é": 'x"\\\n'}]}, {"user": "u"})),
    by_upstream(fields_of({"a": [1, 2.5, False, [], {}], "é😀": "\x00☃\\\\"}, {"user": "u"})),
    by_upstream_backwards(fields_of('\\"/' * 9, {})),
]
PIECES = [
    *(b'"', b"\\", b'\\"', b"\\\\", b'\\\\\\"', b"\\\\\\\\", b"\\\\u00e9", b"\\\\ud83d"),
    *(b"\\\\ude00", b"\\n", b"\\u0041", b"\x00", b"\x1f", b"\xff", b"\xc3", b"\xed\xa0\x80"),
    *(b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"null", b"nul", b"NaN", b"-", b"+", b"."),
    *(b"0", b"7", b"e9", b"1e999", b"9" * 20, b'\\"payload\\":', b'\\"priority\\":3,', b"x" * 70),
]


@pytest.mark.parametrize("value", VALUES)
def test_values_that_are_cut(value: bytes) -> None:
    """At each place, at the end or at the beginning, or where one byte is missing."""
    assert read_the_same(value)
    for at in range(len(value)):
        read_the_same(value[:at])
        read_the_same(value[at:])
        read_the_same(value[:at] + value[at + 1 :])


@pytest.mark.parametrize("piece", PIECES)
def test_something_else_at_each_place(piece: bytes) -> None:
    """Between two bytes, and instead of some."""
    value = with_payload('{"a":[1,-2.5e7,"x\\"\\u00e9é\\ud83d\\ude00"],"b":null}')
    assert read_the_same(value)
    for at in range(len(value)):
        read_the_same(value[:at] + piece + value[at:])
        read_the_same(value[:at] + piece + value[at + len(piece) :])


@given(st.data())
def test_values_that_are_changed(data: st.DataObject) -> None:
    """Several changes at once, of any bytes."""
    value = bytearray(data.draw(st.sampled_from(VALUES)))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(value)))
        end = data.draw(st.integers(start, min(start + 9, len(value))))
        value[start:end] = data.draw(st.sampled_from(PIECES) | st.binary(max_size=3))
        read_the_same(bytes(value))


@given(st.binary())
@example(b"")
@example(b"{")
@example(b'{"oslo.version":"2.0","oslo.message":"' + b"[" * 100_000)
@example(b'{"oslo.version":"2.0","oslo.message":"' + b'{\\"a\\":' * 100_000)
def test_any_bytes(value: bytes) -> None:
    """No bytes lead to anything but what they do in Python."""
    read_the_same(value)


@pytest.mark.parametrize("before", range(9))
@pytest.mark.parametrize("after", [0, 1, 7, 8, 20])
def test_every_character_at_any_place(before: int, after: int) -> None:
    """Where in a text a character stands does not matter, however it is spelled."""
    for code in [*range(0x180), 0x2028, 0xFFFF, 0x10FFFF]:
        text = "x" * before + chr(code) + "y" * after
        for write in (by_ours, by_upstream):
            value = write(fields_of({text: text}, {}))
            assert read_the_same(value), value


@pytest.mark.parametrize("size", [*range(34), 63, 64, 65, 511, 512, 513, 1024, 100_000])
@pytest.mark.parametrize("character", ["x", "é", "😀", '"', "\n", "\x01"])
def test_sizes(size: int, character: str) -> None:
    """Names and texts of any length, with escapes and without."""
    text = character * size
    for write in (by_ours, by_upstream):
        assert read_the_same(write(fields_of({text: text, "x" + text: "y" + text}, {})))


@pytest.mark.parametrize(
    "text",
    [
        *("-0", "0", "-0.0", "0e5", "1E5", "1e+5", "1e-5", "1.5E+300", "1e-400", "0.1e1"),
        *("9007199254740993.0", "0." + "3" * 400, "9" * 18, "-" + "9" * 18, "1" * 300 + "e-290"),
        *("[ ]", "{ }", "[1 , 2]", '{ "a" : 1 , "" : 2 }', '{"a":1,"b":2,"a":3}'),
        *('"\\/\\b\\f\\n\\r\\t\\\\\\""', '"\\u00E9\\u00e9\\ud83d\\ude00\\u0000"', '"\x7f"'),
        *('{"p\\u0061yload":1}', "[" * 99 + "]" * 99, '{"a":' * 99 + "1" + "}" * 99),
        *('1,"priority":"WARN"', '1,"pay\\u006coad":2', '1,"x":{"y":[1]},"é":0'),
        *('1,"_context":[]', '1,"_context":{"a":1},"_context":null', '1,"message_id":{}'),
    ],
)
def test_odd_things_that_are_plain(text: str) -> None:
    """They are read at once, too."""
    assert read_the_same(with_payload(text))
    assert read_the_same(with_payload(f" {text} "))


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "+1", "01", "-01", "1.", ".5", "1.e5", "1e", "1e+", "0x1", "1_0", "--1", "1-"),
        *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 400 + ".0", "nul", "True"),
        *("1" * 19, "-" + "1" * 19, str(2**63), str(2**64), "1" * 40, "1" * 5000),
        *("[1,]", "[,1]", "[1 2]", "[1", "]", '{"a":1,}', '{"a"}', '{"a":}', "{1:2}", "{,}"),
        *('"\\ud800"', '"\\ude00\\ud83d"', '"\\ud83d\\u0041"', '"\\ud83dx"', '"\\x"', '"\\u12"'),
        *('"\n"', '"\0"', '"\t"', '"\ud800"', '"', '"\\"', '{"\ud800":1}', "1\n", "\t1", "1\0"),
        *("[" * 100 + "]" * 100, "[" * 5000 + "]" * 5000, "1}", '1},{"a":1', "'a'", "1 /**/"),
        *('1,"priority":"x"', '1,"priority":null', '1,"priority":"info\\u0000"', '1,"\ud800":1'),
        *(
            '1,"priority":"\u0131nfo"',
            '1,"priority":"critical "',
            '1,"priority":["info"]',
            '1,"x":"\n"',
        ),
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_what_is_not_plain_is_left_to_python(text: str) -> None:
    """As the payload, and after it; nothing is said about why."""
    assert not read_the_same(with_payload(text))


MINIMAL = b'"{\\"priority\\":\\"info\\"}"'


@pytest.mark.parametrize(
    ("value", "is_plain"),
    [
        (b'{"oslo.version":"2.0","oslo.message":%b}', True),
        (b' {\t"oslo.message"\r: %b ,\n"oslo.version" :"2.0" }\n', True),
        (b'{"oslo.version":"2.0","oslo.message":%b}x', False),
        (b'{"oslo.version":"2.0","oslo.message":%b}\0', False),
        (b'{"oslo.version":"2.0","oslo.message":%b,}', False),
        (b'{"oslo.version":"2.0","oslo.message":%b,"x":1}', False),
        (b'{"oslo.version":"2.0","oslo.version":"2.0","oslo.message":%b}', False),
        (b'{"oslo.version":"2.0","oslo.message":%b,"oslo.message":"{}"}', False),
        (b'{"oslo.version""oslo.message":%b,"oslo.version":"2.0"}', False),
        (b'{"oslo.version":"2.1","oslo.message":%b}', False),
        (b'{"oslo.version":"3.0","oslo.message":%b}', False),
        (b'{"oslo.version":2.0,"oslo.message":%b}', False),
        (b'{"oslo\\u002eversion":"2.0","oslo.message":%b}', False),
        (b'{"oslo.message":%b}', False),
    ],
)
def test_envelopes(value: bytes, is_plain: bool) -> None:
    """Version and message in either order, and nothing else, are plain."""
    assert read_the_same(value % MINIMAL) == is_plain


@pytest.mark.parametrize(
    "value",
    [
        b'{"oslo.version":"2.0","oslo.message":"{}"}',
        b'{"oslo.version":"2.0","oslo.message":"{\\"priority\\":\\"info\\"}\\n"}',
        b'{"oslo.version":"2.0","oslo.message":"{\\"priority\\"\\u003a\\"info\\"}"}',
        b'{"oslo.version":"2.0","oslo.message":"[1]"}',
        b'{"oslo.version":"2.0","oslo.message":{"priority":"info"}}',
        b'{"oslo.version":"2.0"}',
        b'{"priority":"info","payload":1}',
    ],
)
def test_messages_that_are_left_to_python(value: bytes) -> None:
    """Without a priority, with escapes of the envelope's own, or without an envelope."""
    assert not read_the_same(value)


def test_only_bytes_are_read() -> None:
    """What may change while it is read is left to Python."""
    value = VALUES[0]

    assert decode_plain(bytearray(value)) is None
    assert decode_plain(memoryview(value)) is None
    assert decode_plain(value.decode()) is None
    assert envelope.decode(bytearray(value)) == envelope.decode(value)  # type: ignore[arg-type]


def test_other_readers_get_their_text() -> None:
    """What need not read payloads is asked to, of all that is not read as quickly as it is."""
    given_to_it = []

    def read(text: str | bytes) -> Any:
        given_to_it.append(text)
        return read_whole(text)

    large = by_ours(fields_of({"text": "x" * 5000}, {}))
    for value in (VALUES[0], large):
        assert envelope.decode(value, read) == envelope.decode(value)
    assert given_to_it == [json.loads(large)["oslo.message"]]


def test_names_and_texts_that_take_the_places_of_others() -> None:
    """More than are kept; in an order that changes."""
    for turn in range(3):
        for start in range(0, 9000, 30):
            numbers = range(start + turn, start + 30)
            payload = {f"name {number}": str(number % 977) for number in numbers}
            fields = decode_plain(by_ours(fields_of(payload, {})))
            assert fields is not None
            assert fields[3] == payload


def test_nothing_is_kept() -> None:
    """No memory stays behind, whatever the outcome, but for names and short texts."""
    whole = by_upstream(fields_of([{"n": ["x" * 100, "\n" * 600, 1.5, 10**9]}] * 5, {"a": {}}))
    values = [whole[:at] for at in range(0, len(whole) + 1, 97)]
    values += [whole, whole + b" x", whole.replace(b"1.5", b"1e999"), whole.replace(b"x", b"\xff")]
    values += [around('{"priority":[1.5],"priority":{"a":1.5},"payload":[],"payload":{"b":2}}')]
    sizes = []
    tracemalloc.start()
    try:
        for _ in range(2):
            for value in values * 10:
                decode_plain(value)
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    assert sizes[1] - sizes[0] < 5000


def test_references_are_balanced() -> None:
    """Of what is shared between notifications, which tracemalloc does not tell."""
    value = by_ours(fields_of({"a name": "a text", "n": None, "t": [True, False, 1]}, {}))
    found = decode_plain(value)
    assert found is not None
    name, text = next(iter(found[3].items()))
    shared = (name, text, found[0], None, True, False, 1)
    before = [sys.getrefcount(one) for one in shared]

    for _ in range(1000):
        decode_plain(value)
        decode_plain(value[:-3])
        decode_plain(value + b"x")

    after = [sys.getrefcount(one) for one in shared]
    assert all(abs(new - old) < 100 for old, new in zip(before, after, strict=True))
