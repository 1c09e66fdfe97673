# SPDX-License-Identifier: Apache-2.0
"""What every system sends and receives: the same notifications, as values and as records."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from kafka_notify.core.envelope import encode
from kafka_notify.demo.samples import Sample, sample_notifications
from kafka_notify.errors import ConfigurationError

_MADE_UP = 140  # as many as Nova documents
_TIMESTAMP = "2026-11-22 11:16:32.270352"


def samples(path: str | None = None) -> list[Sample]:
    """Return the notifications of a file of JSON lines; without one, made-up ones like Nova's.

    A line holds publisher_id, event_type and payload. All are sent with priority info, so that
    each system has one topic. Raises ConfigurationError for a file that has none.
    """
    if path is None:
        return [one._replace(priority="info") for one in sample_notifications(_MADE_UP)]
    try:
        lines = [orjson.loads(line) for line in Path(path).read_bytes().splitlines() if line]
        found = [
            Sample("info", line["publisher_id"], line["event_type"], line["payload"])
            for line in lines
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"--file {path}: no notifications can be read: {error!r}"
        ) from error
    if not found:
        raise ConfigurationError(f"--file {path}: it is empty")
    return found


def sized(found: Sequence[Sample], record_bytes: int) -> list[Sample]:
    """Return notifications whose records have about so many bytes: lists of the payloads.

    The smallest possible is the smallest of them.
    """
    by_size = sorted(found, key=lambda one: len(record_of(one)[1]))
    parts: list[dict[str, Any]] = []
    size = len(record_of(by_size[0])[1])
    if size >= record_bytes:
        return by_size[:1]
    for one in itertools.cycle(by_size):
        size += len(orjson.dumps(orjson.dumps(one.payload).decode()))
        if size > record_bytes:
            break
        parts.append(one.payload)
    return [by_size[0]._replace(payload={"several": parts})]


def pause_s(number: int, least_s: float, most_s: float) -> float:
    """Return how long the endpoint of a record takes, by its number: evenly spread.

    The Java peer has the same rule.
    """
    return least_s + (most_s - least_s) * ((number * 2_654_435_761) % 2**32) / 2**32


def cycle(found: Sequence[Sample], count: int) -> Iterator[Sample]:
    """Yield ``count`` notifications, over and over in their order."""
    return itertools.islice(itertools.cycle(found), count)


def record_of(sample: Sample) -> tuple[bytes, bytes]:
    """Return key and value of the record that carries a notification, as a notifier writes it."""
    message: dict[str, Any] = {
        "message_id": str(uuid.uuid4()),
        "publisher_id": sample.publisher_id,
        "event_type": sample.event_type,
        "priority": sample.priority.upper(),
        "payload": sample.payload,
        "timestamp": _TIMESTAMP,
    }
    return sample.publisher_id.encode(), encode(message, {})
