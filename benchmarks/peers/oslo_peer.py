# SPDX-License-Identifier: Apache-2.0
"""oslo.messaging: over its own Kafka driver, over ours, and over one that costs nothing.

    python benchmarks/peers/oslo_peer.py MEASURE … --options '{"scheme": "kafka-notify"}'

The scheme ``null`` is a driver whose polls return prepared messages: what oslo.messaging's own
notification server can do at most.
"""

from __future__ import annotations

import threading
import time
import urllib.parse
from typing import Any

import oslo_messaging
from confluent_kafka import Consumer, TopicPartition
from oslo_config import cfg
from oslo_messaging._drivers import base

from kafka_notify.bench.child import WAIT_S, Arrivals, Figures, Stopwatch, Task, main, percentiles
from kafka_notify.bench.pacing import at_rate
from kafka_notify.bench.workload import cycle

_WARM_UP = 3  # each of upstream's takes half a second
_IDLE_S = 2.0
_JOINED_S = 2.0


def _transport(task: Task, **more: object) -> Any:
    conf = cfg.ConfigOpts()
    conf([])
    query = urllib.parse.urlencode({**task.options.get("url", {}), **more})
    url = f"{task.options.get('scheme', 'kafka')}://{task.brokers}/" + (
        f"?{query}" if query else ""
    )
    return oslo_messaging.get_notification_transport(conf, url=url)


def _notifiers(transport: Any, task: Task) -> dict[str, Any]:
    first = oslo_messaging.Notifier(transport, driver="messagingv2", topics=[task.topic])
    publishers = {one.publisher_id for one in task.notifications}
    return {one: first.prepare(publisher_id=one) for one in publishers}


def send(task: Task) -> Figures:
    """Send as quickly as one thread can; the clock ends when ``cleanup()`` has flushed."""
    transport = _transport(task)
    notifiers = _notifiers(transport, task)
    warm = task.notifications[0]
    notifiers[warm.publisher_id].info({}, warm.event_type, warm.payload)
    watch = Stopwatch()
    for one in cycle(task.notifications, task.count):
        notifiers[one.publisher_id].info({}, one.event_type, one.payload)
    transport.cleanup()
    return watch.stop(task.count)


def send_confirmed(task: Task) -> Figures:
    """Send from some threads with our plug-in's delivery=confirm; upstream has no such thing."""
    callers = int(task.options["callers"])
    each = task.count // callers
    transport = _transport(task, delivery="confirm")
    notifiers = _notifiers(transport, task)

    def call(count: int) -> None:
        for one in cycle(task.notifications, count):
            notifiers[one.publisher_id].info({}, one.event_type, one.payload)

    call(1)
    threads = [threading.Thread(target=call, args=(each,)) for _ in range(callers)]
    watch = Stopwatch()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures = watch.stop(each * callers)
    transport.cleanup()
    return figures


def paced(task: Task) -> Figures:
    """Send at a steady ``rate``; each notification says when it was due."""
    transport = _transport(task)
    notifiers = _notifiers(transport, task)
    warm = task.notifications[0]
    notifiers[warm.publisher_id].info({}, warm.event_type, warm.payload | {"due_s": 0.0})
    watch = Stopwatch()
    for one, due_s in at_rate(task):
        notifiers[one.publisher_id].info({}, one.event_type, one.payload | {"due_s": due_s})
    figures = watch.stop(task.count)
    transport.cleanup()
    return figures


def first_sent(task: Task) -> Figures:
    """Send one; from the start of the process until ``cleanup()`` has flushed it."""
    transport = _transport(task)
    one = task.notifications[0]
    _notifiers(transport, task)[one.publisher_id].info({}, one.event_type, one.payload)
    transport.cleanup()
    return {"first_ms": task.since_spawned_s() * 1000}


class _Counting:
    def __init__(self, arrivals: Arrivals) -> None:
        self._add = arrivals.add

    def info(self, *_notification: Any) -> None:
        self._add()


def _listen(task: Task, transport: Any, endpoint: object) -> Any:
    listener = oslo_messaging.get_notification_listener(
        transport,
        [oslo_messaging.Target(topic=task.topic)],
        [endpoint],
        executor="threading",
        pool=task.options.get("pool", task.topic),
    )
    listener.start()
    return listener


def _receiving_transport(task: Task) -> Any:
    scheme = task.options.get("scheme", "kafka")
    if scheme == "null":
        return _null_transport(task)
    if scheme == "kafka-notify":
        return _transport(task, group_start="beginning")
    if not task.options.get("shared"):  # else the topic is empty when its members join
        _begin_at_the_start(task)
    return _transport(task)


def _begin_at_the_start(task: Task) -> None:
    """Commit the group's offsets: upstream's groups begin at the end, and nothing changes that."""
    consumer = Consumer(
        {
            "bootstrap.servers": task.brokers,
            "group.id": task.options.get("pool", task.topic),
            "enable.auto.commit": False,
        }
    )
    partitions = consumer.list_topics(task.log, timeout=WAIT_S).topics[task.log].partitions
    offsets = [TopicPartition(task.log, one, 0) for one in partitions]
    consumer.commit(offsets=offsets, asynchronous=False)
    consumer.close()


def receive(task: Task) -> Figures:
    """Receive what a topic holds; from the first to the last notification at the endpoint.

    With ``shared`` other processes of the pool get some of it.
    """
    arrivals = Arrivals(task.count)
    shared = task.options.get("shared")
    transport = _receiving_transport(task)
    listener = _listen(task, transport, _Counting(arrivals))
    task.announce()
    figures = arrivals.wait_until_idle(_IDLE_S) if shared else arrivals.wait()
    _end(listener, transport)
    return figures


def delays(task: Task) -> Figures:
    """Receive what another process sends at a rate; from when it was due to the endpoint."""
    taken: list[float] = []
    arrivals = Arrivals(task.count)

    class Clock:
        def info(self, _c: Any, _p: Any, _e: Any, payload: dict[str, Any], _m: Any) -> None:
            if payload["due_s"]:
                taken.append(time.monotonic() - payload["due_s"])
                arrivals.add()

    transport = _receiving_transport(task)
    listener = _listen(task, transport, Clock())
    if task.options.get("scheme", "kafka") == "kafka":
        time.sleep(_JOINED_S)  # start() does not wait for the group
    task.announce()
    figures = arrivals.wait()
    _end(listener, transport)
    return figures | percentiles(taken)


def first_received(task: Task) -> Figures:
    """Receive one that is there; from the start of the process until the endpoint has it."""
    arrivals = Arrivals(1)
    transport = _receiving_transport(task)
    listener = _listen(task, transport, _Counting(arrivals))
    arrivals.wait()
    figures = {"first_ms": task.since_spawned_s() * 1000}
    _end(listener, transport)
    return figures


def _end(listener: Any, transport: Any) -> None:
    listener.stop()
    listener.wait()
    transport.cleanup()


class _NullMessage(base.IncomingMessage):  # type: ignore[misc]
    def acknowledge(self) -> None:
        pass

    def requeue(self) -> None:
        pass


class _NullListener(base.PollStyleListener):  # type: ignore[misc]
    """Returns each prepared message once, at no cost."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        super().__init__()
        self._messages = iter(messages)

    def poll(self, *_arguments: Any, **_more: Any) -> Any:
        for message in self._messages:
            return [_NullMessage({}, message)]
        time.sleep(0.01)
        return []


class _NullDriver(base.BaseDriver):  # type: ignore[misc]
    def __init__(self, conf: Any, messages: list[dict[str, Any]]) -> None:
        super().__init__(conf, None)
        self._prepared = messages

    def listen_for_notifications(self, *_arguments: Any, **_more: Any) -> Any:
        return base.PollStyleListenerAdapter(_NullListener(self._prepared), 1, None)

    def send(self, *_arguments: Any, **_more: Any) -> None:
        raise NotImplementedError

    def send_notification(self, *_arguments: Any, **_more: Any) -> None:
        raise NotImplementedError

    def listen(self, *_arguments: Any, **_more: Any) -> Any:
        raise NotImplementedError

    def cleanup(self) -> None:
        pass


def _null_transport(task: Task) -> Any:
    conf = cfg.ConfigOpts()
    conf([])
    messages = [
        {
            "message_id": str(number),
            "publisher_id": one.publisher_id,
            "event_type": one.event_type,
            "priority": "INFO",
            "payload": one.payload,
            "timestamp": "2026-11-22 11:16:32.270352",
        }
        for number, one in enumerate(cycle(task.notifications, task.count))
    ]
    transport = oslo_messaging.get_notification_transport(conf, url="fake://")
    transport._driver = _NullDriver(conf, messages)
    return transport


class _Clock:
    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.at_s = 0.0

    def info(self, *_notification: Any) -> None:
        self.at_s = time.perf_counter()
        self.arrived.set()


def latency(task: Task) -> Figures:
    """Send one at a time; from before ``info()`` to the endpoint."""
    transport = _transport(task)
    clock = _Clock()
    listener = _listen(task, transport, clock)
    notifiers = _notifiers(transport, task)
    taken = []
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:  # upstream's listener may not have joined yet
        notifiers[task.notifications[0].publisher_id].info({}, "warm.up", {})
        if clock.arrived.wait(2):
            break
    time.sleep(_JOINED_S)
    for one in cycle(task.notifications, task.count + _WARM_UP):
        clock.arrived.clear()
        sent_s = time.perf_counter()
        notifiers[one.publisher_id].info({}, one.event_type, one.payload)
        if not clock.arrived.wait(WAIT_S):
            raise SystemExit("a notification did not arrive")
        taken.append(clock.at_s - sent_s)
    _end(listener, transport)
    return percentiles(taken[_WARM_UP:])


MEASURES = {
    "delays": delays,
    "first_received": first_received,
    "first_sent": first_sent,
    "latency": latency,
    "paced": paced,
    "receive": receive,
    "send": send,
    "send_confirmed": send_confirmed,
}

if __name__ == "__main__":
    main(MEASURES)
