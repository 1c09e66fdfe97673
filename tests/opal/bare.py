# SPDX-License-Identifier: Apache-2.0
"""A bare client: topics made and records written as others would."""

from __future__ import annotations

import json
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

TIMEOUT_S = 30.0


def make_topic(bootstrap: str, topic: str, partitions: int = 1, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=config)
    admin.create_topics([wanted])[topic].result(TIMEOUT_S)


def write(bootstrap: str, topic: str, *values: bytes | None) -> None:
    """Write records without a key, confirmed."""
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 20_000_000})
    failed: list[Any] = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: error and failed.append(error))
    assert producer.flush(TIMEOUT_S) == 0
    assert not failed


def read(bootstrap: str, topic: str) -> list[Any]:
    """Return the JSON of all that a topic holds, partition by partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bare-reader"})
    found = []
    for number in consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions:
        where = TopicPartition(topic, number, 0)
        _, end = consumer.get_watermark_offsets(where, timeout=TIMEOUT_S)
        consumer.assign([where])
        position = 0
        while position < end:
            message = consumer.poll(TIMEOUT_S)
            assert message is not None
            assert message.error() is None
            position = message.offset() + 1
            found.append(message.value())
    consumer.close()
    return [json.loads(value) for value in found if value is not None]
