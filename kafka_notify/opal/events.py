# SPDX-License-Identifier: Apache-2.0
"""What is on the backbone's topic: BroadcastNotification, as OPAL's servers write it.

``{"notifier_id": "…", "topics": ["policy_data"], "data": …}``; the topics are OPAL's, and the data
is whatever a server says to its clients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from kafka_notify.core.message import Record
from kafka_notify.errors import UndecodableRecord


class Broadcasted(NamedTuple):
    """One event of the backbone."""

    notifier_id: str
    topics: list[str]
    data: Any
    text: str


def decode(record: Record, *, max_bytes: int) -> Broadcasted:
    """Return the event that a record holds.

    Raises UndecodableRecord, with what is wrong, for a tombstone, one that is larger than
    ``max_bytes`` (websocket clients close on a message that large), no UTF-8, no JSON, or
    another schema.
    """
    value = record.value
    if value is None:
        raise UndecodableRecord("it has no value (a tombstone)")
    if len(value) > max_bytes:
        raise UndecodableRecord(f"{len(value)} bytes, max_record_bytes={max_bytes}")
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise UndecodableRecord(f"not UTF-8: {error.reason} at byte {error.start}") from error
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise UndecodableRecord(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UndecodableRecord("no JSON object, which a BroadcastNotification is")
    notifier_id, topics = found.get("notifier_id"), found.get("topics")
    if not isinstance(notifier_id, str):
        raise UndecodableRecord("notifier_id: a text is needed")
    if not isinstance(topics, list) or not all(isinstance(each, str) for each in topics):
        raise UndecodableRecord("topics: a list of texts is needed")
    return Broadcasted(notifier_id, topics, found.get("data"), text)
