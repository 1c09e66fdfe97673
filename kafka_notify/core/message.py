# SPDX-License-Identifier: Apache-2.0
"""The values that travel: targets, notifications, records, positions, delivery reports.

They know nothing of Kafka's client nor of the wire format.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from kafka_notify.errors import DeliveryError

PRIORITIES = ("audit", "debug", "info", "warn", "error", "critical", "sample")
"""The priorities in upstream's order: a notification's topic and endpoint method are named so."""


class NotificationResult:
    """What an endpoint may return; None counts as HANDLED."""

    HANDLED = "handled"
    REQUEUE = "requeue"


@dataclass(frozen=True, slots=True)
class Target:
    """Name where notifications go or come from.

    Only ``topic`` matters to notifications over Kafka. ``exchange`` is accepted and does not
    reach the topic's name (upstream's driver does the same); the rest belongs to RPC and is
    kept so that code written for oslo.messaging runs unchanged.
    """

    exchange: str | None = None
    topic: str | None = None
    namespace: str | None = None
    version: str | None = None
    server: str | None = None
    fanout: bool | None = None
    legacy_namespaces: tuple[str, ...] = field(default=(), compare=False)

    def __call__(self, **changes: Any) -> Target:
        """Return a copy with some attributes changed."""
        kept = {
            name: getattr(self, name)
            for name in ("exchange", "topic", "namespace", "version", "server", "fanout")
        }
        return Target(**{**kept, **changes})


class Notification(NamedTuple):
    """One notification as the user sees it; ``ctxt`` is what the wire carried of the context."""

    priority: str
    publisher_id: str | None
    event_type: str | None
    payload: Any
    ctxt: dict[str, Any]
    message_id: str | None
    timestamp: str | None


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        """Show as Kafka's tools do: ``topic-number``."""
        return f"{self.topic}-{self.number}"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as Kafka stores it. ``timestamp_ms`` is Kafka's, -1 where there is none.

    The garbage collector does not look at them, of which a listener may hold thousands.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int = -1

    @property
    def where(self) -> Partition:
        """The partition it lies in."""
        return Partition(self.topic, self.partition)

    @property
    def place(self) -> tuple[str, int, int]:
        """Topic, partition and offset: no other record has these."""
        return (self.topic, self.partition, self.offset)


class DeliveryReport(NamedTuple):
    """Kafka's verdict on one record: ``error`` is None when the record is in the log."""

    topic: str
    partition: int
    offset: int
    message_id: str | None
    error: DeliveryError | None
