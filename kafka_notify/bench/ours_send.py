# SPDX-License-Identifier: Apache-2.0
"""How we send: as quickly as it goes, confirmed one by one, at a rate, and the first time."""

from __future__ import annotations

import threading

from kafka_notify.bench.child import WAIT_S, Figures, Stopwatch, Task
from kafka_notify.bench.ours_client import notifiers_of, open_transport
from kafka_notify.bench.ours_receive import receive
from kafka_notify.bench.pacing import at_rate
from kafka_notify.bench.workload import cycle


def send(task: Task) -> Figures:
    """Send as quickly as one thread can; the clock ends when Kafka has confirmed all."""
    with open_transport(task) as transport:
        notifiers = notifiers_of(transport, task)
        warm = task.notifications[0]
        notifiers[warm.publisher_id].info({}, warm.event_type, warm.payload)
        transport.flush(WAIT_S)
        watch = Stopwatch()
        for one in cycle(task.notifications, task.count):
            notifiers[one.publisher_id].info({}, one.event_type, one.payload)
        transport.flush(WAIT_S)
        figures = watch.stop(task.count)
        confirmed = transport.stats()["confirmed"] - 1
    if confirmed != task.count:
        raise SystemExit(f"{task.count - confirmed} of {task.count} not confirmed")
    return figures


def send_confirmed(task: Task) -> Figures:
    """Send with delivery=confirm from some threads: each ``info()`` returns when Kafka has it."""
    callers = int(task.options["callers"])
    each = task.count // callers
    with open_transport(task, delivery="confirm") as transport:
        notifiers = notifiers_of(transport, task)

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


def paced(task: Task) -> Figures:
    """Send at a steady ``rate``; each notification says when it was due."""
    with open_transport(task) as transport:
        notifiers = notifiers_of(transport, task)
        warm = task.notifications[0]
        notifiers[warm.publisher_id].info({}, warm.event_type, warm.payload | {"due_s": 0.0})
        transport.flush(WAIT_S)
        watch = Stopwatch()
        for one, due_s in at_rate(task):
            payload = one.payload | {"due_s": due_s}
            notifiers[one.publisher_id].info({}, one.event_type, payload)
        figures = watch.stop(task.count)
        transport.flush(WAIT_S)
    return figures


def first_sent(task: Task) -> Figures:
    """Send one; from the start of the process until Kafka has confirmed it."""
    with open_transport(task) as transport:
        one = task.notifications[0]
        notifiers_of(transport, task)[one.publisher_id].info({}, one.event_type, one.payload)
        transport.flush(WAIT_S)
        if not transport.stats()["confirmed"]:
            raise SystemExit("the notification was not confirmed")
        return {"first_ms": task.since_spawned_s() * 1000}


def send_receive(task: Task) -> Figures:
    """Send, then receive, in one process: for clusters that live in it."""
    with open_transport(task):  # which keeps the cluster
        sent = send(task)
        return {**receive(task), "sent_rate": sent["rate"]}
