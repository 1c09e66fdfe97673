# SPDX-License-Identifier: Apache-2.0
"""Topics for measurements: made, and filled with records, with a bare client."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from kafka_notify.bench.child import WAIT_S
from kafka_notify.bench.workload import record_of
from kafka_notify.demo.samples import Sample

_BATCH_S = 0.005


def make_topic(brokers: str, topic: str, *, partitions: int) -> None:
    """Make a topic; records may be large."""
    admin = AdminClient({"bootstrap.servers": brokers})
    made = NewTopic(topic, partitions, 1, config={"max.message.bytes": "2000000"})
    admin.create_topics([made])[topic].result(WAIT_S)


def delete_topic(brokers: str, topic: str) -> None:
    """Delete a topic, so that its records do not take up the disk."""
    admin = AdminClient({"bootstrap.servers": brokers})  # held until it has answered
    admin.delete_topics([topic])[topic].result(WAIT_S)


def fill(
    brokers: str, topic: str, *, count: int, notifications: Sequence[Sample], keys: int = 0
) -> None:
    """Write ``count`` records, the notifications over and over, keyed by publisher.

    With ``keys`` they are keyed by so many different ones instead, in turn.
    """
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,
            "linger.ms": _BATCH_S * 1000,
            "message.max.bytes": 2_000_000,
            "queue.buffering.max.kbytes": 131_072,
        }
    )
    records = [record_of(one) for one in notifications]
    for number, (key, value) in enumerate(itertools.islice(itertools.cycle(records), count)):
        while True:
            try:
                producer.produce(topic, value, b"key-%d" % (number % keys) if keys else key)
                break
            except BufferError:
                producer.poll(0.05)
    if producer.flush(WAIT_S):
        raise SystemExit("the topic could not be filled")
