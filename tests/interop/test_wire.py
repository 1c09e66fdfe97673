# SPDX-License-Identifier: Apache-2.0
"""oslo.messaging's senders and listeners understand ours, and the other way round."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

import pytest

import kafka_notify
from tests.conftest import Kafka
from tests.interop.upstream import WORKERS, payloads, warm_up
from tests.scenarios.processes import Process
from tests.scenarios.recorder import Recorder
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

pytestmark = pytest.mark.functional
pytest.importorskip("oslo_messaging")

Connect = Callable[..., kafka_notify.NotificationTransport]
Start = Callable[..., Process]


def listen(
    transport: kafka_notify.NotificationTransport, topic: str, recorder: Recorder
) -> kafka_notify.NotificationListener:
    """Start a listener of ours in the pool that is named as the topic."""
    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic=topic)], [recorder], pool=topic
    )
    listener.start()
    return listener


def test_upstream_sends_and_we_listen(
    connect: Connect, kafka: Kafka, start: Start, unique: str
) -> None:
    """All fields arrive as they were sent, by both of upstream's messaging drivers."""
    recorder = Recorder("info", "error", "warn")
    listen(connect(kafka.url(kafka_consumer_timeout=0.2)), unique, recorder)
    sender = start(WORKERS / "upstream_send.py", kafka.url(), unique)
    assert sender.end() == 0, sender.log
    calls = recorder.wait(6)
    for call in calls:
        assert call.publisher_id == "upstream.host"
        assert call.event_type == f"upstream.{call.priority}"
        assert call.ctxt == {"project_id": "p1"}
        assert call.payload.pop("driver") in {"messaging", "messagingv2"}
        assert call.payload == {"text": "Ωmega", "list": [1, None, 2.5], "map": {"a": True}}
        assert len(call.metadata["message_id"]) == 36
        datetime.datetime.fromisoformat(call.metadata["timestamp"])
    assert sorted(call.priority for call in calls) == ["error"] * 2 + ["info"] * 2 + ["warn"] * 2
    assert len({call.metadata["message_id"] for call in calls}) == 6


def test_we_send_and_upstream_listens(
    connect: Connect, kafka: Kafka, start: Start, unique: str
) -> None:
    """All fields arrive as our own listener gets them."""
    transport = connect(kafka.url(kafka_consumer_timeout=0.2))
    recorder = Recorder()
    listen(transport, unique, recorder)  # makes the topic, which upstream's cannot do without
    upstream = start(WORKERS / "upstream_listen.py", kafka.url(), unique, f"{unique}-up")
    notifier = kafka_notify.Notifier(transport, "our.host", topics=[unique])
    context = {"project_id": "p1", "auth_token": "s3cret"}
    warm_up(upstream, lambda text: notifier.info(context, "ours", text))
    payload = {"text": "Ωmega", "list": [1, None, 2.5], "map": {"a": True}}
    for number in range(10):
        notifier.info(context, "ours.info", {**payload, "number": number})
    eventually(lambda: len(payloads(upstream)) >= 10, 60, "all ten")
    theirs = [json.loads(line) for line in upstream.lines("got ")]
    ours = {call.metadata["message_id"]: list(call) for call in recorder.wait(len(theirs))}
    assert all(one == ours[one[5]["message_id"]] for one in theirs)
    assert sorted(one["number"] for one in payloads(upstream)) == list(range(10))
    assert {one[1].get("project_id") for one in theirs} == {"p1"}
    assert "s3cret" not in json.dumps(theirs)
    upstream.tell("end")
    assert upstream.end() == 0, upstream.log


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_one_group_with_members_of_both(
    protocol: str, connect: Connect, kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """Upstream's listener and ours share a topic: once both have joined, nothing is lost."""
    recorder = Recorder()
    transport = connect(kafka.url(kafka_consumer_timeout=0.2, group_protocol=protocol))
    listener = listen(transport, unique, recorder)
    upstream = start(WORKERS / "upstream_listen.py", kafka.url(), unique, unique)

    def settled() -> bool:
        shares = bare.shares(unique)
        return len(shares) == 2 and all(shares)

    eventually(settled, 60, "two members, each with partitions")
    notifier = kafka_notify.Notifier(transport, topics=[unique])
    publishers = [notifier.prepare(publisher_id=f"publisher-{one}") for one in range(32)]

    def send_warm(text: str) -> None:
        for publisher in publishers:
            publisher.info({}, "shared", text)

    warm_up(upstream, send_warm)
    for number in range(2000):
        publishers[number % 32].info({}, "shared", number)

    def ours() -> list[Any]:
        return [payload for payload in recorder.payloads if payload != "warm-up"]

    eventually(lambda: len(payloads(upstream)) + len(ours()) >= 2000, 60, "all 2,000")
    listener.stop()
    assert sorted(payloads(upstream) + ours()) == list(range(2000))
    assert payloads(upstream)
    assert ours()


def test_we_take_over_from_upstream(
    connect: Connect, kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """Our listener in upstream's group begins where upstream's has stopped."""
    topic = f"{unique}.info"
    bare.create(topic)
    upstream = start(WORKERS / "upstream_listen.py", kafka.url(), unique, unique)
    warm_up(upstream, lambda text: bare.send_payloads(topic, [text]))
    bare.send_payloads(topic, range(100))
    eventually(lambda: len(payloads(upstream)) >= 100, 60, "100 at upstream's listener")
    upstream.tell("end")
    assert upstream.end() == 0, upstream.log
    bare.send_payloads(topic, range(100, 200))
    recorder = Recorder()
    listen(connect(kafka.url(kafka_consumer_timeout=0.2)), unique, recorder)
    recorder.wait(100)
    assert recorder.payloads == list(range(100, 200))


def test_one_process_may_use_both(
    connect: Connect, kafka: Kafka, start: Start, unique: str
) -> None:
    """A service that has moved its notifications, and not yet all of them, sends with each."""
    program = """
import sys
import oslo_messaging
from oslo_config import cfg
import kafka_notify
url, topic = sys.argv[1:]
conf = cfg.ConfigOpts()
conf([])
theirs = oslo_messaging.get_notification_transport(conf, url)
ours = kafka_notify.get_notification_transport(conf, url)
for library, transport in ((oslo_messaging, theirs), (kafka_notify, ours)):
    notifier = library.Notifier(transport, "both", driver="messagingv2", topics=[topic])
    notifier.info({}, "both", library.__name__)
    transport.cleanup()
"""
    recorder = Recorder()
    listen(connect(kafka.url(kafka_consumer_timeout=0.2)), unique, recorder)
    process = start("-c", program, kafka.url(), unique)
    assert process.end() == 0, process.log
    recorder.wait(2)
    assert sorted(recorder.payloads) == ["kafka_notify", "oslo_messaging"]
