# SPDX-License-Identifier: Apache-2.0
"""The time that notifications carry."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_notify.runtime import timestamp


def test_now() -> None:
    """In UTC, to the microsecond, as oslo.messaging writes it."""
    before = time.time()
    text = timestamp.utc_now()
    read = datetime.datetime.strptime(f"{text}+0000", "%Y-%m-%d %H:%M:%S.%f%z").timestamp()
    assert before - 1e-6 <= read <= time.time()


@pytest.mark.parametrize("write", [timestamp.utc_text, timestamp.utc_text_in_python])
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
    assert timestamp.utc_text(at_ns) == timestamp.utc_text_in_python(at_ns) == expected
