# SPDX-License-Identifier: Apache-2.0
"""The same with a bare confluent-kafka client, as quick as it goes: what nobody can undercut.

``python -m kafka_notify.bench.raw MEASURE …``. No notification is encoded or decoded here.
"""

from __future__ import annotations

import itertools
import time

from confluent_kafka import Consumer, Producer

from kafka_notify.bench.child import WAIT_S, Arrivals, Figures, Stopwatch, Task, main, percentiles
from kafka_notify.bench.workload import record_of

_WARM_UP = 50
_COMMIT_EACH = 500
_BUFFER = {"queue.buffering.max.messages": 100_000, "queue.buffering.max.kbytes": 65_536}


def _producer(task: Task, **more: object) -> Producer:
    return Producer(
        {
            "bootstrap.servers": task.brokers,
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
            "bootstrap.servers": task.brokers,
            "group.id": task.options.get("pool", task.topic),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
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
    figures["confirmed"] = confirmed
    return figures


def receive(task: Task) -> Figures:
    """Consume what a topic holds, with a synchronous commit per 500 records."""
    consumer = _consumer(task)
    arrivals = Arrivals(task.count)
    deadline = time.monotonic() + WAIT_S
    while not arrivals.complete and time.monotonic() < deadline:
        found = [one for one in consumer.consume(_COMMIT_EACH, 1.0) if one.error() is None]
        if found:
            consumer.commit(asynchronous=False)
            arrivals.add(len([one.value() for one in found]))
    figures = arrivals.wait()
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


MEASURES = {"send": send, "receive": receive, "latency": latency}

if __name__ == "__main__":
    main(MEASURES)
