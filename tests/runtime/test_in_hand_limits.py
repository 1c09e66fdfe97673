# SPDX-License-Identifier: Apache-2.0
"""What a listener has in hand is bounded, and what its partitions' next owner may rely on."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import kafka_notify
from kafka_notify import NotificationResult
from kafka_notify.core import events
from kafka_notify.core.message import Partition
from kafka_notify.drivers.memory_cluster import MemoryCluster
from kafka_notify.errors import CommitUnanswered
from tests.runtime.conftest import Recorder
from tests.runtime.rig import Moody, Rig, committed
from tests.waiting import eventually

BOUND_S = 60.0
FOR_LONG = "requeue_wait=600&requeue_wait_max=600"
MakeRig = Callable[[str], Rig]


class Blocked:
    """An endpoint that holds on to what it gets until it is told to go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.got: list[Any] = []

    def info(self, *arguments: Any) -> None:
        self.got.append(arguments)
        assert self.go_on.wait(3 * BOUND_S)


def publisher_of(partition: int) -> str:
    """Return a publisher whose key the cluster in memory puts there."""
    return next(
        name for name in map(str, range(1000)) if zlib.crc32(name.encode()) % 4 == partition
    )


class Counting:
    """A driver that counts what its consumers are asked for, and may keep commits unanswered."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.takes = 0
        self.unanswered = threading.Event()
        self.stores = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def new_consumer(self, group: str, *, on_problem: Any) -> Any:
        consumer = self._driver.new_consumer(group, on_problem=on_problem)
        take, commit = consumer.take, consumer.commit

        def counted(limit: int, timeout_s: float) -> Any:
            self.takes += 1
            return take(limit, timeout_s)

        def maybe(offsets: Mapping[Partition, int], notes: Any = None) -> None:
            commit(offsets, notes)
            if self.unanswered.is_set():
                raise CommitUnanswered("no answer", retriable=True)

        consumer.take, consumer.commit = counted, maybe
        return consumer


class TestRoom:
    """Back-pressure: what is taken waits for the endpoints, and Kafka keeps the rest."""

    def test_no_more_than_the_window_is_taken(self, policy: str, rig: MakeRig) -> None:
        """With endpoints that hang; and all of it comes when they go on."""
        made = rig(f"dispatch_window=10&commit_policy={policy}")
        blocked = Blocked()
        made.listen(blocked)
        made.send(*range(100))
        eventually(lambda: made.transport.stats()["received"] >= 5, BOUND_S, "some")
        threading.Event().wait(0.3)  # for more than there should be
        assert made.transport.stats()["received"] <= 10
        blocked.go_on.set()
        eventually(lambda: len(blocked.got) == 100, BOUND_S, "all")

    def test_what_is_held_up_is_bounded_as_well(self, rig: MakeRig) -> None:
        """Under after_dispatch ten windows may wait behind a requeued one, and nobody spins."""
        made = rig(f"dispatch_window=4&commit_policy=after_dispatch&{FOR_LONG}")
        driver: Any = Counting(made.transport.driver)
        made.transport.driver = driver
        made.listen(Moody({"again": 1}), allow_requeue=True)
        made.send("again", *range(100))
        eventually(lambda: made.transport.stats()["received"] >= 40, BOUND_S, "what may be held")
        before = driver.takes
        threading.Event().wait(1)
        assert made.transport.stats()["received"] == 40
        assert driver.takes - before <= 50

    def test_what_is_parked_counts_under_before_dispatch(
        self, rig: MakeRig, cluster: MemoryCluster
    ) -> None:
        """It is committed: with it, and what stands behind it, no more than the window."""
        made = rig(f"dispatch_window=10&{FOR_LONG}")
        moody = Moody({"again": 1})
        made.listen(moody, allow_requeue=True)
        made.send("again", *range(50))
        made.send(*range(50), publisher="other")
        eventually(lambda: committed(cluster) >= 6, BOUND_S, "commits")
        threading.Event().wait(0.3)  # for more than there should be
        done = len(moody.got) - 1  # all that was called but the parked one
        assert committed(cluster) - done <= 10

    def test_a_batch_that_fills_beside_one_that_runs(self, policy: str, rig: MakeRig) -> None:
        """Batches larger than the window are not cut: it fits two of them, and no third."""
        made = rig(f"dispatch_window=1&commit_policy={policy}")
        blocked = Blocked()
        made.listen(blocked, batch_size=30, batch_timeout=60)
        for number in range(100):
            made.send(number, publisher=str(number))
        eventually(lambda: len(blocked.got) == 2, BOUND_S, "two batches")
        assert [len(messages) for (messages,) in blocked.got] == [30, 30]
        threading.Event().wait(0.3)  # for more than there should be
        assert made.transport.stats()["received"] == 60
        blocked.go_on.set()

    def test_a_commit_without_an_answer_counts(self, rig: MakeRig, cluster: MemoryCluster) -> None:
        """It may be stored: nothing more is committed, so a crash costs the window at most."""
        made = rig("dispatch_window=10")
        driver: Any = Counting(made.transport.driver)
        made.transport.driver = driver
        blocked = Blocked()
        listener = made.listen(blocked)
        driver.unanswered.set()
        for number in range(100):
            made.send(number, publisher=str(number))
        eventually(lambda: made.of(events.CommitRetried), BOUND_S, "an attempt")
        eventually(lambda: made.of(events.CommitAbandoned), BOUND_S, "a client made anew")
        assert made.transport.stats()["received"] == 0
        told = made.of(events.CommitAbandoned)
        assert all(one.unknown and one.records <= 10 for one in told)
        assert committed(cluster) <= sum(one.records for one in told)
        assert made.transport.stats()["may_be_lost"] >= 1
        driver.unanswered.clear()
        blocked.go_on.set()
        doubtful = sum(one.records for one in made.of(events.CommitAbandoned))
        eventually(lambda: len(blocked.got) + doubtful >= 100, BOUND_S, "all others")
        listener.stop()


class TestGivingUp:
    """Partitions go to another member, or the listener stops."""

    def test_what_is_parked_is_dispatched_first(
        self, rig: MakeRig, cluster: MemoryCluster
    ) -> None:
        """Under before_dispatch it is committed; so the next of its key finds it done."""
        made = rig(FOR_LONG)
        moody, other = Moody({"again": 1}), Recorder()
        made.listen(moody, allow_requeue=True)
        publisher = publisher_of(3)
        made.send("again", "behind", publisher=publisher)
        eventually(lambda: moody.got == ["again"], BOUND_S, "the first call")
        eventually(lambda: committed(cluster) == 2, BOUND_S, "the next of its key in hand")
        made.listen(other)  # takes over half of the partitions, the last one among them
        assert moody.got == ["again", "again", "behind"]
        made.send("next", publisher=publisher)
        other.wait_for(1)
        assert other.payloads == ["next"]
        assert not made.of(events.LeftBehind)

    def test_what_asks_again_and_again_is_waited_for_within_a_bound(self, rig: MakeRig) -> None:
        """Then the partition goes, and it is told; the notification stays parked here."""
        made = rig(f"{FOR_LONG}&drain_timeout=0.3")
        moody = Moody({"again": 2})
        first = made.listen(moody, allow_requeue=True)
        publisher = publisher_of(3)
        made.send("again", publisher=publisher)
        eventually(lambda: moody.got == ["again"], BOUND_S, "the first call")
        made.listen(Recorder())
        eventually(lambda: moody.got == ["again", "again"], BOUND_S, "the second call")
        [told] = made.of(events.LeftBehind)
        assert told.records == 1
        first.stop()
        eventually(lambda: moody.got == ["again", "again", "again"], BOUND_S, "the third")

    def test_under_after_dispatch_the_next_owner_gets_it(
        self, rig: MakeRig, cluster: MemoryCluster
    ) -> None:
        """Nothing waits for what is not committed; nothing of it comes twice, nor is skipped."""
        made = rig(f"{FOR_LONG}&commit_policy=after_dispatch")
        moody, other = Moody({"again": 1}), Recorder()
        made.listen(moody, allow_requeue=True)
        publisher = publisher_of(3)
        made.send("again", "behind", publisher=publisher)
        eventually(lambda: moody.got == ["again"], BOUND_S, "the first call")
        made.listen(other)
        other.wait_for(2)
        assert other.payloads == ["again", "behind"]
        assert moody.got == ["again"]
        eventually(lambda: committed(cluster) == 2, BOUND_S, "the commit")
        assert not made.of(events.ComesAgain)

    @pytest.mark.parametrize("batch", [{}, {"batch_size": 2, "batch_timeout": 0.1}])
    def test_a_stop_with_an_endpoint_that_hangs(
        self, batch: dict[str, Any], policy: str, rig: MakeRig, cluster: MemoryCluster
    ) -> None:
        """It ends within its bound; what is left is told and counted, or read again."""
        made = rig(f"drain_timeout=0.2&commit_policy={policy}")
        blocked = Blocked()
        listener = made.listen(blocked, **batch)
        made.send(1, 2)
        eventually(lambda: blocked.got, BOUND_S, "the call")
        if policy == "before_dispatch":
            eventually(lambda: committed(cluster) == 2, BOUND_S, "the commit")
        listener.stop()
        stats = made.transport.stats()
        if policy == "before_dispatch":
            assert committed(cluster) == 2
            assert [one.records for one in made.of(events.LeftBehind)] == [2]
            assert (stats["may_be_lost"], stats["may_come_again"]) == (2, 0)
        else:
            running = 2 if batch else 1
            assert committed(cluster) == 0
            assert [one.records for one in made.of(events.ComesAgain)] == [running]
            assert (stats["may_be_lost"], stats["may_come_again"]) == (0, running)
            recorder = Recorder()
            made.listen(recorder)
            recorder.wait_for(2)
            assert recorder.payloads == [1, 2]
        blocked.go_on.set()

    def test_an_eviction_is_counted(
        self, policy: str, rig: MakeRig, cluster: MemoryCluster
    ) -> None:
        """What runs meanwhile may be dispatched twice, or else has been committed before."""
        made = rig(f"commit_policy={policy}")
        blocked = Blocked()
        made.listen(blocked)
        made.send(1)
        eventually(lambda: blocked.got, BOUND_S, "the call")
        cluster.expel("pool")
        eventually(lambda: made.transport.stats()["evictions"], BOUND_S, "the eviction")
        blocked.go_on.set()
        calls = 1 if policy == "before_dispatch" else 2
        made.send(2)
        eventually(lambda: len(blocked.got) == calls + 1, BOUND_S, "the next")
        assert made.transport.stats()["may_come_again"] == calls - 1


class TestPolicyOfOneListener:
    """The argument goes before the option."""

    @pytest.mark.parametrize("asked", ["after_dispatch", kafka_notify.CommitPolicy.AFTER_DISPATCH])
    def test_the_argument(self, asked: Any, rig: MakeRig, cluster: MemoryCluster) -> None:
        """Two listeners of one transport, each with its own rule."""
        made = rig("")
        blocked = Blocked()
        made.listen(blocked, commit_policy=asked)
        made.listen(blocked, pool="other")
        made.send(1)
        eventually(lambda: len(blocked.got) == 2, BOUND_S, "both calls")
        assert committed(cluster) == 0
        assert sum(cluster.committed("other").values()) == 1
        blocked.go_on.set()


class TestBatches:
    """Batch listeners under each policy."""

    def test_a_batch_is_committed_as_the_policy_says(
        self, policy: str, rig: MakeRig, cluster: MemoryCluster
    ) -> None:
        """Before its endpoint begins, or when it has ended; as a whole."""
        made = rig(f"commit_policy={policy}")
        blocked = Blocked()
        made.listen(blocked, batch_size=5, batch_timeout=60)
        made.send(*range(5))
        eventually(lambda: blocked.got, BOUND_S, "the call")
        assert committed(cluster) == (5 if policy == "before_dispatch" else 0)
        blocked.go_on.set()
        eventually(lambda: committed(cluster) == 5, BOUND_S, "the commit")

    def test_the_limit_of_a_batch(self, policy: str, rig: MakeRig, cluster: MemoryCluster) -> None:
        """All of its list is dead-lettered, in order; batches of other keys flow meanwhile."""
        made = rig(f"requeue_wait=0.05&requeue_limit=3&commit_policy={policy}")
        calls: list[list[Any]] = []

        class Endpoint:
            def info(self, messages: list[dict[str, Any]]) -> str | None:
                calls.append([message["payload"] for message in messages])
                return NotificationResult.REQUEUE if 1 in calls[-1] else None

        made.listen(Endpoint(), allow_requeue=True, batch_size=2, batch_timeout=60)
        made.send(1, 2)
        eventually(lambda: calls, BOUND_S, "the first batch")
        made.send(3, 4, publisher="other")
        eventually(lambda: len(calls) == 4, BOUND_S, "all calls")
        assert calls.count([1, 2]) == 3
        eventually(lambda: committed(cluster) == 4, BOUND_S, "the commit")
        eventually(lambda: len(cluster.records("t.info.dlq")) == 2, BOUND_S, "the dead letters")
        dead = [record.value for record in cluster.records("t.info.dlq")]
        assert dead == [one.value for one in cluster.records("t.info")[:2]]
