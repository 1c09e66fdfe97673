# SPDX-License-Identifier: Apache-2.0
"""Topics for measurements, made and filled with a bare client.

``python -m kafka_notify.bench.load make|fill|delete …``, a process of its own as the measurements
are, so that whoever measures needs no client.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from kafka_notify.bench.child import WAIT_S, Figures, Stopwatch, Task, main
from kafka_notify.bench.connection import client_config
from kafka_notify.bench.workload import cycle, pause_s, record_of

_TOPIC_CONFIG = {"max.message.bytes": "2000000"}
_BATCH_S = 0.005
_GONE_S = 15.0


def topics_of(task: Task) -> list[str]:
    """Return the names on Kafka of the task's topics: one, or ``topics`` of them."""
    count = int(task.options.get("topics", 0))
    return [f"{task.topic}-{number}.info" for number in range(count)] or [task.log]


def make(task: Task) -> Figures:
    """Make the topics, each of ``partitions``; records may be large."""
    admin = AdminClient(client_config(task))
    watch = Stopwatch()
    partitions = int(task.options.get("partitions", 4))
    topics = topics_of(task)
    made = admin.create_topics([NewTopic(one, partitions, config=_TOPIC_CONFIG) for one in topics])
    for one in made.values():
        one.result(WAIT_S)
    # They are made where the controller is; the brokers hear of them a moment later.
    deadline = time.monotonic() + WAIT_S
    while not _all_led(admin, topics) and time.monotonic() < deadline:
        time.sleep(0.05)
    return watch.stop(len(topics))


def _all_led(admin: AdminClient, topics: list[str]) -> bool:
    known = admin.list_topics(timeout=WAIT_S).topics
    return all(
        one in known and all(each.leader >= 0 for each in known[one].partitions.values())
        for one in topics
    )


def delete(task: Task) -> Figures:
    """Delete the topics, so that their records do not take up the disk."""
    admin = AdminClient(client_config(task))
    watch = Stopwatch()
    for deleted in admin.delete_topics(topics_of(task)).values():
        try:
            deleted.result(_GONE_S)
        except KafkaException as error:
            sys.stderr.write(f"a topic was not deleted: {error}\n")
    return watch.stop(1)


def fill(task: Task) -> Figures:
    """Write ``count`` records, the notifications over and over, keyed by publisher.

    Options: ``keys`` keys them by so many different ones instead, in turn; ``pauses`` has each
    name how long its endpoint is to take; ``hidden`` writes them in a transaction, which ends
    when stdin does: all of them can be read from one moment on.
    """
    hidden = bool(task.options.get("hidden"))
    producer = Producer(_producer_config(task, hidden=hidden))
    if hidden:
        producer.init_transactions(WAIT_S)
        producer.begin_transaction()
    topics = topics_of(task)
    watch = Stopwatch()
    for number, (key, value) in enumerate(_records(task)):
        while True:
            try:
                producer.produce(topics[number % len(topics)], value, key)
                break
            except BufferError:
                producer.poll(0.05)
    if producer.flush(WAIT_S):
        raise SystemExit("the topic could not be filled")
    figures = watch.stop(task.count)
    if hidden:
        task.announce()
        sys.stdin.read()
        producer.commit_transaction(WAIT_S)
    return figures


def _producer_config(task: Task, *, hidden: bool) -> dict[str, Any]:
    config: dict[str, Any] = {
        **client_config(task),
        "enable.idempotence": True,
        "linger.ms": _BATCH_S * 1000,
        "message.max.bytes": 2_000_000,
        "queue.buffering.max.kbytes": 131_072,
        **task.options.get("librdkafka", {}),
    }
    if hidden:
        config |= {"transactional.id": task.topic, "transaction.timeout.ms": 300_000}
    return config


def _records(task: Task) -> Iterator[tuple[bytes, bytes]]:
    keys, pauses = int(task.options.get("keys", 0)), task.options.get("pauses")
    made = [record_of(one) for one in task.notifications]
    for number, one in enumerate(cycle(task.notifications, task.count)):
        key, value = made[number % len(made)]
        if pauses:
            pause = {"pause_s": pause_s(number, *pauses)}
            key, value = record_of(one._replace(payload=one.payload | pause))
        yield (b"key-%d" % (number % keys) if keys else key), value


if __name__ == "__main__":
    main({"make": make, "fill": fill, "delete": delete})
