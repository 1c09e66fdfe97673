# SPDX-License-Identifier: Apache-2.0
"""The broker goes away, or freezes, and comes back or not."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

import kafka_notify
from kafka_notify.broker import Cluster
from kafka_notify.core.events import CommitAbandoned, Event
from kafka_notify.errors import BrokerUnavailable
from tests.conftest import Kafka
from tests.scenarios.conftest import BRISK_MEMBER, BRISK_SESSION_S
from tests.scenarios.processes import WORKERS, Process
from tests.scenarios.recorder import Recorder
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

pytestmark = pytest.mark.functional

Connect = Callable[..., kafka_notify.NotificationTransport]
Start = Callable[..., Process]
# A commit that a client without brokers holds is given up after 45 s; two statistics, a new join.
MADE_ANEW_S = 90.0
MARGIN_S = 10.0  # what a busy machine may add to a bound


def has_grown(sent: list[int], size: int) -> bool:
    """Tell whether more than so many were sent."""
    return len(sent) > size


def listen(
    transport: kafka_notify.NotificationTransport, topic: str, recorder: Recorder, *, pool: str
) -> kafka_notify.NotificationListener:
    """Start a listener."""
    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic=topic)], [recorder], pool=pool
    )
    listener.start()
    return listener


def test_senders_and_listeners_survive_it(
    connect: Connect, brisk: Kafka, brisk_cluster: Cluster, bare_brisk: BareClient, unique: str
) -> None:
    """Stopped, then killed, each time started again: what is sent meanwhile comes once, in order.

    All of it, but for what the log names: a commit whose answer the kill has cut off may or may
    not be stored, and what is stored is not dispatched again.
    """
    bare_brisk.create(f"{unique}.info", 1)
    recorders = {protocol: Recorder() for protocol in BRISK_MEMBER}
    may_be_lost = dict.fromkeys(BRISK_MEMBER, 0)

    def heed(protocol: str, event: Event) -> None:
        if isinstance(event, CommitAbandoned) and event.unknown:
            may_be_lost[protocol] += event.records

    listeners = []
    for protocol, recorder in recorders.items():
        listening = connect(brisk.url(**BRISK_MEMBER[protocol], kafka_consumer_timeout=0.2))
        listening.monitor.subscribe(partial(heed, protocol))
        listeners.append(listen(listening, unique, recorder, pool=f"{unique}-{protocol}"))
    transport = connect(brisk.url())
    sender = kafka_notify.Notifier(transport, "publisher", topics=[unique])
    done = threading.Event()
    sent: list[int] = []

    def stream() -> None:
        while not done.wait(0.001):
            sender.info({}, "outage", len(sent))
            sent.append(len(sent))

    thread = threading.Thread(target=stream)
    thread.start()
    try:
        recorders["classic"].wait(100)
        for end in (brisk_cluster.stop, brisk_cluster.kill):
            end(0)
            before = len(sent)
            eventually(partial(has_grown, sent, before + 500), 60, "500 sent meanwhile")
            brisk_cluster.start(0)
            for recorder in recorders.values():
                recorder.wait_for([before + 500])
    finally:
        done.set()
        thread.join()
    assert transport.flush(60) == 0
    for (protocol, recorder), listener in zip(recorders.items(), listeners, strict=True):
        recorder.wait_for([sent[-1]])
        listener.stop()
        missing = set(sent) - set(recorder.payloads)
        assert recorder.payloads == [number for number in sent if number not in missing]
        assert len(missing) <= may_be_lost[protocol]


@pytest.mark.parametrize("policy", ["before_dispatch", "after_dispatch"])
def test_listeners_that_were_taken_for_dead_go_on(
    policy: str,
    connect: Connect,
    brisk: Kafka,
    brisk_cluster: Cluster,
    bare_brisk: BareClient,
    unique: str,
) -> None:
    """The broker freezes for longer than a member may be silent: all that is sent later comes.

    A broker that thaws knows no brokers for a moment, and a client that asks it then may lose
    sight of all of them for good: it is made anew. What comes twice was told.
    """
    bare_brisk.create(f"{unique}.info")
    recorders = {protocol: Recorder() for protocol in BRISK_MEMBER}
    listeners = []
    listening = []
    for protocol, recorder in recorders.items():
        given = [BRISK_MEMBER[protocol].get("client_options", "")]
        if policy == "after_dispatch":
            given.append("socket.timeout.ms:3000")  # so a commit hangs for longer than is waited
        member = {**BRISK_MEMBER[protocol], "client_options": ",".join(filter(None, given))}
        url = brisk.url(**member, commit_policy=policy, kafka_consumer_timeout=0.2)
        listening.append(connect(url))
        listeners.append(listen(listening[-1], unique, recorder, pool=f"{unique}-{protocol}"))
    transport = connect(brisk.url())
    done = threading.Event()
    sent: list[int] = []

    def stream() -> None:
        notifier = kafka_notify.Notifier(transport, topics=[unique])
        publishers = [notifier.prepare(publisher_id=f"publisher-{one}") for one in range(16)]
        while not done.wait(0.001):
            publishers[len(sent) % 16].info({}, "frozen", len(sent))
            sent.append(len(sent))

    thread = threading.Thread(target=stream)
    thread.start()
    try:
        for recorder in recorders.values():
            recorder.wait(200)
        brisk_cluster.pause(0)
        try:
            assert not done.wait(1.5 * BRISK_SESSION_S)
        finally:
            brisk_cluster.resume(0)
        mark = len(sent)
        eventually(partial(has_grown, sent, mark + 500), 60, "500 more sent")
    finally:
        done.set()
        thread.join()
    assert transport.flush(60) == 0
    for recorder, listener, its in zip(recorders.values(), listeners, listening, strict=True):
        recorder.wait_for(sent[mark:], MADE_ANEW_S)
        listener.stop()
        listener.wait()
        twice = len(recorder.payloads) - len(set(recorder.payloads))
        if policy == "after_dispatch":
            assert set(recorder.payloads) == set(sent)
            assert twice <= its.stats()["may_come_again"]
        else:
            assert twice == 0


@pytest.mark.parametrize("gone", ["killed", "frozen"])
def test_leaving_is_bounded_without_the_broker(
    gone: str,
    brisk: Kafka,
    brisk_cluster: Cluster,
    bare_brisk: BareClient,
    start: Start,
    unique: str,
) -> None:
    """A process with a listener ends in time after SIGTERM, though nobody answers it any more."""
    bare_brisk.create(f"{unique}.info", 1)
    processes = []
    for protocol, options in BRISK_MEMBER.items():
        url = brisk.url(**options, kafka_consumer_timeout=0.2, drain_timeout=2)
        processes.append(start(WORKERS / "listen.py", url, unique, f"{unique}-{protocol}"))
        processes[-1].wait_for_lines("ready")
    bare_brisk.send_payloads(f"{unique}.info", range(10))
    for process in processes:
        process.wait_for_lines("got ", 10)
    end, restore = {
        "killed": (brisk_cluster.kill, brisk_cluster.start),
        "frozen": (brisk_cluster.pause, brisk_cluster.resume),
    }[gone]
    end(0)
    try:
        began = time.monotonic()
        for process in processes:
            process.signal(signal.SIGTERM)
        for process in processes:
            assert process.end() == 143, process.log
        assert time.monotonic() - began < 2 * 2 + MARGIN_S
    finally:
        restore(0)


@pytest.fixture(params=["refused", "silent"])
def nowhere(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the address of no broker: nobody listens, or takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if request.param == "silent":
            listening.listen(50)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_start_is_refused_in_time(connect: Connect, nowhere: str, unique: str) -> None:
    """Nobody answers: start() raises within connect_timeout and names the address."""
    transport = connect(f"kafka://{nowhere}/?connect_timeout=2")
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=nowhere):
        listen(transport, unique, Recorder(), pool=unique)
    assert time.monotonic() - began < 2 + MARGIN_S


def test_start_may_be_tried_again(
    connect: Connect, brisk: Kafka, brisk_cluster: Cluster, unique: str
) -> None:
    """A start() that was refused since the broker was away works once it is back."""
    transport = connect(brisk.url(connect_timeout=5, kafka_consumer_timeout=0.2))
    recorder = Recorder()
    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic=unique)], [recorder], pool=unique
    )
    brisk_cluster.pause(0)
    try:
        with pytest.raises(BrokerUnavailable):
            listener.start()
    finally:
        brisk_cluster.resume(0)
    eventually(lambda: started(listener), 30, "a start")
    kafka_notify.Notifier(transport, "p", topics=[unique]).info({}, "again", 1)
    recorder.wait(1)


def started(listener: kafka_notify.NotificationListener) -> bool:
    """Try to start a listener; a broker that has just come up may need another moment."""
    try:
        listener.start()
    except BrokerUnavailable:
        return False
    return True
