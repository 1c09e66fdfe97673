# SPDX-License-Identifier: Apache-2.0
"""A dead letter: the record as it was, byte for byte, and headers that say why it lies here."""

from __future__ import annotations

from kafka_notify.core.message import Record

PREFIX = "dlq."
_LONGEST_ERROR = 2000  # bytes; so a record at the size limit still fits, see ROOM_BYTES
ROOM_BYTES = 8192
"""How much larger than its record a dead letter may be."""


def headers(
    record: Record, *, group: str, attempts: int, error: str, time: str
) -> list[tuple[str, bytes | None]]:
    """Return the record's own headers, then ours.

    ``dlq.topic``, ``dlq.partition``, ``dlq.offset``: where it was; ``dlq.group``: which pool could
    not handle it; ``dlq.attempts``: how often it was handed to an endpoint, 0 if it could not be
    decoded; ``dlq.error``; ``dlq.time``: when it was given up, ISO 8601 in UTC. Those of an
    earlier burial stay, before ours: Kafka's readers take the last of a name.
    """
    ours = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "group": group,
        "attempts": str(attempts),
        "error": error,
        "time": time,
    }
    shown = [(f"{PREFIX}{name}", _cut(text.encode())) for name, text in ours.items()]
    return [*record.headers, *shown]


def _cut(text: bytes) -> bytes:
    return text[:_LONGEST_ERROR].decode(errors="ignore").encode()
