# SPDX-License-Identifier: Apache-2.0
"""From records to notifications: one that is none costs itself only, and is told."""

from __future__ import annotations

from kafka_notify.core.envelope import decode
from kafka_notify.core.events import Monitor, RecordUndecodable
from kafka_notify.core.message import Notification, Record
from kafka_notify.core.wire import Read, read_whole
from kafka_notify.errors import UndecodableRecord
from kafka_notify.runtime.counters import Counters


class Decoder:
    """Decode the records of one listener. Threads: any.

    ``read`` reads a notification's JSON text.
    """

    def __init__(self, *, monitor: Monitor, counters: Counters, read: Read = read_whole) -> None:
        self._read = read
        self._monitor = monitor
        self._counters = counters

    def decode(self, record: Record) -> Notification:
        """Return the record's notification; raise UndecodableRecord, counted and told."""
        try:
            return decode(record.value, self._read)
        except UndecodableRecord as error:
            self.tell(record, str(error))
            raise

    def tell(self, record: Record, reason: str) -> None:
        """Count and tell a record that no endpoint can get."""
        self._counters.add("undecodable")
        self._monitor.emit(
            RecordUndecodable(
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                reason=reason,
            )
        )
