# SPDX-License-Identifier: Apache-2.0
"""commit_policy=share: more listeners than partitions, on a real Kafka."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest

import kafka_notify
from kafka_notify import NotificationResult
from kafka_notify.broker import Cluster
from kafka_notify.core import events
from kafka_notify.drivers.confluent_admin import KafkaAdmin
from kafka_notify.errors import BrokerRefused, ConfigurationError
from tests.conftest import Kafka
from tests.drivers.bench import TIMEOUT_S, Bench
from tests.drivers.sharing import BRISK, LOCK_S
from tests.scenarios.processes import Process
from tests.scenarios.recorder import Recorder
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

pytestmark = pytest.mark.functional

WORKERS = Path(__file__).parent / "workers"
COME_S = 60.0
Connect = Callable[..., kafka_notify.NotificationTransport]
Start = Callable[..., Process]
SHARE: dict[str, Any] = {
    "commit_policy": "share",
    "kafka_consumer_timeout": 0.2,
    "start_timeout": 60,  # a slow machine: a start that is not settled in time raises
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a Kafka that may be stopped, where locks may be short."""
    with Cluster(properties=BRISK) as opened:
        yield opened


def url_of(cluster: Cluster, **query: Any) -> str:
    """Return the URL of a listener on it."""
    return Kafka(bootstrap=cluster.bootstrap).url(**{**SHARE, **query})


def set_group(bootstrap: str, pool: str, name: str, value: str) -> None:
    """Have the operator of a cluster set something of a pool's share group."""
    bench = Bench(f"kafka://{bootstrap}/")
    assert isinstance(bench.admin, KafkaAdmin)
    bench.admin.set_group(f"{pool}.share", {name: value}, TIMEOUT_S)
    bench.close()


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


def test_start(kafka: Kafka, bare: BareClient, connect: Connect, unique: str) -> None:
    """All that is sent once start() has returned comes, and nothing from before; for any pool."""
    bare.create(f"{unique}.info", partitions=3)
    sent = 0

    def send(count: int) -> list[int]:
        nonlocal sent
        first, sent = sent, sent + count
        bare.send_payloads(f"{unique}.info", range(first, sent))
        return list(range(first, sent))

    transport = connect(kafka.url(**SHARE))
    for pool in ("a", "b"):
        send(10)
        recorder, later = Recorder(), Recorder()
        first = listen(transport, unique, recorder, pool=f"{unique}-{pool}")
        due = send(10)
        recorder.wait(10)
        first.stop()
        first.wait()
        due += send(10)  # while the pool has nobody
        listen(transport, unique, later, pool=f"{unique}-{pool}")
        due += send(10)
        later.wait(20)
        assert sorted(recorder.payloads + later.payloads) == due


def test_a_used_group_id(kafka: Kafka, bare: BareClient, connect: Connect, unique: str) -> None:
    """start() raises, and says what to do: the id was a consumer group's."""
    bare.create(f"{unique}.info", partitions=1)
    used = Recorder()
    consumer = kafka_notify.get_notification_listener(
        connect(kafka.url(kafka_consumer_timeout=0.2)),
        [kafka_notify.Target(topic=unique)],
        [used],
        pool=f"{unique}.share",
    )
    consumer.start()
    bare.send_payloads(f"{unique}.info", [1])
    used.wait(1)
    consumer.stop()
    consumer.wait()
    with pytest.raises(BrokerRefused, match="another pool") as caught:
        listen(connect(kafka.url(**SHARE)), unique, Recorder())
    assert caught.value.code == "GROUP_ID_NOT_FOUND"


def test_the_waits_grow(kafka: Kafka, bare: BareClient, connect: Connect, unique: str) -> None:
    """What asks again is held back before it is released, twice as long each time."""
    at: list[float] = []

    class Endpoint:
        def info(self, *_what: Any) -> None:
            at.append(time.monotonic())
            if len(at) < 4:
                raise ValueError("not yet")

    transport = connect(kafka.url(requeue_wait=0.3, **SHARE))
    listen(transport, unique, Endpoint(), allow_requeue=True)
    bare.send_payloads(f"{unique}.info", [1])
    eventually(lambda: len(at) == 4, COME_S, "the last attempt")
    waits = [later - earlier for earlier, later in pairwise(at)]
    assert [wait > 0.3 * 2**number for number, wait in enumerate(waits)] == [True] * 3


def test_a_batch_that_asks_again(
    kafka: Kafka, bare: BareClient, connect: Connect, unique: str
) -> None:
    """Its whole list comes again; what is new beside it is in other lists, and none is lost."""
    lists: list[list[Any]] = []

    class Endpoint:
        def info(self, messages: list[dict[str, Any]]) -> str | None:
            payloads = [message["payload"] for message in messages]
            lists.append(payloads)
            asked = sum(7 in one for one in lists)
            return NotificationResult.REQUEUE if 7 in payloads and asked < 3 else None

    transport = connect(kafka.url(**SHARE))
    listen(transport, unique, Endpoint(), allow_requeue=True, batch_size=10, batch_timeout=1)
    bare.send_payloads(f"{unique}.info", range(20))
    eventually(
        lambda: sum(7 in one for one in lists) == 3 and set(chain(*lists)) == set(range(20)),
        COME_S,
        "the third time",
    )
    asked = [set(one) for one in lists if 7 in one]
    assert asked[0] == set.union(*asked[1:])


@pytest.mark.parametrize("hangs", [True, False], ids=["a listener that hangs", "and that dies"])
def test_the_last_hand_out(hangs: bool, cluster: Cluster, start: Start, unique: str) -> None:
    """What was handed out too often, and never settled, is dead-lettered, not lost in silence."""
    bare = BareClient(cluster.bootstrap)
    topic = f"{unique}.info"
    bare.create(topic, partitions=1)
    set_group(cluster.bootstrap, unique, "share.delivery.count.limit", "3")
    set_group(cluster.bootstrap, unique, "share.record.lock.duration.ms", str(int(LOCK_S * 1000)))
    url = url_of(cluster, group_start="beginning", drain_timeout=1)
    bare.send_payloads(topic, ["poison"])

    def listener(hang_at: str) -> Process:
        process = start(WORKERS / "listen.py", url, unique, unique, "--hang-at", hang_at)
        process.wait_for_lines("ready")
        return process

    if hangs:
        process = listener("poison")
    else:
        for _ in range(2):
            killed = listener("poison")
            killed.wait_for_lines("hangs ")
            killed.signal(signal.SIGKILL)
            killed.end()
        process = listener("none")
    eventually(
        lambda: bare.partitions(f"{topic}.dlq") and bare.read_raw(f"{topic}.dlq"),
        COME_S,
        "the dead letter",
    )
    bare.send_payloads(topic, ["calm"])
    assert [line.split()[-1] for line in process.wait_for_lines("got ")] == ["calm"]
    [dead] = bare.read_raw(f"{topic}.dlq")
    headers = dict(dead.headers() or ())
    assert headers["dlq.attempts"] == b"2"
    assert b"handed out 2 times" in headers["dlq.error"]
    process.tell("exit")
    assert process.end() == 0, process.log


def test_an_endpoint_that_outlasts_the_lock(
    cluster: Cluster, connect: Connect, unique: str
) -> None:
    """It comes a second time, which is told; what was done beside it does not."""
    bare = BareClient(cluster.bootstrap)
    bare.create(f"{unique}.info", partitions=1)
    set_group(cluster.bootstrap, unique, "share.record.lock.duration.ms", str(int(LOCK_S * 1000)))
    transport = connect(url_of(cluster))
    told: list[events.ComesAgain] = []
    transport.monitor.subscribe(
        lambda event: told.append(event) if isinstance(event, events.ComesAgain) else None
    )
    free = threading.Event()
    begun: list[Any] = []

    def take(payload: Any) -> None:
        begun.append(payload)
        if payload == "slow" and begun.count("slow") == 1:
            free.wait(COME_S)

    recorder = Recorder(on_call=take)
    listen(transport, unique, recorder)
    bare.send_payloads(f"{unique}.info", ["slow", *range(10)])
    recorder.wait(11)
    free.set()
    recorder.wait(12)
    assert sorted(map(str, begun)) == sorted(["slow", "slow", *map(str, range(10))])
    assert sum(event.records for event in told) == 1


@pytest.mark.parametrize("away", ["stopped", "killed", "frozen"])
def test_a_broker_that_is_away(away: str, cluster: Cluster, connect: Connect, unique: str) -> None:
    """Listeners go on when it is back: nothing is lost, and what is repeated was told."""
    bare = BareClient(cluster.bootstrap)
    bare.create(f"{unique}.info", partitions=1)
    told: list[int] = []
    recorders = [Recorder(on_call=lambda _p: threading.Event().wait(0.005)) for _ in range(2)]
    for recorder in recorders:
        transport = connect(url_of(cluster))
        transport.monitor.subscribe(
            lambda event: (
                told.append(event.records) if isinstance(event, events.ComesAgain) else None
            )
        )
        listen(transport, unique, recorder)
    for first in range(0, 500, 25):
        bare.send_payloads(f"{unique}.info", range(first, first + 25))
    recorders[0].wait(50)
    {"stopped": cluster.stop, "killed": cluster.kill, "frozen": cluster.pause}[away](0)
    threading.Event().wait(3)
    (cluster.resume if away == "frozen" else cluster.start)(0)
    bare.send_payloads(f"{unique}.info", range(500, 600))

    def got() -> list[Any]:
        return [payload for recorder in recorders for payload in recorder.payloads]

    eventually(lambda: set(got()) == set(range(600)), 2 * COME_S, "all of them")
    assert len(got()) - 600 <= sum(told)


@pytest.mark.parametrize("away", ["killed", "frozen"])
def test_the_end_of_a_process_without_its_broker(
    away: str, cluster: Cluster, start: Start, unique: str
) -> None:
    """It ends by itself and in time, with records in hand, also when its client would not."""
    bare = BareClient(cluster.bootstrap)
    bare.create(f"{unique}.info", partitions=1)
    url = url_of(cluster, client_options="socket.timeout.ms:300000")
    process = start(WORKERS / "listen.py", url, unique, unique, "--delay", 0.05)
    process.wait_for_lines("ready")
    bare.send_payloads(f"{unique}.info", range(500))
    process.wait_for_lines("got ", 20)
    (cluster.kill if away == "killed" else cluster.pause)(0)
    try:
        process.tell("exit")
        assert process.end() == 0, process.log
    finally:
        (cluster.start if away == "killed" else cluster.resume)(0)
    assert ("the client did not end within" in process.log) == (away == "frozen")


def test_other_drivers_have_none(connect: Connect) -> None:
    """The error names those that have."""
    listener = kafka_notify.get_notification_listener(
        connect("memory://x/?commit_policy=share"), [kafka_notify.Target(topic="t")], [Recorder()]
    )
    with pytest.raises(ConfigurationError, match="kafka://"):
        listener.start()
