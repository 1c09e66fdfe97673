# SPDX-License-Identifier: Apache-2.0
"""Kafka as a bare client sees it: what is in a topic, and where a group is. Nothing of ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupState,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewPartitions, NewTopic

from tests.waiting import eventually

ANSWER_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One notification in a topic's log."""

    partition: int
    offset: int
    key: bytes | None
    fields: dict[str, Any]

    @property
    def payload(self) -> Any:
        """What was sent."""
        return self.fields["payload"]


class BareClient:
    """Look at a cluster and prepare it. Threads: one."""

    def __init__(self, bootstrap: str) -> None:
        self._config: dict[str, Any] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._admin = AdminClient(self._config)

    # --- what is there

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has, 0 if it does not exist."""
        found = self._admin.list_topics(timeout=ANSWER_S).topics.get(topic)
        return 0 if found is None or found.error is not None else len(found.partitions)

    def read(self, topic: str) -> list[Stored]:
        """Return all that the topic holds now, partition by partition."""
        return [_decoded(message) for message in self.read_raw(topic)]

    def read_raw(self, topic: str) -> list[Message]:
        """Same as read, undecoded."""
        consumer = Consumer({**self._config, "group.id": "unused", "enable.auto.commit": False})
        try:
            left = eventually(lambda: self._ends(consumer, topic), ANSWER_S, f"ends of {topic}")
            left = {number: end for number, end in left.items() if end}
            if not left:
                return []
            consumer.assign([TopicPartition(topic, one, OFFSET_BEGINNING) for one in left])
            found: list[Message] = []

            def complete() -> bool:
                for message in consumer.consume(1000, 0.1):
                    assert message.error() is None, message.error()
                    found.append(message)
                    partition, offset = message.partition(), message.offset()
                    assert partition is not None
                    assert offset is not None
                    if offset + 1 >= left.get(partition, 0):
                        left.pop(partition, None)
                return not left

            eventually(complete, ANSWER_S, f"the end of {topic}")
            return sorted(found, key=lambda message: (message.partition(), message.offset()))
        finally:
            consumer.close()

    def _ends(self, consumer: Consumer, topic: str) -> dict[int, int] | None:
        """Return where each partition ends; None while one that is new has no leader."""
        try:
            return {
                where.partition: consumer.get_watermark_offsets(where, ANSWER_S)[1]
                for where in self._all(topic)
            } or {-1: 0}
        except KafkaException:
            return None

    def payloads(self, topic: str) -> list[Any]:
        """Return the payloads that the topic holds now."""
        return [stored.payload for stored in self.read(topic)]

    def _all(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(self.partitions(topic))]

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return the next offset of each partition that the group has one for."""
        return {one.partition: one.offset for one in self._group_offsets(group, topic)}

    def note(self, group: str, topic: str) -> str:
        """Return what the group has left beside the offset of the topic's first partition."""
        found = self._group_offsets(group, topic)
        return next((one.metadata or "" for one in found if one.partition == 0), "")

    def _group_offsets(self, group: str, topic: str) -> list[TopicPartition]:
        # Not by the admin client: its question to a coordinator that has just come up can end the
        # process (librdkafka 2.16).
        consumer = Consumer({**self._config, "group.id": group})
        try:
            found = consumer.committed(self._all(topic), ANSWER_S)
            return [one for one in found if one.offset >= 0]
        finally:
            consumer.close()

    def lag(self, group: str, topic: str) -> int:
        """Return how many records of the topic the group has not committed.

        An offset beyond the end of its partition is as far from it.
        """
        committed = self.committed(group, topic)
        ends = self.ends(topic)
        return sum(abs(end - committed.get(number, 0)) for number, end in ends.items())

    def size(self, topic: str) -> int:
        """Return how many records the topic holds, if none was ever removed."""
        return sum(self.ends(topic).values())

    def ends(self, topic: str) -> dict[int, int]:
        """Return the offset of each partition that the next record gets."""
        consumer = Consumer({**self._config, "group.id": "unused"})
        try:
            return {
                where.partition: consumer.get_watermark_offsets(where, ANSWER_S)[1]
                for where in self._all(topic)
            }
        finally:
            consumer.close()

    def shares(self, group: str) -> list[int]:
        """Return how many partitions each member of a group has, while that is settled."""
        (future,) = self._admin.describe_consumer_groups([group]).values()
        found = future.result(ANSWER_S)
        if found.state is not ConsumerGroupState.STABLE:
            return []
        return [len(member.assignment.topic_partitions) for member in found.members]

    # --- what is to be there

    def create(self, topic: str, partitions: int = 4, **config: str) -> None:
        """Create a topic; config's names have ``_`` for ``.``."""
        new = NewTopic(
            topic,
            partitions,
            1,
            config={name.replace("_", "."): value for name, value in config.items()},
        )
        self._admin.create_topics([new])[topic].result(ANSWER_S)
        eventually(lambda: self.partitions(topic) == partitions, ANSWER_S, f"topic {topic}")

    def deny_writing(self, topic: str, user: str) -> None:
        """Forbid a user to write to a topic, on a Kafka that asks who may what."""
        rule = AclBinding(
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation.WRITE,
            AclPermissionType.DENY,
        )
        self._admin.create_acls([rule])[rule].result(ANSWER_S)

    def grow(self, topic: str, partitions: int) -> None:
        """Add partitions, to as many as given."""
        self._admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(ANSWER_S)
        eventually(lambda: self.partitions(topic) == partitions, ANSWER_S, f"more of {topic}")

    def delete(self, topic: str) -> None:
        """Delete a topic, and with it what groups have committed of it."""
        self._admin.delete_topics([topic])[topic].result(ANSWER_S)
        eventually(lambda: not self.partitions(topic), ANSWER_S, f"the end of topic {topic}")

    def truncate(self, topic: str, offset: int, *, partition: int = 0) -> None:
        """Remove a partition's records below ``offset``, as retention does."""
        upto = TopicPartition(topic, partition, offset)
        self._admin.delete_records([upto])[upto].result(ANSWER_S)

    def send(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        key: bytes | None = None,
        partition: int = -1,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Write raw records and return when they are stored."""
        failures: list[object] = []

        def report(error: object, _message: Message) -> None:
            if error:
                failures.append(error)

        # A new one each time, since an old one may not know of new partitions yet.
        bounds = {"acks": "all", "message.timeout.ms": 30_000}
        producer = Producer({**self._config, **bounds, **(options or {})})
        for value in values:
            producer.produce(topic, value, key, partition=partition, on_delivery=report)
        assert producer.flush(ANSWER_S) == 0
        assert failures == []

    def send_payloads(self, topic: str, payloads: Iterable[Any], *, partition: int = -1) -> None:
        """Write notifications as any sender would and return when they are stored."""
        self.send(topic, map(envelope, payloads), key=b"publisher", partition=partition)


def envelope(payload: Any, **fields: Any) -> bytes:
    """Return the wire form of a notification, written without our encoder."""
    message = {
        "message_id": f"id-{payload}-{threading.get_ident()}",
        "publisher_id": "publisher",
        "event_type": "raw",
        "priority": "INFO",
        "payload": payload,
        "timestamp": "2026-01-02 03:04:05.000006",
        "_context": {},
        **fields,
    }
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)}).encode()


def _decoded(message: Message) -> Stored:
    value = message.value()
    assert value is not None
    return Stored(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=message.key(),
        fields=json.loads(json.loads(value)["oslo.message"]),
    )
