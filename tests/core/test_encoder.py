# SPDX-License-Identifier: Apache-2.0
"""The compiled encoder writes what the one in Python does, or leaves it to that."""

from __future__ import annotations

import collections
import enum
import json
import math
import shutil
import sysconfig
import tracemalloc
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kafka_notify.core import envelope
from kafka_notify.core.envelope import decode, encode_in_python

if envelope.encode is encode_in_python:
    headers = Path(sysconfig.get_path("include"), "Python.h")
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if headers.exists() and shutil.which(compiler):
        pytest.fail("the encoder was not compiled, though there is a compiler", pytrace=False)
    pytest.skip("no compiler, or Python's headers are not here", allow_module_level=True)

encode_plain = import_module("kafka_notify.core._encoder").encode_plain

# Long enough for the steps of eight bytes, with every kind of byte at any place in them.
texts = st.text(max_size=40) | st.text('ab"\\\n\x00\x1f\x7f\x80é☃😀', max_size=40)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(texts, inner, max_size=4)
    ),
    max_leaves=20,
)
plain_dicts = st.dictionaries(texts.filter(lambda name: name != "_context"), plain, max_size=5)


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    """A text of a kind of its own."""

    __slots__ = ()


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def parsed(value: bytes) -> Any:
    outer = json.loads(value)
    assert list(outer) == ["oslo.version", "oslo.message"]
    return outer["oslo.version"], json.loads(outer["oslo.message"])


@given(message=plain_dicts, context=plain_dicts)
@example(message={}, context={})
@example(message={"f": [0.1, -0.0, 1e16, 1e-7, 5e-324, 1.7976931348623157e308]}, context={})
@example(message={"i": [0, -1, 2**63 - 1, -(2**63)]}, context={"empty": [[], (), {}]})
def test_both_write_the_same(message: dict[str, Any], context: dict[str, Any]) -> None:
    """Values, types, names and their order are those of the encoder in Python."""
    value = encode_plain(message, context)

    assert value is not None
    assert repr(parsed(value)) == repr(parsed(encode_in_python(message, context)))


@pytest.mark.parametrize("before", range(9))
@pytest.mark.parametrize("after", [0, 1, 7, 8, 20])
def test_every_character_at_any_place(before: int, after: int) -> None:
    """Escaping does not depend on where in a text a character stands: bytes are the same."""
    for code in [*range(0x180), 0x2028, 0xFFFF, 0x10FFFF]:
        message = {"payload": "x" * before + chr(code) + "y" * after}
        assert encode_plain(message, {}) == encode_in_python(message, {})


@pytest.mark.parametrize("size", [4000, 4090, 4096, 5000, 900_000])
@pytest.mark.parametrize("character", ["x", '"', "\x01", "é"])
def test_sizes(size: int, character: str) -> None:
    """What is larger than the room at first is written whole."""
    for payload in (character * size, [character * 10] * (size // 10)):
        message = {"payload": payload}
        assert encode_plain(message, {"c": payload}) == encode_in_python(message, {"c": payload})


@pytest.mark.parametrize(
    "odd",
    [
        math.nan,
        math.inf,
        -math.inf,
        2**63,
        -(2**63) - 1,
        10**40,
        "half \ud800",
        {"half \ud800": 1},
        {1: 2},
        {None: 2},
        {Name("key"): 2},
        Name("text"),
        Colour.RED,
        collections.OrderedDict(a=1),
        b"bytes",
        {1, 2},
        object(),
        nested(101),
    ],
    ids=lambda odd: type(odd).__name__,
)
def test_what_is_not_plain_is_left_to_python(odd: Any) -> None:
    """As a whole payload or inside of others, among the fields or in the context."""
    for value in (odd, [odd], (1, odd), {"a": {"b": odd}}):
        assert encode_plain({"payload": value}, {}) is None
        assert encode_plain({}, {"value": value}) is None


@pytest.mark.parametrize(
    "message", [{"_context": {"a": 1}}, collections.OrderedDict(a=1), {1: 2}, [], None]
)
def test_messages_that_are_left_to_python(message: Any) -> None:
    """What is no dict, and what has a context already, which another one replaces."""
    assert encode_plain(message, {}) is None


def test_a_context_among_the_fields_is_replaced() -> None:
    """As ever: the context that was given counts."""
    value = envelope.encode({"priority": "INFO", "_context": {"old": 1}}, {"new": 2})

    assert decode(value).ctxt == {"new": 2}
    assert value.count(b"_context") == 1


def test_what_holds_itself_ends() -> None:
    """There is a bound on depth, not a crash."""
    itself: list[Any] = []
    itself.append(itself)

    assert encode_plain({"payload": itself}, {}) is None


def test_arguments() -> None:
    """Two of them."""
    with pytest.raises(TypeError, match="a message and a context"):
        encode_plain({})  # type: ignore[call-arg]


def test_the_other_function_has_the_rest() -> None:
    """What is not plain it gets as it is; what it returns, or raises, comes back."""
    from kafka_notify.core import _encoder

    class Refused(Exception):
        """Raised by it."""

    def otherwise(message: Any, context: Any) -> bytes:
        if context:
            raise Refused(context)
        given.append(message)
        return b"other"

    given: list[Any] = []
    encode = _encoder.encoder(otherwise)
    odd = {"payload": object()}
    assert encode({"payload": 1}, {}) == encode_plain({"payload": 1}, {})
    assert given == []
    assert encode(odd, {}) == b"other"
    assert given[0] is odd
    with pytest.raises(Refused):
        encode(odd, {"a": 1})
    with pytest.raises(TypeError, match="a message and a context"):
        encode({})  # type: ignore[call-arg]


def test_nothing_is_kept() -> None:
    """No memory stays behind, whatever the outcome."""
    wide = {"payload": ["x" * 100] * 100}
    odd = {"payload": [*["x" * 100] * 100, object()]}
    sizes = []
    tracemalloc.start()
    try:
        for _ in range(2):
            for _ in range(200):
                encode_plain(wide, {"number": 1.5})
                encode_plain(odd, {"half": "\ud800"})
                envelope.encode({"payload": ["x" * 100] * 100 + [(1, {"a": Name("b")})]}, {})
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    assert sizes[1] - sizes[0] < 5000
