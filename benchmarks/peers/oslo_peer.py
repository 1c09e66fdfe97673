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
from oslo_config import cfg
from oslo_messaging._drivers import base

from kafka_notify.bench.child import WAIT_S, Arrivals, Figures, Stopwatch, Task, main, percentiles
from kafka_notify.bench.workload import cycle

_WARM_UP = 20


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


def receive(task: Task) -> Figures:
    """Receive what a topic holds; from the first to the last notification at the endpoint."""
    scheme = task.options.get("scheme", "kafka")
    more = {"group_start": "beginning"} if scheme == "kafka-notify" else {}
    arrivals = Arrivals(task.count)
    if scheme == "null":
        transport = _null_transport(task)
    else:
        transport = _transport(task, **more)
    listener = _listen(task, transport, _Counting(arrivals))
    figures = arrivals.wait()
    listener.stop()
    listener.wait()
    transport.cleanup()
    return figures


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

    def poll(self, timeout: float | None = None) -> Any:
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

    def send_notification(self, *_arguments: Any, **_more: Any) -> None:
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
    time.sleep(2)
    for one in cycle(task.notifications, task.count + _WARM_UP):
        clock.arrived.clear()
        sent_s = time.perf_counter()
        notifiers[one.publisher_id].info({}, one.event_type, one.payload)
        if not clock.arrived.wait(WAIT_S):
            raise SystemExit("a notification did not arrive")
        taken.append(clock.at_s - sent_s)
    listener.stop()
    listener.wait()
    transport.cleanup()
    return percentiles(taken[_WARM_UP:])


if __name__ == "__main__":
    main({"send": send, "receive": receive, "latency": latency})
