# SPDX-License-Identifier: Apache-2.0
"""The reader's thread: clients that get stuck or end, hands that take nothing, forks, the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

import kafka_notify
from kafka_notify.core import events
from kafka_notify.core.message import Record
from kafka_notify.drivers.memory import MemoryCluster
from kafka_notify.drivers.memory_reader import MemoryReader
from kafka_notify.errors import BrokerUnavailable, ConsumerFenced
from kafka_notify.runtime.reader import Reader
from tests.waiting import eventually

WAIT_S = 30.0


class Hands:
    """Takes records; may be told to block."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.missed: list[events.RecordsMissed] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def take(self, records: Sequence[Record]) -> None:
        assert self.go_on.wait(WAIT_S)
        self.records += records

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]


@pytest.fixture
def cluster(unique: str) -> MemoryCluster:
    cluster = MemoryCluster.find(unique)
    cluster.create_topic("t", 1)
    return cluster


@pytest.fixture
def heard() -> list[events.Event]:
    return []


@pytest.fixture
def make(
    unique: str, cluster: MemoryCluster, heard: list[events.Event]
) -> Iterator[Callable[..., Reader]]:
    """Yield a function that returns a reader of the topic ``t``, not started."""
    with ExitStack() as stack:

        def made(hands: Hands, **options: Any) -> Reader:
            query = "&".join(f"{name}={value}" for name, value in options.items())
            transport = stack.enter_context(
                kafka_notify.get_notification_transport(
                    url=f"memory://{unique}/?topic_refresh=0.1&kafka_consumer_timeout=0.1&{query}"
                )
            )
            transport.monitor.subscribe(heard.append)
            return Reader(transport, ["t"], hand_over=hands.take, on_missed=hands.missed.append)

        yield made


def write(cluster: MemoryCluster, *values: bytes) -> None:
    for value in values:
        with cluster.changed:
            cluster.append("t", value, key=b"k", headers=())


def test_a_client_that_leaves_records_lying_is_made_anew(
    cluster: MemoryCluster,
    make: Callable[..., Reader],
    heard: list[events.Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that brings nothing although there is something is replaced, and nothing is missed."""
    stuck = [True]
    take = MemoryReader.take

    def may_be_stuck(self: MemoryReader, limit: int, timeout_s: float) -> list[Record]:
        if not stuck[0]:
            return take(self, limit, timeout_s)
        threading.Event().wait(timeout_s)
        return []

    monkeypatch.setattr(MemoryReader, "take", may_be_stuck)
    hands = Hands()
    reader = make(hands)
    reader.start()
    write(cluster, b"1", b"2")

    def told() -> bool:
        return any(isinstance(one, events.ReaderReopened) for one in heard)

    eventually(told, WAIT_S, "the client to be made anew")
    stuck[0] = False
    eventually(lambda: hands.values == [b"1", b"2"], WAIT_S, "what was left lying")
    reader.stop()


def test_a_client_that_ends_is_made_anew_where_it_was(
    cluster: MemoryCluster,
    make: Callable[..., Reader],
    heard: list[events.Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fatal error costs no record, and repeats none."""
    hands = Hands()
    reader = make(hands)
    reader.start()
    write(cluster, b"1")
    eventually(lambda: hands.values == [b"1"], WAIT_S, "the first")
    take = MemoryReader.take

    def fail(self: MemoryReader, limit: int, timeout_s: float) -> list[Record]:
        monkeypatch.setattr(MemoryReader, "take", take)
        raise ConsumerFenced("for good")

    monkeypatch.setattr(MemoryReader, "take", fail)
    write(cluster, b"2", b"3")
    eventually(lambda: hands.values == [b"1", b"2", b"3"], WAIT_S, "the rest")
    [reopened] = [one for one in heard if isinstance(one, events.ReaderReopened)]
    assert "for good" in str(reopened.error)
    assert list(reader.positions.values()) == [3]
    reader.stop()


def test_an_end_that_is_no_record_makes_no_client_anew_for_ever(
    cluster: MemoryCluster,
    make: Callable[..., Reader],
    heard: list[events.Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The marker at the end of a transaction never comes: one new client, and no more."""
    looks = []
    ends = MemoryReader.end_offsets

    def one_more(self: MemoryReader, partitions: Any, timeout_s: float) -> Any:
        looks.append(1)
        return {where: end + 1 for where, end in ends(self, partitions, timeout_s).items()}

    hands = Hands()
    reader = make(hands)
    reader.start()
    monkeypatch.setattr(MemoryReader, "end_offsets", one_more)
    write(cluster, b"1")
    eventually(lambda: len(looks) > 12, WAIT_S, "a dozen looks")
    assert sum(isinstance(one, events.ReaderReopened) for one in heard) == 1
    assert hands.values == [b"1"]
    reader.stop()


def test_what_was_removed_is_told_before_what_comes_after_it(
    cluster: MemoryCluster, make: Callable[..., Reader]
) -> None:
    """With the offsets that were wanted, and those found."""
    hands = Hands()
    reader = make(hands)
    reader.start()
    cluster.unavailable = True
    with cluster.changed:
        write(cluster, b"0", b"1", b"2")
        cluster.forget("t", 0, 2)
    cluster.unavailable = False
    eventually(lambda: hands.values == [b"2"], WAIT_S, "what is left")
    [missed] = hands.missed
    assert list(missed.expected.values()) == [0]
    assert list(missed.found.values()) == [2]
    reader.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_reader_that_is_stuck_says_so(
    cluster: MemoryCluster, make: Callable[..., Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hands that take nothing, and a thread that has ended; not a Kafka that is away."""
    hands = Hands()
    reader = make(hands, stuck_after=0.1)
    reader.start()
    assert reader.problems() == []
    cluster.unavailable = True
    assert reader.problems() == []
    cluster.unavailable = False
    hands.go_on.clear()
    write(cluster, b"1")
    [problem] = eventually(reader.problems, WAIT_S, "a problem")
    assert "nobody has taken" in problem
    hands.go_on.set()
    eventually(lambda: not reader.problems(), WAIT_S, "the end of the problem")

    def end(_reader: Reader) -> None:
        raise SystemExit

    monkeypatch.setattr(Reader, "_cycle", end)
    [problem] = eventually(reader.problems, WAIT_S, "the thread to end")
    assert "its thread has ended" in problem
    reader.stop()
    assert reader.problems() == []


def test_a_cluster_that_is_away_is_told_at_the_start(
    cluster: MemoryCluster, make: Callable[..., Reader]
) -> None:
    """start() raises, and leaves no thread behind."""
    cluster.unavailable = True
    reader = make(Hands())
    with pytest.raises(BrokerUnavailable):
        reader.start()
    eventually(lambda: not reader.is_alive(), WAIT_S, "the thread to end")
