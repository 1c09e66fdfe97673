# SPDX-License-Identifier: Apache-2.0
"""The memory driver's switches: what a user's test can do to its cluster."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from kafka_notify.core.message import Partition
from kafka_notify.core.settings import Settings
from kafka_notify.core.url import parse_url
from kafka_notify.drivers.base import load_driver
from kafka_notify.drivers.memory import MemoryCluster
from kafka_notify.errors import (
    BrokerRefused,
    BrokerUnavailable,
    CommitFailed,
    ConsumerFenced,
    DeliveryRefused,
    DeliveryTimeout,
    InvalidTransportURL,
    SendBufferFull,
)
from tests.drivers.bench import TIMEOUT_S, Bench, refused_protocol, take_until


@pytest.fixture
def cluster(unique: str) -> MemoryCluster:
    return MemoryCluster.find(unique)


@pytest.fixture
def bench(unique: str) -> Iterator[Bench]:
    opened = Bench(f"memory://{unique}/?send_buffer_records=3&delivery_timeout=5")
    yield opened
    opened.close()


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- the cluster


def test_a_name_is_one_cluster_as_long_as_somebody_holds_it(unique: str) -> None:
    """find() gives the drivers' cluster; when all let go, its records are gone."""
    bench = Bench(f"memory://{unique}/")
    bench.send("t", [b"x"])
    assert [record.value for record in MemoryCluster.find(unique).records("t")] == [b"x"]
    bench.close()
    del bench
    gc.collect()
    assert MemoryCluster.find(unique).records("t") == []


@pytest.mark.parametrize("url", ["memory://a:1/", "memory://a,b/", "memory://u@a/"])
def test_url_is_a_name_and_nothing_else(url: str) -> None:
    """Ports, several hosts and users are refused."""
    with pytest.raises(InvalidTransportURL, match="memory://name/"):
        load_driver(parse_url(url), Settings())


def test_state_is_shown(bench: Bench, cluster: MemoryCluster) -> None:
    """The repr tells name, state and how many records each topic has."""
    bench.send("t", [b"x", b"y"])
    cluster.unavailable = True
    assert repr(cluster) == f"<MemoryCluster memory://{cluster.name} unavailable {{'t': 2}}>"


def test_records_come_in_the_order_they_arrived(bench: Bench, cluster: MemoryCluster) -> None:
    """records() is one list over all partitions; records without a key take turns."""
    clock = cluster.clock = Clock()
    producer = bench.producer()
    for number in range(8):
        clock.now += 1
        producer.send("t", b"%d" % number, key=None)
        producer.poll(0)
    records = cluster.records("t")
    assert [record.value for record in records] == [b"%d" % number for number in range(8)]
    assert [record.partition for record in records] == [0, 1, 2, 3] * 2
    assert [record.timestamp_ms for record in records] == [
        1_000_000 + 1000 * n for n in range(1, 9)
    ]
    assert cluster.records("missing") == []


def test_partitions_of_topics(bench: Bench, cluster: MemoryCluster) -> None:
    """A topic has as many partitions as asked for, else the cluster's default."""
    cluster.default_partitions = 2
    bench.admin.create_topics(["a"], partitions=3, replication_factor=1, timeout_s=0)
    bench.admin.create_topics(["b"], partitions=-1, replication_factor=-1, timeout_s=0)
    bench.send("c", [b"x"])
    assert cluster.topics() == {"a": 3, "b": 2, "c": 2}


# --- outages


def test_outage_holds_records_back(bench: Bench, cluster: MemoryCluster) -> None:
    """What is sent during an outage arrives after it, in order, and is reported on then."""
    producer = bench.producer()
    cluster.unavailable = True
    for number in range(3):
        producer.send("t", b"%d" % number, key=b"k")
    assert producer.flush(0.01) == 3
    assert (bench.reports, cluster.records("t")) == ([], [])
    assert [type(problem) for problem in bench.problems] == [BrokerUnavailable]
    cluster.unavailable = False
    assert producer.flush(TIMEOUT_S) == 0
    assert [record.value for record in cluster.records("t")] == [b"0", b"1", b"2"]
    assert [report.error for report in bench.reports] == [None] * 3


def test_the_end_of_an_outage_wakes_who_waits(bench: Bench, cluster: MemoryCluster) -> None:
    """A flush in another thread ends as soon as the cluster is back."""
    producer = bench.producer()
    cluster.unavailable = True
    producer.send("t", b"x", key=None)
    left: list[int] = []
    thread = threading.Thread(target=lambda: left.append(producer.flush(TIMEOUT_S)))
    thread.start()
    cluster.unavailable = False
    thread.join(TIMEOUT_S)
    assert left == [0]


def test_records_time_out_by_the_clock(bench: Bench, cluster: MemoryCluster) -> None:
    """After delivery_timeout on the cluster's clock a record is reported on as timed out."""
    clock = cluster.clock = Clock()
    producer = bench.producer()
    cluster.unavailable = True
    producer.send("t", b"x", key=None)
    clock.now += 4.9
    producer.poll(0)
    assert bench.reports == []
    clock.now += 0.2
    producer.poll(0)
    assert [type(report.error) for report in bench.reports] == [DeliveryTimeout]
    cluster.unavailable = False
    assert cluster.records("t") == []


def test_purged_records_are_reported_on(bench: Bench, cluster: MemoryCluster) -> None:
    """purge gives up what waits, not what is in the log already."""
    producer = bench.producer()
    producer.send("t", b"there", key=None, token="there")
    cluster.unavailable = True
    producer.send("t", b"waiting", key=None, token="waiting")
    producer.purge()
    producer.poll(0)
    assert {report.token: type(report.error) for report in bench.reports} == {
        "there": type(None),
        "waiting": DeliveryTimeout,
    }


def test_unreported_records_fill_the_buffer(bench: Bench, cluster: MemoryCluster) -> None:
    """Records count until poll has served their report; then there is room again."""
    producer = bench.producer()
    for _ in range(3):
        producer.send("t", b"x", key=None)
    with pytest.raises(SendBufferFull, match="send_buffer_records"):
        producer.send("t", b"x", key=None)
    producer.poll(0)
    producer.send("t", b"x", key=None)
    assert len(cluster.records("t")) == 4


def test_bytes_fill_the_buffer(unique: str) -> None:
    """send_buffer_bytes counts keys and headers, too."""
    bench = Bench(f"memory://{unique}/?send_buffer_bytes=1024")
    producer = bench.producer()
    producer.send("t", bytes(500), key=bytes(200), headers=[("name", bytes(196))])
    producer.send("t", bytes(124), key=None)
    with pytest.raises(SendBufferFull, match="send_buffer_bytes"):
        producer.send("t", b"x", key=None)
    bench.close()


def test_questions_and_commits_fail_during_an_outage(bench: Bench, cluster: MemoryCluster) -> None:
    """Each raises what an unreachable Kafka would raise, at once, and names the cluster."""
    partitions = bench.create("t")
    consumer = bench.consumer("g")
    cluster.unavailable = True
    for question in (
        lambda: bench.admin.partition_counts(["t"], TIMEOUT_S),
        lambda: consumer.committed(partitions, TIMEOUT_S),
        lambda: consumer.start_offsets(partitions, TIMEOUT_S),
        lambda: consumer.end_offsets(partitions, TIMEOUT_S),
    ):
        with pytest.raises(BrokerUnavailable, match=cluster.address):
            question()
    with pytest.raises(CommitFailed, match=cluster.address) as caught:
        consumer.commit({partitions[0]: 0})
    assert caught.value.retriable
    (outcome,) = bench.admin.create_topics(
        ["u"], partitions=1, replication_factor=1, timeout_s=TIMEOUT_S
    ).values()
    assert isinstance(outcome, BrokerUnavailable)


def test_nothing_is_received_during_an_outage(bench: Bench, cluster: MemoryCluster) -> None:
    """take waits its time and returns nothing; after the outage it goes on."""
    bench.create("t")
    member = bench.member("g", "t")
    bench.send("t", [b"x"])
    cluster.unavailable = True
    assert member.take() == []
    assert [type(problem) for problem in bench.problems] == [BrokerUnavailable]
    cluster.unavailable = False
    assert [record.value for record in member.take()] == [b"x"]


# --- refusals


def test_refused_topic(bench: Bench, cluster: MemoryCluster) -> None:
    """Each record for the topic has the given error in its report, until that is ended."""
    error = DeliveryRefused("not allowed", topic="t")
    cluster.refuse("t", error)
    producer = bench.producer()
    producer.send("t", b"x", key=None)
    producer.send("other", b"x", key=None)
    producer.poll(0)
    assert [report.error for report in bench.reports] == [error, None]
    cluster.refuse("t", None)
    bench.send("t", [b"y"])
    assert [record.value for record in cluster.records("t")] == [b"y"]


def test_denied_creation(bench: Bench, cluster: MemoryCluster) -> None:
    """Neither listener nor sender makes topics; the operator's create_topic does."""
    cluster.deny_creation = True
    (outcome,) = bench.admin.create_topics(
        ["t"], partitions=1, replication_factor=1, timeout_s=TIMEOUT_S
    ).values()
    assert isinstance(outcome, BrokerRefused)
    producer = bench.producer()
    producer.send("t", b"x", key=None)
    producer.poll(0)
    assert isinstance(bench.reports[0].error, DeliveryRefused)
    cluster.create_topic("t", partitions=2)
    bench.send("t", [b"y"])
    assert bench.admin.partition_counts(["t"], TIMEOUT_S) == {"t": 2}


def test_senders_create_topics_only_with_auto_create(bench: Bench, cluster: MemoryCluster) -> None:
    """As with auto.create.topics.enable=false, a send to a missing topic is refused."""
    cluster.auto_create = False
    producer = bench.producer()
    producer.send("t", b"x", key=None)
    producer.poll(0)
    assert isinstance(bench.reports[0].error, DeliveryRefused)
    assert cluster.topics() == {}


def test_offsets_of_missing_partitions(bench: Bench, cluster: MemoryCluster) -> None:
    """Asking and committing for what does not exist fails for good."""
    bench.create("t")
    consumer = bench.consumer("g")
    with pytest.raises(BrokerRefused, match="t-4"):
        consumer.end_offsets([Partition("t", 4)], TIMEOUT_S)
    with pytest.raises(CommitFailed, match="t-4") as caught:
        consumer.commit({Partition("t", 4): 0})
    assert not caught.value.retriable


# --- groups


def test_committed_offsets_can_be_looked_at(bench: Bench, cluster: MemoryCluster) -> None:
    """committed() shows what a group has stored."""
    (first, *_) = bench.create("t")
    bench.consumer("g").commit({first: 7})
    assert cluster.committed("g") == {first: 7}


def test_expelled_members_lose_everything_and_join_again(
    bench: Bench, cluster: MemoryCluster
) -> None:
    """on_lost tells what is gone; then the member is given partitions as a new one is."""
    partitions = tuple(bench.create("t"))
    member = bench.member("g", "t")
    bench.send("t", [b"x"], key=b"k")
    assert len(member.take()) == 1
    cluster.expel("g")
    assert [record.value for record in member.take()] == [b"x"]
    assert member.events == [
        ("assigned", partitions),
        ("lost", partitions),
        ("assigned", partitions),
    ]


def test_fenced_members_have_ended(bench: Bench, cluster: MemoryCluster) -> None:
    """take raises ConsumerFenced from then on; another member takes over."""
    bench.create("t")
    member = bench.member("g", "t")
    member.take()
    cluster.fence("g")
    assert not refused_protocol(member).unsupported_protocol
    with pytest.raises(ConsumerFenced):
        member.take()
    after = bench.member("g", "t")
    take_until([after], lambda: len(after.assigned) == 4, "the assignment")


def test_a_partition_waits_for_its_old_owner(bench: Bench) -> None:
    """A new member gets a partition only after the old one gave it up in its own take."""
    bench.create("t")
    first, second = bench.member("g", "t"), None
    first.take()
    second = bench.member("g", "t")
    second.take()
    assert (len(first.assigned), len(second.assigned)) == (4, 0)
    first.take()
    second.take()
    assert (len(first.assigned), len(second.assigned)) == (2, 2)


def test_range_assignment_by_topic(bench: Bench) -> None:
    """Of each topic the first subscribers get one partition more; others get none of it."""
    bench.create("a", partitions=3)
    bench.create("b", partitions=2)
    members = [bench.member("g", "a", "b"), bench.member("g", "a"), bench.member("g", "b")]
    for member in members * 2:
        member.take(0)
    assert [sorted(map(str, member.assigned)) for member in members] == [
        ["a-0", "a-1", "b-0"],
        ["a-2"],
        ["b-1"],
    ]


def test_a_waiting_member_is_woken_by_a_record(bench: Bench) -> None:
    """take in another thread returns as soon as a record is sent."""
    bench.create("t")
    member = bench.member("g", "t")
    member.take()
    thread = threading.Thread(target=lambda: member.take(TIMEOUT_S))
    thread.start()
    bench.send("t", [b"x"])
    thread.join(TIMEOUT_S)
    assert member.values == [b"x"]
