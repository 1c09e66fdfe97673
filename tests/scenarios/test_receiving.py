# SPDX-License-Identifier: Apache-2.0
"""Each pool gets each notification once, in order, whatever its members do and endpoints take."""

from __future__ import annotations

import signal
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import kafka_notify
from tests.conftest import Kafka
from tests.scenarios.processes import WORKERS, Process
from tests.scenarios.recorder import BatchRecorder, Recorder
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

pytestmark = pytest.mark.functional

Connect = Callable[..., kafka_notify.NotificationTransport]
Start = Callable[..., Process]
Options = dict[str, Any]
PUBLISHERS = 32
ALL_S = 120.0


def listen(
    transport: kafka_notify.NotificationTransport, topic: str, *endpoints: Any, pool: str = ""
) -> kafka_notify.NotificationListener:
    """Start a listener on a topic, in the pool of that name if no other is given."""
    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic=topic)], endpoints, pool=pool or topic
    )
    listener.start()
    return listener


def send(transport: kafka_notify.NotificationTransport, topic: str, numbers: range) -> None:
    """Send each number as (publisher, number); a publisher's numbers rise."""
    notifier = kafka_notify.Notifier(transport, topics=[topic])
    publishers = [notifier.prepare(publisher_id=f"publisher-{one}") for one in range(PUBLISHERS)]
    for number in numbers:
        publishers[number % PUBLISHERS].info({}, "receiving", number)


def no_lag(bare: BareClient, group: str, topic: str) -> bool:
    """Tell whether a group has committed all that is in the topic."""
    return bare.lag(group, topic) == 0


def in_order(payloads: list[int]) -> bool:
    """Tell whether each publisher's numbers rise."""
    by_publisher = defaultdict(list)
    for number in payloads:
        by_publisher[number % PUBLISHERS].append(number)
    return all(numbers == sorted(numbers) for numbers in by_publisher.values())


def test_pools_and_members(
    member: Options, connect: Connect, brisk: Kafka, bare_brisk: BareClient, unique: str
) -> None:
    """Each of two pools gets all, once and in order; the two members of one share its part."""
    transport = connect(brisk.url(**member))
    alone, one, other = Recorder(), Recorder(), Recorder()
    listeners = [
        listen(transport, unique, alone, pool=f"{unique}-alone"),
        listen(transport, unique, one),
        listen(transport, unique, other),
    ]
    # The second member's start() returns when it can miss nothing, not when it has its share.
    sent: list[int] = []

    def shared() -> bool:
        more = range(len(sent), len(sent) + PUBLISHERS)
        send(transport, unique, more)
        sent.extend(more)
        return bool(one.calls and other.calls)

    eventually(shared, 60, "both members at work")
    more = range(len(sent), len(sent) + 2000)
    send(transport, unique, more)
    sent.extend(more)
    transport.flush()
    for group in (unique, f"{unique}-alone"):
        at_end = partial(no_lag, bare_brisk, group, f"{unique}.info")
        eventually(at_end, 60, f"{group} at the end")
    for listener in listeners:
        listener.stop()
    assert sorted(alone.payloads) == sent
    assert sorted(one.payloads + other.payloads) == sent
    assert all(map(in_order, (alone.payloads, one.payloads, other.payloads)))


def test_an_orderly_stop_under_load_costs_nothing(
    member: Options, connect: Connect, brisk: Kafka, start: Start, unique: str
) -> None:
    """A member joins, another gets SIGTERM, while a sender sends: none lost, none twice."""
    url = brisk.url(**member)
    transport = connect(brisk.url())
    first = start(WORKERS / "listen.py", url, unique, unique)
    first.wait_for_lines("ready")
    sent: list[int] = []
    done = threading.Event()

    def stream() -> None:
        while not done.wait(0.005):
            more = range(len(sent), len(sent) + PUBLISHERS)
            send(transport, unique, more)
            sent.extend(more)

    sender = threading.Thread(target=stream)
    sender.start()
    try:
        first.wait_for_lines("got ", 1000)
        second = start(WORKERS / "listen.py", url, unique, unique)
        second.wait_for_lines("got ", 1000)
        first.signal(signal.SIGTERM)
        assert first.end() == 143, first.log
        second.wait_for_lines("got ", len(second.lines("got ")) + 5000)
    finally:
        done.set()
        sender.join()
    second.wait_for_lines("got ", len(sent) - len(first.lines("got ")), ALL_S)
    second.signal(signal.SIGTERM)
    assert second.end() == 143, second.log
    got = [int(line.split()[1]) for line in first.lines("got ") + second.lines("got ")]
    assert sorted(got) == sent


def test_a_killed_member_loses_no_more_than_its_window(
    member: Options, brisk: Kafka, bare_brisk: BareClient, start: Start, unique: str
) -> None:
    """kill -9 in a backlog of 5,000: at most dispatch_window is lost, and nothing comes twice."""
    count, window = 5000, 200
    topic = f"{unique}.info"
    bare_brisk.create(topic)
    bare_brisk.send_payloads(topic, range(count))
    url = brisk.url(**member, group_start="beginning", dispatch_window=window)
    first = start(WORKERS / "listen.py", url, unique, unique, "--delay", 0.001)
    first.wait_for_lines("got ", 500)
    first.signal(signal.SIGKILL)
    assert first.end() == -signal.SIGKILL
    second = start(WORKERS / "listen.py", url, unique, unique)
    second.wait_for_lines("ready")
    eventually(lambda: bare_brisk.lag(unique, topic) == 0, ALL_S, "the end of the backlog")
    second.signal(signal.SIGTERM)
    assert second.end() == 143, second.log
    times = Counter(first.lines("got ") + second.lines("got "))
    assert set(times.values()) == {1}
    assert count - window <= len(times) <= count
    assert second.lines("got ")


def test_partitions_that_come_back_to_a_busy_member_are_read(
    member: Options, connect: Connect, brisk: Kafka, bare_brisk: BareClient, unique: str
) -> None:
    """Given up while all its endpoints are at work, given back later: what is sent there comes."""
    topic = f"{unique}.info"
    bare_brisk.create(topic)
    go = threading.Event()
    busy, other = Recorder(on_call=lambda _: go.wait(60)), Recorder()
    url = brisk.url(**member, dispatch_window=8, drain_timeout=0.5)
    transport = connect(url)
    listen(transport, unique, busy)
    send(transport, unique, range(200))
    eventually(lambda: bare_brisk.lag(unique, topic) == 192, 30, "a full window")
    second = listen(connect(url), unique, other)
    eventually(lambda: bare_brisk.shares(unique) == [2, 2], 30, "two shares")
    second.stop()
    eventually(lambda: bare_brisk.shares(unique) == [4], 30, "all back at the first")
    send(transport, unique, range(200, 400))
    go.set()
    eventually(lambda: no_lag(bare_brisk, unique, topic), 30, "the end of the topic")
    eventually(lambda: len(busy.calls + other.calls) >= 400, 30, "all dispatched")
    assert sorted(busy.payloads + other.payloads) == list(range(400))


def test_order_holds_with_slow_endpoints(
    connect: Connect, kafka: Kafka, bare: BareClient, unique: str
) -> None:
    """Over 4 partitions each publisher's notifications come in order, and never two at once."""
    bare.create(f"{unique}.info", 4)
    pause = threading.Event()
    lock = threading.Lock()
    running: set[int] = set()
    overlaps: list[int] = []

    def slow(number: int) -> None:
        publisher = number % PUBLISHERS
        with lock:
            if publisher in running:
                overlaps.append(number)
            running.add(publisher)
        pause.wait(0.001 * (number % 7))
        with lock:
            running.discard(publisher)

    recorder = Recorder(on_call=slow)
    transport = connect(kafka.url(kafka_consumer_timeout=0.2))
    listen(transport, unique, recorder)
    send(transport, unique, range(2000))
    recorder.wait(2000)
    assert overlaps == []
    assert in_order(recorder.payloads)
    assert sorted(recorder.payloads) == list(range(2000))


def test_slow_endpoints_run_side_by_side(connect: Connect, kafka: Kafka, unique: str) -> None:
    """64 notifications of as many publishers are in their endpoints at one time."""
    together = threading.Barrier(64)
    recorder = Recorder(on_call=lambda _: together.wait(60))
    transport = connect(kafka.url(kafka_consumer_timeout=0.2))
    listen(transport, unique, recorder)
    notifier = kafka_notify.Notifier(transport, topics=[unique])
    for number in range(128):
        notifier.prepare(publisher_id=f"publisher-{number % 64}").info({}, "wait", number)
    recorder.wait(128)
    assert transport.stats()["endpoint_errors"] == 0


def test_an_endpoint_that_raises_costs_itself_alone(
    connect: Connect, kafka: Kafka, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The other endpoint and the other notifications are served; the log has the message_id."""

    def refuse(number: int) -> None:
        if number == 3:
            raise ValueError("on purpose")

    failing, other = Recorder(on_call=refuse), Recorder()
    transport = connect(kafka.url(kafka_consumer_timeout=0.2))
    listen(transport, unique, failing, other)
    send(transport, unique, range(10))
    other.wait(10)
    failing.wait(9)
    (message_id,) = set(other.ids) - set(failing.ids)
    (record,) = [record for record in caplog.records if message_id in record.getMessage()]
    assert record.levelname == "ERROR"
    assert record.exc_info is not None


POISON = {
    "not UTF-8": b"\xff\xfe\x00",
    "not JSON": b"{'a': 1}",
    "a list": b"[1, 2]",
    "a tombstone": None,
    "an envelope of another version": b'{"oslo.version": "9.0", "oslo.message": "{}"}',
}


def test_poison_costs_itself_alone(
    connect: Connect,
    kafka: Kafka,
    bare: BareClient,
    unique: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Records that are no notifications are named in the log; all around them are dispatched."""
    topic = f"{unique}.info"
    bare.create(topic, 1)
    for number, value in enumerate(POISON.values()):
        bare.send_payloads(topic, range(number * 20, number * 20 + 20))
        bare.send(topic, [value], key=b"publisher")
    bare.send_payloads(topic, range(100, 120))
    recorder = Recorder()
    transport = connect(kafka.url(group_start="beginning", kafka_consumer_timeout=0.2))
    listen(transport, unique, recorder)
    recorder.wait(120)
    assert recorder.payloads == list(range(120))
    assert transport.stats()["undecodable"] == len(POISON)
    errors = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert len(errors) == len(POISON)
    for number, error in enumerate(errors):
        assert f"{topic} partition 0 offset {number * 21 + 20}:" in error


def test_poison_in_a_batch_costs_itself_alone(
    connect: Connect, kafka: Kafka, bare: BareClient, unique: str
) -> None:
    """The notifications of a batch come, without what is none."""
    topic = f"{unique}.info"
    bare.create(topic, 1)
    bare.send_payloads(topic, range(5))
    bare.send(topic, POISON.values())
    bare.send_payloads(topic, range(5, 10))
    recorder = BatchRecorder()
    transport = connect(kafka.url(group_start="beginning", kafka_consumer_timeout=0.2))
    listener = kafka_notify.get_batch_notification_listener(
        transport,
        [kafka_notify.Target(topic=unique)],
        [recorder],
        pool=unique,
        batch_size=15,
    )
    listener.start()
    assert recorder.wait(10) == [list(range(10))]
    assert transport.stats()["undecodable"] == len(POISON)


def test_batches(connect: Connect, kafka: Kafka, unique: str) -> None:
    """A batch has batch_size, or what is there batch_timeout after its first notification."""
    recorder = BatchRecorder()
    transport = connect(kafka.url(kafka_consumer_timeout=0.2))
    listener = kafka_notify.get_batch_notification_listener(
        transport,
        [kafka_notify.Target(topic=unique)],
        [recorder],
        pool=unique,
        batch_size=10,
        batch_timeout=2,
    )
    listener.start()
    send(transport, unique, range(25))
    sizes = [len(batch) for batch in recorder.wait(25)]
    assert sizes == [10, 10, 5]
    send(transport, unique, range(25, 35))
    assert [len(batch) for batch in recorder.wait(35)] == [*sizes, 10]
    payloads = [payload for batch in recorder.batches for payload in batch]
    assert sorted(payloads) == list(range(35))
    assert in_order(payloads)


def test_an_open_batch_is_left_for_the_next_member(
    connect: Connect, kafka: Kafka, bare: BareClient, unique: str
) -> None:
    """Stopped before a batch is full and due: it is uncommitted, and the next start gets it."""
    recorder = BatchRecorder()
    transport = connect(kafka.url(kafka_consumer_timeout=0.2, group_protocol="classic"))
    listener = kafka_notify.get_batch_notification_listener(
        transport,
        [kafka_notify.Target(topic=unique)],
        [recorder],
        pool=unique,
        batch_size=10,
    )
    listener.start()
    send(transport, unique, range(15))
    recorder.wait(10)
    listener.stop()
    listener.wait()
    assert bare.lag(unique, f"{unique}.info") == 5
    send(transport, unique, range(15, 20))
    listener.start()
    recorder.wait(20)
    payloads = [payload for batch in recorder.batches for payload in batch]
    assert sorted(payloads) == list(range(20))


def test_a_vhost_keeps_to_itself(connect: Connect, kafka: Kafka, unique: str) -> None:
    """Equal topics and pools in two vhosts, and in none, share nothing."""
    recorders = {}
    for vhost in ("", "blue", "green"):
        transport = connect(kafka.url(vhost, kafka_consumer_timeout=0.2))
        recorders[vhost] = Recorder()
        listen(transport, unique, recorders[vhost], pool=f"{unique}-{vhost}")
        kafka_notify.Notifier(transport, "p", topics=[unique]).info({}, "vhost", f"to {vhost}")
    for vhost, recorder in recorders.items():
        recorder.wait(1)
        assert recorder.payloads == [f"to {vhost}"]


def test_an_endpoint_may_stop_its_listener(
    connect: Connect, brisk: Kafka, bare_brisk: BareClient, unique: str
) -> None:
    """stop() called by an endpoint returns at once; wait() returns when the rest is dispatched."""
    listeners: list[kafka_notify.NotificationListener] = []

    def stop(number: int) -> None:
        if number == 5:
            listeners[0].stop()

    recorder = Recorder(on_call=stop)
    transport = connect(brisk.url(kafka_consumer_timeout=0.2))
    bare_brisk.create(f"{unique}.info")
    listeners.append(listen(transport, unique, recorder))
    send(transport, unique, range(10))
    listeners[0].wait()
    got = recorder.payloads
    assert 5 in got
    assert len(got) == 10 - bare_brisk.lag(unique, f"{unique}.info")
    send(transport, unique, range(10, 20))
    listeners[0].start()
    recorder.wait(20)
    assert sorted(recorder.payloads) == list(range(20))


def test_filters_choose_what_an_endpoint_gets(connect: Connect, kafka: Kafka, unique: str) -> None:
    """By publisher, event type, payload and context; the endpoint without a filter gets all."""
    screen = kafka_notify.NotificationFilter(
        publisher_id="^compute",
        event_type=r"^instance\.",
        payload={"state": "^active$"},
        context={"project_id": "^7"},
    )
    chosen, everything = Recorder(screen=screen), Recorder()
    transport = connect(kafka.url(kafka_consumer_timeout=0.2))
    listen(transport, unique, chosen, everything)
    notifier = kafka_notify.Notifier(transport, topics=[unique])
    for publisher in ("compute.1", "network.1"):
        for event in ("instance.create", "port.create"):
            for state in ("active", "error"):
                for project in ("7a", "8a"):
                    notifier.prepare(publisher_id=publisher).info(
                        {"project_id": project}, event, {"state": state}
                    )
    everything.wait(16)
    chosen.wait(1)
    (call,) = chosen.calls
    assert (call.publisher_id, call.event_type) == ("compute.1", "instance.create")
    assert (call.ctxt, call.payload) == ({"project_id": "7a"}, {"state": "active"})
