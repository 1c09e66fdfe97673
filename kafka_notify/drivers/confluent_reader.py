# SPDX-License-Identifier: Apache-2.0
"""The reader over confluent_kafka: partitions assigned by hand, in no group.

It neither chooses what is read nor remembers how far; it says when what comes next is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from kafka_notify.core.message import Partition, Record
from kafka_notify.drivers.confluent_client import leak
from kafka_notify.drivers.confluent_consumer import to_record
from kafka_notify.drivers.confluent_errors import Problems
from kafka_notify.drivers.confluent_health import Health
from kafka_notify.drivers.confluent_offsets import Offsets
from kafka_notify.drivers.confluent_topic_ids import TopicIds
from kafka_notify.errors import (
    BrokerUnavailable,
    ClosedError,
    ConsumerFenced,
    RecordsGone,
)

_GONE = (
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._LOG_TRUNCATION,
)
_LEAST_S = 0.1


class KafkaReader:
    """``drivers.base.ReaderClient`` over one librdkafka consumer."""

    def __init__(
        self,
        client: Consumer,
        *,
        health: Health,
        topic_ids: TopicIds,
        address: str,
        problems: Problems,
    ) -> None:
        self._maybe_client: Consumer | None = client
        self._offsets = Offsets(
            client, problems=problems, brings_records=lambda: bool(self._assigned)
        )
        self._assigned: frozenset[Partition] = frozenset()
        self._health = health
        self._topic_ids = topic_ids
        self._address = address
        self._problems = problems
        self._gone: list[Partition] = []

    @property
    def _client(self) -> Consumer:
        if self._maybe_client is None:
            raise self._closed()
        return self._maybe_client

    @property
    def _questions(self) -> Offsets:
        if self._maybe_client is None:
            raise self._closed()
        return self._offsets

    def _closed(self) -> ClosedError:
        return ClosedError(f"the reader of {self._address} is closed")

    # --- questions

    def partition_counts(self, topics: Sequence[str], timeout_s: float) -> dict[str, int]:
        """Return how many partitions these topics have; see ``ReaderClient``."""
        counts = {}
        for topic in topics:
            try:
                found = self._client.list_topics(topic, timeout=max(_LEAST_S, timeout_s))
            except KafkaException as error:
                raise self._problems.explain(error.args[0], doing="asking for topics") from error
            partitions = found.topics[topic].partitions
            if found.topics[topic].error is None and partitions:
                counts[topic] = len(partitions)
        return counts

    def start_offsets(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the first offset of each partition."""
        return self._questions.starts(partitions, timeout_s)

    def end_offsets(
        self, partitions: Sequence[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the offset that the next record of each partition will get."""
        return self._questions.ends(partitions, timeout_s)

    # --- records

    def read_from(self, next_offsets: Mapping[Partition, int]) -> None:
        """Read these partitions, and no others; see ``ReaderClient``."""
        self._gone = []
        self._assigned = frozenset(next_offsets)
        self._client.assign(
            [
                TopicPartition(where.topic, where.number, offset)
                for where, offset in next_offsets.items()
            ]
        )

    def take(self, limit: int, timeout_s: float) -> list[Record]:
        """Return what is there; see ``ReaderClient.take``."""
        client = self._client
        if self._gone:
            self._raise_gone()
        first = client.poll(timeout_s)
        records = [] if first is None else self._read_all([first])
        if first is not None and limit > 1:
            records += self._read_all(client.consume(limit - 1, 0))
        records = self._without_renewed(records)
        if not records:
            if self._gone:
                self._raise_gone()
            if self._health.knows_no_broker:
                raise BrokerUnavailable(
                    f"reading from {self._address}: the client has lost sight of all brokers; "
                    "make the reader anew"
                )
        return records

    def _without_renewed(self, records: list[Record]) -> list[Record]:
        """Take what a topic that was made anew has for gone: its offsets mean other records."""
        renewed = self._topic_ids.renewed(self._assigned)
        self._topic_ids.forget()
        if renewed:
            self._gone.extend(one for one in renewed if one not in self._gone)
            return [one for one in records if one.where not in renewed]
        return records

    def _read_all(self, messages: Iterable[Message]) -> list[Record]:
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(to_record(message))
            else:
                self._heed(error, message)
        return records

    def _heed(self, error: KafkaError, message: Message) -> None:
        topic, number = message.topic(), message.partition()
        if error.fatal() or error.code() == KafkaError._FATAL:
            raise ConsumerFenced(
                f"reading from {self._address}: {error.str()}; make the reader anew",
                code=error.name(),
            )
        if error.code() in _GONE and topic is not None and number is not None:
            self._gone.append(Partition(topic, number))
        else:
            self._problems.heard_of(f"reading topic {topic}", error)

    def _raise_gone(self) -> None:
        gone, self._gone = self._gone, []
        raise RecordsGone(
            f"reading from {self._address}: the next records of {', '.join(map(str, gone))} are "
            "not there any more: removed, or the topic was deleted and made anew",
            partitions=gone,
        )

    # --- the end

    def abandon(self) -> None:
        """Forget the client in a child of fork; see ``leak``."""
        client, self._maybe_client = self._maybe_client, None
        leak(client)

    def close(self) -> None:
        """Release the client."""
        client, self._maybe_client = self._maybe_client, None
        if client is not None:
            client.close()
