# SPDX-License-Identifier: Apache-2.0
"""A handover on the bench: fed by hand, polled by hand. Knows nothing of oslo.messaging."""

from __future__ import annotations

from collections.abc import Sequence

import kafka_notify
from kafka_notify.core import envelope, events
from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Record
from kafka_notify.drivers.memory import MemoryCluster
from kafka_notify.oslo.waiting import new_bell
from kafka_notify.runtime.decoder import Decoder
from kafka_notify.runtime.handover import Handover, Message
from kafka_notify.runtime.redelivery import Redelivery

LONG_S = 10.0


def record(number: int, key: bytes | None = b"k", value: bytes | None = None) -> Record:
    """Return a record whose payload is its offset."""
    if value is None:
        fields = {"priority": "INFO", "event_type": "e", "payload": number, "message_id": "m"}
        value = envelope.encode(fields, {})
    return Record("t.info", 0, number, key, value)


class Bench:
    """A handover, what was told of it, and whether its intake has ended."""

    def __init__(self, name: str, *, limit: int = 0) -> None:
        self.told: list[events.Event] = []
        transport = kafka_notify.get_notification_transport(None, f"memory://{name}/")
        monitor = transport.monitor
        monitor.subscribe(self.told.append)
        decoder = Decoder(monitor=monitor, counters=transport.counters)
        self.hands = Handover(decoder, group="g", monitor=monitor, bell=new_bell(), limit=limit)
        self.hands.redelivery = Redelivery.of(self.hands, group="g", transport=transport)
        self.over = False
        self.cluster = MemoryCluster.find(name)
        self.transport = transport

    def close(self) -> None:
        """End its threads."""
        assert self.hands.redelivery is not None
        self.hands.redelivery.close(LONG_S)
        self.transport.cleanup()

    def give(self, *records: Record) -> None:
        """Hand over a unit for each."""
        self.hands.hand_over([Unit((one,)) for one in records])

    def take(self, timeout_s: float = LONG_S) -> list[Message]:
        return self.hands.take(timeout_s, lambda: self.over)

    def payloads(self, timeout_s: float = 0) -> list[int]:
        """Take one unit and return its payloads."""
        return [message.notification.payload for message in self.take(timeout_s)]


def settled(bench: Bench, messages: Sequence[Message], *, requeue: bool = False) -> None:
    """Settle them all."""
    for message in messages:
        bench.hands.settle(message, requeue=requeue)
