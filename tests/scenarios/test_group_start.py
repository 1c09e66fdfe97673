# SPDX-License-Identifier: Apache-2.0
"""Nothing that is sent after start() has returned is missed, whatever happens to the group."""

from __future__ import annotations

import itertools
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import kafka_notify
from kafka_notify.broker import Cluster
from tests.conftest import Kafka
from tests.scenarios.processes import WORKERS, Process
from tests.scenarios.recorder import Recorder
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

pytestmark = pytest.mark.functional

Connect = Callable[..., kafka_notify.NotificationTransport]
Start = Callable[..., Process]
Options = dict[str, Any]
START_BOUND_S = 15.0
APPEAR_BOUND_S = 10.0


@pytest.fixture
def transport(
    connect: Connect, brisk: Kafka, member: Options
) -> kafka_notify.NotificationTransport:
    """Return a transport to the brisk Kafka, where no topic comes by itself."""
    return connect(brisk.url(**member))


def listen(
    transport: kafka_notify.NotificationTransport, topic: str, *endpoints: Any
) -> kafka_notify.NotificationListener:
    """Start a listener on a topic, in the pool of that name."""
    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic=topic)], endpoints, pool=topic
    )
    listener.start()
    return listener


def notifier(transport: kafka_notify.NotificationTransport, topic: str) -> kafka_notify.Notifier:
    """Return a notifier whose publisher is of no account."""
    return kafka_notify.Notifier(transport, "publisher", topics=[topic])


def test_topics_that_do_not_exist_are_made(
    transport: kafka_notify.NotificationTransport, bare_brisk: BareClient, unique: str
) -> None:
    """50 notifications sent at once when start() has returned: all come, once."""
    recorder = Recorder("info", "error")
    listen(transport, unique, recorder)
    sender = notifier(transport, unique)
    for number in range(25):
        sender.info({}, "start", number)
        sender.error({}, "start", 100 + number)
    recorder.wait(50)
    assert sorted(recorder.payloads) == [*range(25), *range(100, 125)]
    assert bare_brisk.partitions(f"{unique}.info") == 4
    assert bare_brisk.partitions(f"{unique}.audit") == 0


def test_options_say_how_topics_are_made(
    connect: Connect, brisk: Kafka, bare_brisk: BareClient, unique: str
) -> None:
    """topic_partitions and topic_replication_factor count for topics that a listener makes."""
    url = brisk.url(topic_partitions=3, topic_replication_factor=1, kafka_consumer_timeout=0.2)
    listen(connect(url), unique, Recorder())
    assert bare_brisk.partitions(f"{unique}.info") == 3


@pytest.mark.parametrize("group_start", ["end", "beginning"])
def test_a_new_group_begins_where_its_option_says(
    group_start: str,
    member: Options,
    connect: Connect,
    brisk: Kafka,
    bare_brisk: BareClient,
    unique: str,
) -> None:
    """'end': a backlog is left unread. 'beginning': it is read first."""
    bare_brisk.create(f"{unique}.info")
    bare_brisk.send_payloads(f"{unique}.info", range(100))
    recorder = Recorder()
    transport = connect(brisk.url(**member, group_start=group_start))
    listener = listen(transport, unique, recorder)
    bare_brisk.send_payloads(f"{unique}.info", range(100, 110))
    expected = list(range(0 if group_start == "beginning" else 100, 110))
    recorder.wait_for(expected)
    listener.stop()
    assert sorted(recorder.payloads) == expected


def test_a_member_that_dies_at_once_moves_nothing(
    transport: kafka_notify.NotificationTransport,
    member: Options,
    brisk: Kafka,
    bare_brisk: BareClient,
    start: Start,
    unique: str,
) -> None:
    """Killed when start() had returned, before any record: the next member gets all since then."""
    bare_brisk.create(f"{unique}.info")
    bare_brisk.send_payloads(f"{unique}.info", range(100))
    first = start(WORKERS / "listen.py", brisk.url(**member), unique, unique)
    first.wait_for_lines("ready")
    first.signal(signal.SIGKILL)
    bare_brisk.send_payloads(f"{unique}.info", range(100, 150))
    recorder = Recorder()
    listener = listen(transport, unique, recorder)
    recorder.wait_for(range(100, 150))
    listener.stop()
    assert sorted(recorder.payloads) == list(range(100, 150))


def test_members_that_come_and_go_move_nothing(
    transport: kafka_notify.NotificationTransport, bare_brisk: BareClient, unique: str
) -> None:
    """Stopped before a record, joined late, left early: all since the first start comes, once."""
    topic = f"{unique}.info"
    bare_brisk.create(topic)
    bare_brisk.send_payloads(topic, range(100))
    recorder = Recorder()
    first = listen(transport, unique, recorder)
    first.stop()
    first.wait()
    bare_brisk.send_payloads(topic, range(100, 110))
    second = listen(transport, unique, recorder)
    bare_brisk.send_payloads(topic, range(110, 120))
    third = listen(transport, unique, recorder)
    bare_brisk.send_payloads(topic, range(120, 130))
    second.stop()
    bare_brisk.send_payloads(topic, range(130, 140))
    recorder.wait_for(range(100, 140))
    third.stop()
    assert sorted(recorder.payloads) == list(range(100, 140))


@pytest.mark.parametrize("running", [True, False])
def test_a_partition_that_comes_later_is_read_from_its_start(
    running: bool,
    member: Options,
    connect: Connect,
    brisk: Kafka,
    bare_brisk: BareClient,
    unique: str,
) -> None:
    """Whether the group runs when the topic grows, or its only member is stopped."""
    topic = f"{unique}.info"
    bare_brisk.create(topic, 1)
    bare_brisk.send_payloads(topic, range(10))
    transport = connect(brisk.url(**member, topic_refresh=0.5))
    recorder = Recorder()
    listener = listen(transport, unique, recorder)
    if not running:
        listener.stop()
        listener.wait()
    bare_brisk.grow(topic, 2)
    bare_brisk.send_payloads(topic, range(10, 20), partition=1)
    if not running:
        listener.start()
    bare_brisk.send_payloads(topic, range(20, 30), partition=0)
    recorder.wait_for(range(10, 30))
    listener.stop()
    assert sorted(recorder.payloads) == list(range(10, 30))


def test_a_topic_that_cannot_be_made_is_read_once_it_appears(
    member: Options,
    connect: Connect,
    brisk: Kafka,
    bare_brisk: BareClient,
    unique: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """start() returns in time and says what is missing; its first record comes in time, too."""
    caplog.set_level(logging.WARNING, "kafka_notify")
    recorder = Recorder()
    transport = connect(brisk.url(**member, topic_replication_factor=5))
    began = time.monotonic()
    listen(transport, unique, recorder)
    assert time.monotonic() - began < START_BOUND_S
    assert f"{unique}.info" in caplog.text
    assert "topic_replication_factor" in caplog.text
    bare_brisk.create(f"{unique}.info")
    bare_brisk.send_payloads(f"{unique}.info", range(10))
    recorder.wait_for(range(10), APPEAR_BOUND_S)
    assert recorder.payloads == list(range(10))


def test_one_missing_topic_does_not_hold_up_the_other(
    connect: Connect, member: Options, brisk: Kafka, bare_brisk: BareClient, unique: str
) -> None:
    """Of two topics one cannot be made: the other is read from the start of the group on."""
    bare_brisk.create(f"{unique}.info")
    bare_brisk.send_payloads(f"{unique}.info", range(10))
    recorder = Recorder("info", "error")
    listen(connect(brisk.url(**member, topic_replication_factor=5)), unique, recorder)
    bare_brisk.send_payloads(f"{unique}.info", range(10, 20))
    recorder.wait_for(range(10, 20))
    bare_brisk.create(f"{unique}.error")
    bare_brisk.send_payloads(f"{unique}.error", range(20, 30))
    recorder.wait_for(range(20, 30), APPEAR_BOUND_S)
    # The bare client writes INFO into all envelopes: the topic does not decide the method.
    assert sorted(recorder.payloads) == list(range(10, 30))


def test_two_members_start_together_while_a_sender_sends(
    transport: kafka_notify.NotificationTransport, bare_brisk: BareClient, unique: str
) -> None:
    """Nothing that is sent after either start() has returned is missed, or comes twice."""
    bare_brisk.create(f"{unique}.info")
    recorder = Recorder()
    numbers = itertools.count()
    sent: list[int] = []
    done = threading.Event()

    def stream() -> None:
        publishers = [
            notifier(transport, unique).prepare(publisher_id=f"publisher-{one}")
            for one in range(16)
        ]
        while not done.wait(0.001):
            number = next(numbers)
            publishers[number % 16].info({}, "stream", number)
            sent.append(number)

    started: list[tuple[int, kafka_notify.NotificationListener]] = []

    def member() -> None:
        listener = listen(transport, unique, recorder)
        started.append((next(numbers), listener))

    sender = threading.Thread(target=stream)
    members = [threading.Thread(target=member) for _ in range(2)]
    for thread in (sender, *members):
        thread.start()
    for thread in members:
        thread.join()
    eventually(lambda: len(sent) > started[-1][0] + 500, 60, "500 more sent")
    done.set()
    sender.join()
    assert transport.flush() == 0
    eventually(lambda: bare_brisk.lag(unique, f"{unique}.info") == 0, 60, "the group at the end")
    for _, listener in started:
        listener.stop()
    first = min(number for number, _ in started)
    got = recorder.payloads
    assert len(got) == len(set(got))
    assert {number for number in sent if number > first} <= set(got)


@pytest.fixture(scope="module")
def older() -> Iterator[Kafka]:
    """Yield a Kafka that does not know KIP-848."""
    with Cluster(properties={"group.coordinator.rebalance.protocols": "classic"}) as cluster:
        yield Kafka(bootstrap=cluster.bootstrap)


def test_auto_takes_the_classic_protocol_of_an_older_cluster(
    older: Kafka, connect: Connect, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without KIP-848 group_protocol=auto starts in time, misses nothing, and says what it did."""
    caplog.set_level(logging.INFO, "kafka_notify")
    transport = connect(older.url(kafka_consumer_timeout=0.2))
    recorder = Recorder()
    began = time.monotonic()
    listen(transport, unique, recorder)
    assert time.monotonic() - began < START_BOUND_S
    sender = notifier(transport, unique)
    for number in range(50):
        sender.info({}, "older", number)
    recorder.wait(50)
    assert recorder.payloads == list(range(50))
    assert "group_protocol=auto takes the classic protocol" in caplog.text


def test_asking_an_older_cluster_for_kip_848_is_refused_in_time(
    older: Kafka, connect: Connect, unique: str
) -> None:
    """group_protocol=consumer without KIP-848: start() raises within its bound and says why."""
    transport = connect(older.url(group_protocol="consumer", kafka_consumer_timeout=0.2))
    began = time.monotonic()
    with pytest.raises(kafka_notify.KafkaNotifyError, match="group_protocol"):
        listen(transport, unique, Recorder())
    assert time.monotonic() - began < START_BOUND_S + 5
