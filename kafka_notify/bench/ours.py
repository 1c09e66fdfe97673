# SPDX-License-Identifier: Apache-2.0
"""Measurements of kafka-notify itself: ``python -m kafka_notify.bench.ours MEASURE …``."""

from __future__ import annotations

import threading
import time
import urllib.parse
from typing import Any

import kafka_notify
from kafka_notify.bench.child import WAIT_S, Arrivals, Figures, Stopwatch, Task, main, percentiles
from kafka_notify.bench.workload import cycle

_WARM_UP = 50


def _transport(task: Task, **more: object) -> kafka_notify.NotificationTransport:
    query = urllib.parse.urlencode({**task.options.get("url", {}), **more})
    return kafka_notify.get_notification_transport(url=f"kafka://{task.brokers}/?{query}")


def _notifiers(
    transport: kafka_notify.NotificationTransport, task: Task
) -> dict[str, kafka_notify.Notifier]:
    base = kafka_notify.Notifier(transport, topics=[task.topic])
    publishers = {one.publisher_id for one in task.notifications}
    return {one: base.prepare(publisher_id=one) for one in publishers}


def send(task: Task) -> Figures:
    """Send as quickly as one thread can; the clock ends when Kafka has confirmed all."""
    with _transport(task) as transport:
        notifiers = _notifiers(transport, task)
        warm = task.notifications[0]
        notifiers[warm.publisher_id].info({}, warm.event_type, warm.payload)
        transport.flush(WAIT_S)
        watch = Stopwatch()
        for one in cycle(task.notifications, task.count):
            notifiers[one.publisher_id].info({}, one.event_type, one.payload)
        transport.flush(WAIT_S)
        figures = watch.stop(task.count)
        figures["confirmed"] = transport.stats()["confirmed"] - 1
    return figures


def send_confirmed(task: Task) -> Figures:
    """Send with delivery=confirm from some threads: each ``info()`` returns when Kafka has it."""
    callers = int(task.options["callers"])
    each = task.count // callers
    with _transport(task, delivery="confirm") as transport:
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
        return watch.stop(each * callers)


class _Counting:
    """An endpoint that only counts."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._add = arrivals.add

    def info(self, *_notification: Any) -> None:
        """Count one."""
        self._add()


class _CountingBatches:
    """A batch endpoint that only counts."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._add = arrivals.add

    def info(self, notifications: list[Any]) -> None:
        """Count them."""
        self._add(len(notifications))


def receive(task: Task) -> Figures:
    """Receive what a topic holds; from the first to the last notification at the endpoint."""
    arrivals = Arrivals(task.count)
    batch = task.options.get("batch")
    with _transport(task, group_start="beginning") as transport:
        target = kafka_notify.Target(topic=task.topic)
        pool = task.options.get("pool", task.topic)
        if batch:
            listener = kafka_notify.get_batch_notification_listener(
                transport, [target], [_CountingBatches(arrivals)], pool=pool, batch_size=batch
            )
        else:
            listener = kafka_notify.get_notification_listener(
                transport, [target], [_Counting(arrivals)], pool=pool
            )
        listener.start()
        return arrivals.wait()


class _Clock:
    """An endpoint that notes when one arrives."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.at_s = 0.0

    def info(self, *_notification: Any) -> None:
        """Note the time."""
        self.at_s = time.perf_counter()
        self.arrived.set()


def latency(task: Task) -> Figures:
    """Send one at a time; from before ``info()`` to the endpoint."""
    clock = _Clock()
    taken = []
    with _transport(task) as transport:
        listener = kafka_notify.get_notification_listener(
            transport, [kafka_notify.Target(topic=task.topic)], [clock], pool=task.topic
        )
        listener.start()
        notifiers = _notifiers(transport, task)
        for one in cycle(task.notifications, task.count + _WARM_UP):
            clock.arrived.clear()
            sent_s = time.perf_counter()
            notifiers[one.publisher_id].info({}, one.event_type, one.payload)
            if not clock.arrived.wait(WAIT_S):
                raise SystemExit("a notification did not arrive")
            taken.append(clock.at_s - sent_s)
    return percentiles(taken[_WARM_UP:])


MEASURES = {
    "send": send,
    "send_confirmed": send_confirmed,
    "receive": receive,
    "latency": latency,
}

if __name__ == "__main__":
    main(MEASURES)
