# SPDX-License-Identifier: Apache-2.0
"""What has broken others: stalls after a rebalance, records skipped, offsets that are reset.

Confluent's Parallel Consumer: its issues 857, 875, 894.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import kafka_notify
from kafka_notify.core import events
from tests.conftest import Kafka
from tests.scenarios.recorder import Recorder
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

pytestmark = pytest.mark.functional

Connect = Callable[..., kafka_notify.NotificationTransport]
COME_S = 60.0
POLICIES = ("before_dispatch", "after_dispatch")


def listen(
    transport: kafka_notify.NotificationTransport, topic: str, endpoint: Any
) -> kafka_notify.NotificationListener:
    """Start a listener on a topic, in the pool of that name."""
    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic=topic)], [endpoint], pool=topic
    )
    listener.start()
    return listener


@pytest.mark.parametrize("policy", POLICIES)
def test_endpoints_that_are_busy_for_longer_than_a_poll_interval(
    policy: str,
    connect: Connect,
    brisk: Kafka,
    bare_brisk: BareClient,
    unique: str,
    member: dict[str, Any],
) -> None:
    """The listener keeps its place in the group, and everything comes once."""
    interval_s = 5
    options = [member.get("client_options", ""), f"max.poll.interval.ms:{interval_s * 1000}"]
    how = {**member, "client_options": ",".join(filter(None, options))}
    transport = connect(brisk.url(commit_policy=policy, dispatch_window=1, **how))
    told: list[events.Event] = []
    transport.monitor.subscribe(told.append)
    never = threading.Event()
    slow = Recorder(on_call=lambda payload: payload == 0 and never.wait(2.5 * interval_s))
    listen(transport, unique, slow)
    bare_brisk.send_payloads(f"{unique}.info", range(10))
    slow.wait(10)
    eventually(lambda: bare_brisk.lag(unique, f"{unique}.info") == 0, COME_S, "all committed")
    assert slow.payloads == list(range(10))
    troubles = (events.PartitionsLost, events.PartitionsRevoked, events.ConsumerReopened)
    assert not [one for one in told if isinstance(one, troubles)]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_topic_that_is_made_anew(
    policy: str,
    connect: Connect,
    brisk: Kafka,
    bare_brisk: BareClient,
    unique: str,
    member: dict[str, Any],
) -> None:
    """Its offsets begin at 0 again: no record is taken for one that was done before."""
    topic = f"{unique}.info"
    transport = connect(brisk.url(commit_policy=policy, topic_refresh=0.5, **member))
    recorder = Recorder()
    listen(transport, unique, recorder)
    bare_brisk.send_payloads(topic, [f"old {number}" for number in range(100)])
    recorder.wait(100)
    eventually(lambda: bare_brisk.lag(unique, topic) == 0, COME_S, "all committed")
    bare_brisk.delete(topic)
    bare_brisk.create(topic)
    payloads = [f"new {number}" for number in range(150)]
    bare_brisk.send_payloads(topic, payloads)
    recorder.wait_for(payloads)
    eventually(lambda: bare_brisk.lag(unique, topic) == 0, COME_S, "all committed")
    assert recorder.payloads[100:] == payloads


@pytest.mark.parametrize("policy", POLICIES)
def test_what_retention_has_removed(
    policy: str,
    connect: Connect,
    kafka: Kafka,
    bare: BareClient,
    unique: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A listener that was away for too long goes on with the oldest that is there, and says so."""
    topic = f"{unique}.info"
    bare.create(topic, 1)
    url = kafka.url(commit_policy=policy, group_start="beginning")
    before, after = Recorder(), Recorder()
    bare.send_payloads(topic, range(10))
    with kafka_notify.get_notification_transport(url=url) as transport:
        listener = listen(transport, unique, before)
        before.wait(10)
        listener.stop()
        listener.wait()
    bare.send_payloads(topic, range(10, 40))
    bare.truncate(topic, 30)
    listen(connect(url), unique, after)
    after.wait(10)
    assert after.payloads == list(range(30, 40))
    eventually(lambda: bare.lag(unique, topic) == 0, COME_S, "all committed")
    assert [one for one in caplog.records if "offset reset" in one.getMessage()]


def test_partitions_that_come_back_to_a_busy_member(
    connect: Connect,
    brisk: Kafka,
    bare_brisk: BareClient,
    unique: str,
    member: dict[str, Any],
) -> None:
    """Under after_dispatch: nothing is skipped, nothing stalls, what came twice was told."""
    topic = f"{unique}.info"
    bare_brisk.create(topic)
    go = threading.Event()
    busy, other = Recorder(on_call=lambda _: go.wait(COME_S)), Recorder()
    url = brisk.url(**member, commit_policy="after_dispatch", dispatch_window=8, drain_timeout=0.5)
    transport = connect(url)
    listen(transport, unique, busy)
    notifier = kafka_notify.Notifier(transport, topics=[unique])
    publishers = [notifier.prepare(publisher_id=f"publisher-{one}") for one in range(16)]
    for number in range(200):
        publishers[number % 16].info({}, "event", number)
    eventually(lambda: transport.stats()["received"] == 8, COME_S, "a full window")
    second = listen(connect(url), unique, other)
    eventually(lambda: bare_brisk.shares(unique) == [2, 2], COME_S, "two shares")
    second.stop()
    eventually(lambda: bare_brisk.shares(unique) == [4], COME_S, "all back at the first")
    for number in range(200, 400):
        publishers[number % 16].info({}, "event", number)
    go.set()
    eventually(lambda: bare_brisk.lag(unique, topic) == 0, COME_S, "the end of the topic")
    times = Counter(busy.payloads + other.payloads)
    assert sorted(times) == list(range(400))
    assert sum(times.values()) - 400 <= transport.stats()["may_come_again"]
