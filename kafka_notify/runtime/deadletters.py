# SPDX-License-Identifier: Apache-2.0
"""Writing dead letters: confirmed by Kafka, each to the dead-letter topic of its own topic."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone

from kafka_notify.core import deadletter, naming
from kafka_notify.core.message import Record
from kafka_notify.core.settings import MAX_RECORD_BYTES, Settings
from kafka_notify.drivers.base import Driver, OnProblem, ProducerClient
from kafka_notify.errors import BrokerError, DeliveryError, DeliveryTimeout
from kafka_notify.native import time

_ATTEMPT_S = 5.0
_GRACE_S = 5.0
_LIMIT = "max.message.bytes"


class DeadLetters:
    """The dead letters of one listener. Threads: one, but for ``abandon``.

    Its producer is its own: it takes larger records than a sender's, and no full buffer of others
    stands in its way.
    """

    def __init__(self, driver: Driver, settings: Settings, *, on_problem: OnProblem) -> None:
        self._driver = driver
        self._settings = settings
        self._on_problem = on_problem
        self._producer: ProducerClient | None = None
        self._topics: set[str] = set()

    def write(self, record: Record, *, group: str, attempts: int, error: str) -> None:
        """Return when Kafka has confirmed the dead letter.

        Blocks some ten seconds, and at most four times ``connect_timeout`` for a topic's first.
        Raises DeliveryError or BrokerError; then it may be written all the same, and comes twice.
        """
        topic = naming.dead_letter_topic(record.topic)
        refused = self._ensure(topic, record.topic)
        reports: list[DeliveryError | None] = []
        producer = self._producer or self._open()
        producer.send(
            topic,
            record.value,
            key=record.key,
            headers=deadletter.headers(
                record,
                group=group,
                attempts=attempts,
                error=error,
                time=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            ),
            token=reports,
        )
        deadline = time.monotonic() + _ATTEMPT_S + _GRACE_S
        while not reports:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise DeliveryTimeout(
                    f"dead letter to {topic}: the client gave no delivery report",
                    topic=topic,
                    retriable=True,
                )
            producer.poll(min(left_s, 0.1))
        if reports[0] is not None:
            raise reports[0] from refused
        self._topics.add(topic)

    def _open(self) -> ProducerClient:
        self._producer = self._driver.new_producer(
            on_report=_keep_report,
            on_problem=self._on_problem,
            settings=dataclasses.replace(
                self._settings,
                delivery="confirm",
                confirm_timeout=_ATTEMPT_S,
                max_record_bytes=MAX_RECORD_BYTES,
            ),
        )
        return self._producer

    def _ensure(self, topic: str, source: str) -> BrokerError | None:
        """Make the dead-letter topic, with room for the largest record of its source.

        Returns what stood in the way: a cluster that refuses may still make it for the record.
        """
        if topic in self._topics:
            return None
        bound = self._settings.connect_timeout
        admin = self._driver.new_admin(on_problem=self._on_problem)
        try:
            if topic not in admin.partition_counts([topic], bound):
                limit = admin.topic_config(source, _LIMIT, bound)
                config = {} if limit is None else {_LIMIT: str(int(limit) + deadletter.ROOM_BYTES)}
                return admin.create_topics(
                    [topic],
                    partitions=self._settings.topic_partitions,
                    replication_factor=self._settings.topic_replication_factor,
                    timeout_s=bound,
                    config=config,
                )[topic]
        except BrokerError as error:
            return error
        finally:
            admin.close()
        return None

    def abandon(self) -> None:
        """Forget the producer in a child of fork."""
        if self._producer is not None:
            self._producer.abandon()
            self._producer = None

    def close(self) -> None:
        """Release the producer. Idempotent."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close()


def _keep_report(
    token: list[DeliveryError | None],
    _topic: str,
    _partition: int,
    _offset: int,
    error: DeliveryError | None,
) -> None:
    token.append(error)
