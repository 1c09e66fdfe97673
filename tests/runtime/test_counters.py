# SPDX-License-Identifier: Apache-2.0
"""The counts: exact, whoever adds to them at the same time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from kafka_notify.runtime.counters import NAMES, Counters

BOUND_S = 30.0


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads change as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_nothing_is_miscounted() -> None:
    """By many threads at a time, and by those that come after them; what they counted stays."""
    counters = Counters()

    def count() -> None:
        for _ in range(2000):
            counters.add("sent")
            counters.count_sent()
            counters.add("dispatched", 2)
            counters.count_dispatched()

    for _ in range(3):
        threads = [threading.Thread(target=count) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(BOUND_S)
    found = counters.snapshot()
    assert found == dict.fromkeys(NAMES, 0) | {"sent": 96_000, "dispatched": 144_000}


def test_counts_begin_anew_in_a_child() -> None:
    """They are the parent's."""
    counters = Counters()
    counters.add("sent")
    counters.count_sent()
    counters.count_dispatched()
    counters.after_fork_in_child()
    assert counters.snapshot() == dict.fromkeys(NAMES, 0)


def test_unknown_names() -> None:
    """Nothing is counted under a name that nobody would find."""
    with pytest.raises(KeyError):
        Counters().add("sendt")
