# SPDX-License-Identifier: Apache-2.0
"""Ids and times as texts: the compiled functions and those in Python write the same."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_notify.core import envelope, stamps

halves = st.integers(min_value=0, max_value=2**64 - 1)


@given(halves, halves)
def test_compiled_or_not_the_same_bits_are_the_same_id(high: int, low: int) -> None:
    """As ``uuid`` makes it of them."""
    expected = str(uuid.UUID(int=high << 64 | low, version=4))
    assert stamps.uuid_text(high, low) == expected
    assert stamps.uuid_text_in_python(high, low) == expected


def test_it_is_compiled_where_the_encoder_is() -> None:
    """One compiler builds both."""
    in_python = stamps.uuid_text is stamps.uuid_text_in_python
    assert in_python == (envelope.encode_plain is None)


@pytest.mark.parametrize("bits", [-1, 2**64])
def test_other_bits_make_no_id(bits: int) -> None:
    """The compiled one says so; the other is never given any."""
    if stamps.uuid_text is stamps.uuid_text_in_python:
        pytest.skip("it was not compiled")
    for halves_of_it in ((bits, 0), (0, bits)):
        with pytest.raises(OverflowError):
            stamps.uuid_text(*halves_of_it)


@pytest.mark.parametrize("write", [stamps.utc_text, stamps.utc_text_in_python])
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
def test_seconds_come_and_go(write: Callable[[int], str], at_ns: int, text: str) -> None:
    """Each has its own text, whichever came before: clocks go back at times."""
    assert write(at_ns) == text


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_compiled_or_not_a_time_is_the_same_text(at_ns: int) -> None:
    """As ``datetime`` shows it, which has microseconds always."""
    since = datetime.timedelta(microseconds=at_ns // 1000)
    moment = datetime.datetime(1970, 1, 1) + since
    expected = moment.isoformat(" ", "microseconds")
    assert stamps.utc_text(at_ns) == stamps.utc_text_in_python(at_ns) == expected
