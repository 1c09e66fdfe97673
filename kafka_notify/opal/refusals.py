# SPDX-License-Identifier: Apache-2.0
"""Records on the backbone's topic that are no events: counted, told, and buried if so wished."""

from __future__ import annotations

import asyncio

from kafka_notify.core.events import DeadLettered, DeadLetterFailed, RecordUndecodable
from kafka_notify.core.message import Record
from kafka_notify.errors import KafkaNotifyError
from kafka_notify.runtime.deadletters import DeadLetters
from kafka_notify.runtime.transport import NotificationTransport


class Refusals:
    """What becomes of the bad records of one reading; each costs itself only."""

    def __init__(self, transport: NotificationTransport) -> None:
        self._transport = transport
        self._group = transport.settings.consumer_group
        self._letters: DeadLetters | None = None
        if transport.settings.dead_letter:
            self._letters = DeadLetters(
                transport.driver, transport.settings, on_problem=transport.report_problem
            )

    async def take(self, record: Record, reason: str) -> None:
        """Count and tell; with the option dead_letter, return when Kafka has the dead letter.

        One that cannot be written is told as well, and not tried again: the next record comes.
        """
        self._transport.counters.add("undecodable")
        self._transport.monitor.emit(
            RecordUndecodable(
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                reason=reason,
            )
        )
        if self._letters is not None:
            await asyncio.to_thread(self._bury, self._letters, record, reason)

    def _bury(self, letters: DeadLetters, record: Record, reason: str) -> None:
        transport = self._transport
        try:
            letters.write(record, group=self._group, attempts=0, error=reason)
        except KafkaNotifyError as error:
            transport.counters.add("dead_letters_failed")
            transport.monitor.emit(
                DeadLetterFailed(
                    group=self._group,
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    error=error,
                )
            )
            return
        transport.counters.add("dead_lettered")
        transport.monitor.emit(
            DeadLettered(
                group=self._group,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                reason=reason,
            )
        )

    def close(self) -> None:
        """Release the producer of dead letters."""
        if self._letters is not None:
            self._letters.close()
