# SPDX-License-Identifier: Apache-2.0
"""A record as a row of an outbox file, and the checksum that tells a damaged one."""

from __future__ import annotations

import struct
import zlib
from typing import Any, NamedTuple

from kafka_notify.runtime.outgoing import Outgoing

COLUMNS = "seq, topic, message_id, headers, key, crc, value"
"""The value comes last, so that large ones do not stand between the others."""

_LENGTHS = struct.Struct(">HI")


class Row(NamedTuple):
    """One record and its place in the order of sending."""

    seq: int
    record: Outgoing


def values(row: Row) -> tuple[Any, ...]:
    """Return what goes into the columns."""
    record = row.record
    headers = _packed(record.headers)
    message_id = None if record.message_id is None else str(record.message_id)
    crc = _checksum(row.seq, record.topic, message_id, headers, record.key, record.value)
    return row.seq, record.topic, message_id, headers, record.key, crc, record.value


def row(columns: tuple[Any, ...]) -> Row | None:
    """Return the row of these columns; None if they are not what was stored."""
    seq, topic, message_id, headers, key, crc, value = columns
    try:
        if crc != _checksum(seq, topic, message_id, headers, key, value):
            return None
        record = Outgoing(
            topic=topic, key=key, value=value, message_id=message_id, headers=_unpacked(headers)
        )
    except (TypeError, ValueError, AttributeError, struct.error):
        return None
    return Row(seq, record)


def _checksum(
    seq: int,
    topic: str,
    message_id: str | None,
    headers: bytes | None,
    key: bytes | None,
    value: bytes,
) -> int:
    crc = zlib.crc32(f"{seq!r} {topic!r} {message_id!r} {headers!r} {key!r} ".encode())
    return zlib.crc32(value, crc)


def _packed(headers: tuple[tuple[str, bytes], ...]) -> bytes | None:
    if not headers:
        return None
    parts = []
    for name, value in headers:
        text = name.encode()
        parts += [_LENGTHS.pack(len(text), len(value)), text, value]
    return b"".join(parts)


def _unpacked(packed: bytes | None) -> tuple[tuple[str, bytes], ...]:
    headers = []
    at = 0
    while packed is not None and at < len(packed):
        name_length, value_length = _LENGTHS.unpack_from(packed, at)
        at += _LENGTHS.size
        middle = at + name_length
        end = middle + value_length
        if end > len(packed):
            raise ValueError("headers end too early")
        headers.append((packed[at:middle].decode(), packed[middle:end]))
        at = end
    return tuple(headers)
