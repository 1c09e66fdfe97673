# SPDX-License-Identifier: Apache-2.0
"""The same with a bare confluent-kafka client, as quick as it goes: what nobody can undercut.

``python -m kafka_notify.bench.raw MEASURE …``. No notification is encoded or decoded here.
"""

from __future__ import annotations

import itertools
import struct
import sys
import threading
import time
from typing import Any

from confluent_kafka import Consumer, Message, Producer

from kafka_notify.bench.child import WAIT_S, Arrivals, Figures, Stopwatch, Task, main, percentiles
from kafka_notify.bench.connection import client_config
from kafka_notify.bench.pacing import at_rate
from kafka_notify.bench.workload import record_of

_WARM_UP = 50
_COMMIT_EACH = 500
_IDLE_S = 2.0
_TIME = struct.Struct("d")
_BUFFER = {"queue.buffering.max.messages": 100_000, "queue.buffering.max.kbytes": 65_536}


def _producer(task: Task, **more: object) -> Producer:
    return Producer(
        {
            **client_config(task),
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 0,
            **more,
            **task.options.get("librdkafka", {}),
        }
    )


def _consumer(task: Task) -> Consumer:
    consumer = Consumer(
        {
            **client_config(task),
            "group.id": task.options.get("pool", task.topic),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **task.options.get("librdkafka", {}),
        }
    )
    consumer.subscribe([task.log])
    return consumer


def send(task: Task) -> Figures:
    """Produce records that are made beforehand; each has a delivery report."""
    producer = _producer(task, **_BUFFER)
    records = [record_of(one) for one in task.notifications]
    confirmed = 0

    def report(error: object, _message: object) -> None:
        nonlocal confirmed
        confirmed += error is None

    producer.produce(task.log, records[0][1], records[0][0])
    producer.flush(WAIT_S)
    watch = Stopwatch()
    for key, value in itertools.islice(itertools.cycle(records), task.count):
        while True:
            try:
                producer.produce(task.log, value, key, on_delivery=report)
                break
            except BufferError:
                producer.poll(0.01)
        producer.poll(0)
    producer.flush(WAIT_S)
    figures = watch.stop(task.count)
    if confirmed != task.count:
        sys.exit(f"{task.count - confirmed} of {task.count} not confirmed")
    return figures


def send_confirmed(task: Task) -> Figures:
    """Produce from some threads, each of which waits for its record's delivery report."""
    callers = int(task.options["callers"])
    each = task.count // callers
    producer = _producer(task, **_BUFFER)
    records = [record_of(one) for one in task.notifications]
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            producer.poll(0.1)

    def call(count: int) -> None:
        confirmed = threading.Semaphore(0)
        for key, value in itertools.islice(itertools.cycle(records), count):
            producer.produce(task.log, value, key, on_delivery=lambda *_: confirmed.release())
            confirmed.acquire()

    threading.Thread(target=serve, daemon=True).start()
    call(1)
    threads = [threading.Thread(target=call, args=(each,)) for _ in range(callers)]
    watch = Stopwatch()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures = watch.stop(each * callers)
    ended.set()
    return figures


def _take(consumer: Consumer, count: int, timeout_s: float) -> list[Message]:
    return [one for one in consumer.consume(count, timeout_s) if one.error() is None]


def receive(task: Task) -> Figures:
    """Consume what a topic holds, with a synchronous commit per 500 records.

    Of few, large ones per twentieth. With ``shared`` other processes of the group get some of it.
    """
    consumer = _consumer(task)
    arrivals = Arrivals(task.count)
    shared = bool(task.options.get("shared"))
    if shared:
        _await_assignment(consumer)
    task.announce()
    deadline = time.monotonic() + WAIT_S
    latest: Figures = {"count": 0}
    each = max(1, min(_COMMIT_EACH, task.count // 20))
    while not arrivals.complete and time.monotonic() < deadline:
        found = _take(consumer, min(each, task.count - arrivals.count), 0.1 if shared else 1.0)
        if found:
            consumer.commit(asynchronous=False)
            arrivals.add(len([one.value() for one in found]))
            latest = arrivals.figures()
        elif shared and time.monotonic() > latest.get("ended_s", deadline) + _IDLE_S:
            break
    figures = latest if shared else arrivals.wait()
    consumer.close()
    return figures


def _await_assignment(consumer: Consumer) -> None:
    deadline = time.monotonic() + WAIT_S
    while not consumer.assignment() and time.monotonic() < deadline:
        if consumer.poll(0.1) is not None:
            sys.exit("a record came before the group had formed")


def paced(task: Task) -> Figures:
    """Produce at a steady ``rate``; each record says in a header when it was due."""
    producer = _producer(task, **_BUFFER)
    records = {id(one): record_of(one) for one in task.notifications}
    producer.produce(task.log, b"", b"warm")
    producer.flush(WAIT_S)
    watch = Stopwatch()
    for one, due_s in at_rate(task):
        key, value = records[id(one)]
        producer.produce(task.log, value, key, headers=[("due", _TIME.pack(due_s))])
        producer.poll(0)
    figures = watch.stop(task.count)
    producer.flush(WAIT_S)
    return figures


def delays(task: Task) -> Figures:
    """Consume what another process sends at a rate, with a commit before each hand-over."""
    consumer = _consumer(task)
    commits = task.options.get("commits", True)
    arrivals = Arrivals(task.count)
    taken: list[float] = []
    _await_assignment(consumer)
    task.announce()
    deadline = time.monotonic() + WAIT_S
    while not arrivals.complete and time.monotonic() < deadline:
        first = consumer.poll(1.0)  # consume() alone would wait for 500
        found = (
            [] if first is None or first.error() else [first, *_take(consumer, _COMMIT_EACH, 0)]
        )
        if found and commits:
            consumer.commit(asynchronous=False)
        now_s = time.monotonic()
        due: list[Any] = [one.headers() for one in found if one.headers()]
        taken += [now_s - _TIME.unpack(headers[0][1])[0] for headers in due]
        arrivals.add(len(due))
    figures = arrivals.wait()
    consumer.close()
    return figures | percentiles(taken)


def first_sent(task: Task) -> Figures:
    """Produce one; from the start of the process until Kafka has confirmed it."""
    producer = _producer(task)
    key, value = record_of(task.notifications[0])
    producer.produce(task.log, value, key)
    if producer.flush(WAIT_S):
        sys.exit("the record was not delivered")
    return {"first_ms": task.since_spawned_s() * 1000}


def first_received(task: Task) -> Figures:
    """Consume one that is there; from the start of the process."""
    consumer = _consumer(task)
    message = consumer.poll(WAIT_S)
    if message is None or message.error():
        sys.exit("no record arrived")
    figures = {"first_ms": task.since_spawned_s() * 1000}
    consumer.close()
    return figures


def latency(task: Task) -> Figures:
    """Produce, poll, and hand over, one at a time: with a commit before that, or without."""
    producer, consumer = _producer(task), _consumer(task)
    commits = task.options.get("commits", True)
    records = [record_of(one) for one in task.notifications]
    taken = []
    for key, value in itertools.islice(itertools.cycle(records), task.count + _WARM_UP):
        sent_s = time.perf_counter()
        producer.produce(task.log, value, key)
        producer.poll(0)
        message = consumer.poll(WAIT_S)
        if message is None or message.error():
            raise SystemExit("a record did not arrive")
        if commits:
            consumer.commit(asynchronous=False)
        taken.append(time.perf_counter() - sent_s)
    consumer.close()
    producer.flush(WAIT_S)
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
