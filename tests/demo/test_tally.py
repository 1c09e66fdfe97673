# SPDX-License-Identifier: Apache-2.0
"""The demo's books find everything that can go wrong on the way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_notify.demo.tally import Tally, percentile

POOLS = {"billing": ("b1", "b2"), "audit": ("a1",)}


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Books:
    """A tally on which five notifications are sent, ids '0' to '4', by publishers p and q."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.tally = Tally(POOLS, clock=self.clock)
        for number in range(5):
            self.tally.send(
                str(number),
                publisher_id="pq"[number % 2],
                payload={"number": number},
                timed=number > 0,
            )

    def receive(self, *numbers: int, listener: str = "b1", payload: object = None) -> None:
        pool = "audit" if listener == "a1" else "billing"
        for number in numbers:
            intact = {"number": number}
            self.tally.receive(
                str(number), pool=pool, listener=listener, payload=payload or intact
            )

    def verdict(self, pool: str = "billing") -> str:
        return str(self.tally.verdicts()[pool])


def test_all_once_in_order_is_well() -> None:
    """Two listeners share a pool's notifications in any way; publishers are independent."""
    books = Books()
    books.receive(1, 0, 2)
    books.receive(3, 4, listener="b2")
    books.receive(0, 1, 2, 3, 4, listener="a1")

    verdicts = books.tally.verdicts()

    assert all(verdict.ok for verdict in verdicts.values())
    assert [str(verdict) for verdict in verdicts.values()] == ["ok"] * 2
    assert books.tally.arrived() == {"billing": 5, "audit": 5}


def test_a_lost_notification_is_found() -> None:
    """What was sent and never came is lost, in the pool that misses it."""
    books = Books()
    books.receive(0, 1, 2, 3)
    books.receive(0, 1, 2, 3, 4, listener="a1")

    assert books.verdict() == "1 lost"
    assert not books.tally.verdicts()["billing"].ok
    assert books.tally.verdicts()["audit"].ok


def test_a_repeated_notification_is_found() -> None:
    """Also if the two listeners of a pool got one each."""
    books = Books()
    books.receive(0, 1, 2, 3, 4)
    books.receive(4, listener="b2")

    assert books.verdict() == "1 repeated"


def test_a_changed_payload_is_found() -> None:
    """What arrives has to equal what was sent."""
    books = Books()
    books.receive(0, 1, 2, 3)
    books.receive(4, payload={"number": 5})

    assert books.verdict() == "1 changed"


def test_a_broken_order_is_found() -> None:
    """A publisher's notification that comes after a later one of the same publisher."""
    books = Books()
    books.receive(2, 0, 1, 3, 4)

    assert books.verdict() == "1 out of order"


def test_notifications_of_others_do_not_count() -> None:
    """Somebody else may use the same topic."""
    books = Books()
    books.receive(0, 1, 2, 3, 4, 77)

    assert books.tally.verdicts()["billing"].ok


def test_latencies_are_per_listener_and_pool_without_the_warm_up() -> None:
    """Untimed notifications count as received and not for the latency."""
    books = Books()
    books.clock.now_s = 50.0
    books.receive(0)
    books.clock.now_s = 0.001
    books.receive(1, 2)
    books.clock.now_s = 0.003
    books.receive(3, 4, listener="b2")

    whole, first, second, audit, _ = books.tally.scores()

    assert (whole.listener, whole.received) == ("all", 5)
    assert whole.p50_ms == pytest.approx(1.0)
    assert whole.p99_ms == pytest.approx(3.0)
    assert (first.listener, first.received) == ("b1", 3)
    assert first.p99_ms == pytest.approx(1.0)
    assert (second.listener, second.received) == ("b2", 2)
    assert second.p50_ms == pytest.approx(3.0)
    assert audit.received == 0
    assert math.isnan(audit.p50_ms)


@given(
    st.lists(st.floats(0, 1e6), min_size=1),
    st.floats(0, 1, exclude_min=True),
)
def test_percentile_is_the_nearest_rank(values: list[float], share: float) -> None:
    """At least that share is at most the percentile, and it is one of the values."""
    found = percentile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
