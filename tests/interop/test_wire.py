# SPDX-License-Identifier: Apache-2.0
"""oslo.messaging's senders and listeners understand ours, and the other way round."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kafka_notify
from tests.conftest import Kafka
from tests.scenarios.processes import Process
from tests.scenarios.recorder import Recorder
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

pytestmark = pytest.mark.functional
pytest.importorskip("oslo_messaging")

WORKERS = Path(__file__).parent / "workers"
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
        assert datetime.datetime.fromisoformat(call.metadata["timestamp"])
    assert sorted(call.priority for call in calls) == ["error"] * 2 + ["info"] * 2 + ["warn"] * 2
    assert len({call.metadata["message_id"] for call in calls}) == 6


def test_we_send_and_upstream_listens(
    connect: Connect, kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """All fields arrive as our own listener gets them."""
    transport = connect(kafka.url(kafka_consumer_timeout=0.2))
    recorder = Recorder("info", "error")
    listen(transport, unique, recorder)  # makes the topics, which upstream's cannot do without
    upstream = start(WORKERS / "upstream_listen.py", kafka.url(), unique, f"{unique}-up")
    wait_for_members(bare, f"{unique}-up", 1)
    payload = {"text": "Ωmega", "list": [1, None, 2.5], "map": {"a": True}}
    context = {"project_id": "p1", "auth_token": "s3cret"}
    notifier = kafka_notify.Notifier(transport, "our.host", topics=[unique])
    for number in range(10):
        notifier.info(context, "ours.info", {**payload, "number": number})
        notifier.error(context, "ours.error", {**payload, "number": number})
    theirs = [json.loads(line) for line in upstream.wait_for_lines("got ", 20)]
    ours: list[list[Any]] = [list(call) for call in recorder.wait(20)]
    by_id = {one[5]["message_id"]: one for one in theirs}
    assert by_id == {one[5]["message_id"]: one for one in ours}
    assert {one[1].get("project_id") for one in theirs} == {"p1"}
    assert "s3cret" not in json.dumps(theirs)
    upstream.tell("end")
    assert upstream.end() == 0, upstream.log


def wait_for_members(bare: BareClient, group: str, members: int) -> None:
    """Wait until a group of so many members has shared out all partitions."""

    def settled() -> bool:
        shares = bare.shares(group)
        return len(shares) == members and all(shares)

    eventually(settled, 60, f"{members} members of {group}, each with partitions")


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_one_group_with_members_of_both(
    protocol: str, connect: Connect, kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """Upstream's listener and ours share a topic: once both have joined, nothing is lost."""
    recorder = Recorder()
    url = kafka.url(kafka_consumer_timeout=0.2, group_protocol=protocol)
    transport = connect(url)
    bare.create(f"{unique}.error")
    listener = listen(transport, unique, recorder)
    upstream = start(WORKERS / "upstream_listen.py", kafka.url(), unique, unique)
    wait_for_members(bare, unique, 2)
    notifier = kafka_notify.Notifier(transport, topics=[unique])
    for number in range(2000):
        sender = notifier.prepare(publisher_id=f"publisher-{number % 32}")
        sender.info({}, "shared", number)
    eventually(
        lambda: len(upstream.lines("got ")) + len(recorder.calls) >= 2000, 60, "all 2,000"
    )
    listener.stop()
    theirs = [json.loads(line)[4] for line in upstream.lines("got ")]
    ours = recorder.payloads
    assert sorted(theirs + ours) == list(range(2000))
    assert theirs
    assert ours


def test_we_take_over_from_upstream(
    connect: Connect, kafka: Kafka, bare: BareClient, start: Start, unique: str
) -> None:
    """Our listener in upstream's group begins where upstream's has stopped."""
    bare.create(f"{unique}.info")
    bare.create(f"{unique}.error")
    upstream = start(WORKERS / "upstream_listen.py", kafka.url(), unique, unique)
    wait_for_members(bare, unique, 1)
    bare.send_payloads(f"{unique}.info", range(100))
    upstream.wait_for_lines("got ", 100)
    upstream.tell("end")
    assert upstream.end() == 0, upstream.log
    bare.send_payloads(f"{unique}.info", range(100, 200))
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
    assert threading.active_count() < 100
