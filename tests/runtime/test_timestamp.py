# SPDX-License-Identifier: Apache-2.0
"""The time that notifications carry."""

from __future__ import annotations

import datetime
import time

import pytest

from kafka_notify.runtime import timestamp


def test_now() -> None:
    """In UTC, to the microsecond, as oslo.messaging writes it."""
    before = time.time()
    text = timestamp.utc_now()
    read = datetime.datetime.strptime(f"{text}+0000", "%Y-%m-%d %H:%M:%S.%f%z").timestamp()
    assert before - 1e-6 <= read <= time.time()


@pytest.mark.parametrize(
    ("at_ns", "text"),
    [
        (0, "1970-01-01 00:00:00.000000"),
        (1_795_700_000_000_001_999, "2026-11-26 13:33:20.000001"),
        (1_795_700_000_999_999_999, "2026-11-26 13:33:20.999999"),
        (1_795_700_001_000_000_000, "2026-11-26 13:33:21.000000"),
        (1_795_699_999_500_000_000, "2026-11-26 13:33:19.500000"),
    ],
)
def test_seconds_come_and_go(monkeypatch: pytest.MonkeyPatch, at_ns: int, text: str) -> None:
    """Each has its own text, whichever came before: clocks go back at times."""
    monkeypatch.setattr(timestamp, "time_ns", lambda: at_ns)
    assert timestamp.utc_now() == text
