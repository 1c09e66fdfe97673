# SPDX-License-Identifier: Apache-2.0
"""Ids and times as texts: the compiled functions and those in Python write the same."""

from __future__ import annotations

import datetime
import os
import time
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_notify.core import envelope
from kafka_notify.runtime import stamps

each_message_id = pytest.mark.parametrize(
    "message_id", [stamps.message_id, stamps.message_id_in_python]
)
each_timestamp = pytest.mark.parametrize(
    "timestamp", [stamps.timestamp, stamps.timestamp_in_python]
)
halves = st.integers(min_value=0, max_value=2**64 - 1)


@each_message_id
def test_an_id_is_a_random_uuid(message_id: Callable[..., str]) -> None:
    """As ``uuid.uuid4`` makes and shows them; none comes twice."""
    texts = [message_id() for _ in range(100_000)]
    assert len(set(texts)) == len(texts)
    for text in texts[:1000]:
        read = uuid.UUID(text)
        assert (read.version, read.variant, str(read)) == (4, uuid.RFC_4122, text)


@each_message_id
def test_every_random_bit_is_one_at_times(message_id: Callable[..., str]) -> None:
    """And a zero at other times, about half of them each."""
    ids = [uuid.UUID(message_id()).int for _ in range(4000)]
    ones = [sum(one >> place & 1 for one in ids) for place in range(128)]
    fixed = {62: 0, 63: 4000, 76: 0, 77: 0, 78: 4000, 79: 0}
    assert {place: ones[place] for place in fixed} == fixed
    assert all(1600 < ones[place] < 2400 for place in range(128) if place not in fixed)


def test_a_child_of_fork_has_ids_of_its_own() -> None:
    """It does not go on where its parent was."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writing, stamps.message_id().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.read() != stamps.message_id()


@given(halves, halves)
def test_compiled_or_not_the_same_bits_are_the_same_id(high: int, low: int) -> None:
    """As ``uuid`` makes it of them."""
    expected = str(uuid.UUID(int=high << 64 | low, version=4))
    assert stamps.message_id(high, low) == expected
    assert stamps.message_id_in_python(high, low) == expected


def test_it_is_compiled_where_the_encoder_is() -> None:
    """One compiler builds both."""
    in_python = stamps.message_id is stamps.message_id_in_python
    assert in_python == (envelope.encode is envelope.encode_in_python)


@pytest.mark.parametrize("bits", [-1, 2**64])
def test_other_bits_make_no_id(bits: int) -> None:
    """The compiled one says so; the other is never given any."""
    if stamps.message_id is stamps.message_id_in_python:
        pytest.skip("it was not compiled")
    for halves_of_it in ((bits, 0), (0, bits)):
        with pytest.raises(OverflowError):
            stamps.message_id(*halves_of_it)


def test_what_makes_no_seed() -> None:
    """Ids never begin at less than all of their bits."""
    if stamps.message_id is stamps.message_id_in_python:
        pytest.skip("it was not compiled")
    from kafka_notify.runtime import _stamps

    for bits in (b"", b"x" * 31, b"x" * 33):
        with pytest.raises(ValueError, match="32 bytes"):
            _stamps.seed(bits)


def test_an_id_of_half_of_its_bits() -> None:
    """There is none: both numbers are given, or neither."""
    for write in (stamps.message_id, stamps.message_id_in_python):
        with pytest.raises((TypeError, ValueError)):
            write(1)


@each_timestamp
def test_now(timestamp: Callable[..., str]) -> None:
    """In UTC, to the microsecond, as oslo.messaging writes it."""
    before = time.time()
    text = timestamp()
    read = datetime.datetime.strptime(f"{text}+0000", "%Y-%m-%d %H:%M:%S.%f%z").timestamp()
    assert before - 1e-6 <= read <= time.time()


@each_timestamp
@pytest.mark.parametrize(
    ("at_ns", "text"),
    [
        (0, "1970-01-01 00:00:00.000000"),
        (-1, "1969-12-31 23:59:59.999999"),
        (951_782_399_000_000_000, "2000-02-28 23:59:59.000000"),
        (951_782_400_000_000_000, "2000-02-29 00:00:00.000000"),
        (2**63 - 1, "2262-04-11 23:47:16.854775"),
        (-(2**63), "1677-09-21 00:12:43.145224"),
        (1_795_700_000_000_001_999, "2026-11-26 13:33:20.000001"),
        (1_795_700_000_999_999_999, "2026-11-26 13:33:20.999999"),
        (1_795_700_001_000_000_000, "2026-11-26 13:33:21.000000"),
        (1_795_699_999_500_000_000, "2026-11-26 13:33:19.500000"),
    ],
)
def test_seconds_come_and_go(timestamp: Callable[[int], str], at_ns: int, text: str) -> None:
    """Each has its own text, whichever came before: clocks go back at times."""
    assert timestamp(at_ns) == text


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_compiled_or_not_a_time_is_the_same_text(at_ns: int) -> None:
    """As ``datetime`` shows it, which has microseconds always."""
    since = datetime.timedelta(microseconds=at_ns // 1000)
    moment = datetime.datetime(1970, 1, 1) + since
    expected = moment.isoformat(" ", "microseconds")
    assert stamps.timestamp(at_ns) == stamps.timestamp_in_python(at_ns) == expected
