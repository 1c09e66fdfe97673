# SPDX-License-Identifier: Apache-2.0
"""commit_policy=share: more listeners than partitions, on a real Kafka."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kafka_notify
from kafka_notify import NotificationResult
from kafka_notify.errors import ConfigurationError
from tests.conftest import Kafka
from tests.scenarios.processes import Process
from tests.scenarios.recorder import Recorder
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

pytestmark = pytest.mark.functional

WORKERS = Path(__file__).parent / "workers"
COME_S = 60.0
Connect = Callable[..., kafka_notify.NotificationTransport]
Start = Callable[..., Process]
SHARE: dict[str, Any] = {"commit_policy": "share", "kafka_consumer_timeout": 0.2}


def listen(
    transport: kafka_notify.NotificationTransport, topic: str, endpoint: Any, **how: Any
) -> kafka_notify.NotificationListener:
    """Return a listener that has started."""
    make: Any = kafka_notify.get_notification_listener
    if "batch_size" in how:
        make = kafka_notify.get_batch_notification_listener
    made: kafka_notify.NotificationListener = make(
        transport, [kafka_notify.Target(topic=topic)], [endpoint], **{"pool": topic, **how}
    )
    made.start()
    return made


def test_two_listeners_share_one_partition(
    kafka: Kafka, bare: BareClient, connect: Connect, unique: str
) -> None:
    """Each notification once, whoever gets it; both get some."""
    bare.create(f"{unique}.info", partitions=1)
    recorders = [Recorder(on_call=lambda _p: threading.Event().wait(0.01)) for _ in range(2)]
    for recorder in recorders:
        listen(connect(kafka.url(**SHARE)), unique, recorder)
    for first in range(0, 1000, 50):
        bare.send_payloads(f"{unique}.info", range(first, first + 50))

    def got() -> list[Any]:
        return [payload for recorder in recorders for payload in recorder.payloads]

    eventually(lambda: len(set(got())) == 1000, COME_S, "all of them")
    assert sorted(got()) == list(range(1000))
    assert all(recorder.payloads for recorder in recorders)


def test_requeue_and_dead_letter(
    kafka: Kafka, bare: BareClient, connect: Connect, unique: str
) -> None:
    """What asks for it comes again, up to the limit; poison goes to the dead letters at once."""
    seen: list[Any] = []

    class Endpoint:
        def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> str | None:
            seen.append(payload)
            asks = payload == "never" or (payload == "again" and seen.count("again") < 3)
            return NotificationResult.REQUEUE if asks else None

    transport = connect(kafka.url(requeue_limit=4, **SHARE))
    listen(transport, unique, Endpoint(), allow_requeue=True)
    topic = f"{unique}.info"
    bare.send(topic, [b"\xff"], key=b"k")
    bare.send_payloads(topic, ["again", "never", "calm"])
    eventually(
        lambda: bare.partitions(f"{topic}.dlq") and len(bare.read_raw(f"{topic}.dlq")) == 2,
        COME_S,
        "the dead letters",
    )
    eventually(lambda: seen.count("again") == 3, COME_S, "what asked twice")
    assert (seen.count("never"), seen.count("calm")) == (4, 1)
    attempts = [dict(one.headers() or ())["dlq.attempts"] for one in bare.read_raw(f"{topic}.dlq")]
    assert sorted(attempts) == [b"0", b"4"]


def test_kill_9(kafka: Kafka, bare: BareClient, start: Start, unique: str) -> None:
    """What a killed listener had comes to another."""
    topic = f"{unique}.info"
    bare.create(topic, partitions=1)
    url = kafka.url(group_start="beginning", **SHARE)
    first = start(WORKERS / "listen.py", url, unique, unique, "--delay", 0.02)
    first.wait_for_lines("ready")
    bare.send_payloads(topic, range(500))
    first.wait_for_lines("got ", 50)
    first.signal(signal.SIGKILL)
    first.end()
    before = {line.split()[-1] for line in first.lines("got ")}
    second = start(WORKERS / "listen.py", url, unique, unique)
    eventually(
        lambda: len(before | {line.split()[-1] for line in second.lines("got ")}) == 500,
        COME_S,
        "all of them",
    )
    second.tell("exit")
    assert second.end() == 0, second.log


def test_an_orderly_stop_gives_back_the_rest(
    kafka: Kafka, bare: BareClient, connect: Connect, unique: str
) -> None:
    """What has not begun comes to the next listener, and nothing twice."""
    bare.create(f"{unique}.info", partitions=1)
    first = Recorder(on_call=lambda _p: threading.Event().wait(0.05))
    listener = listen(connect(kafka.url(workers=2, **SHARE)), unique, first)
    bare.send_payloads(f"{unique}.info", range(300))
    first.wait(10)
    listener.stop()
    count = len(first.payloads)
    assert 10 <= count < 300
    second = Recorder()
    listen(connect(kafka.url(**SHARE)), unique, second)
    second.wait(300 - count)
    assert sorted(first.payloads + second.payloads) == list(range(300))


def test_batches(kafka: Kafka, bare: BareClient, connect: Connect, unique: str) -> None:
    """Lists of at most the batch's size, of what was given together."""
    lists: list[list[Any]] = []

    class Endpoint:
        def info(self, messages: list[dict[str, Any]]) -> None:
            lists.append([message["payload"] for message in messages])

    listen(connect(kafka.url(**SHARE)), unique, Endpoint(), batch_size=10, batch_timeout=1)
    bare.send_payloads(f"{unique}.info", range(45))
    eventually(lambda: sum(map(len, lists)) == 45, COME_S, "all")
    assert max(map(len, lists)) == 10


def test_other_drivers_have_none(connect: Connect) -> None:
    """The error names those that have."""
    listener = kafka_notify.get_notification_listener(
        connect("memory://x/?commit_policy=share"), [kafka_notify.Target(topic="t")], [Recorder()]
    )
    with pytest.raises(ConfigurationError, match="kafka://"):
        listener.start()
