# SPDX-License-Identifier: Apache-2.0
"""A transport over the cluster in memory, and what the tests of commit policies need of it."""

from __future__ import annotations

from typing import Any

import kafka_notify
from kafka_notify import NotificationResult
from kafka_notify.core import events
from kafka_notify.drivers.memory_cluster import MemoryCluster


class Rig:
    """One transport, its notifier, and listeners that are stopped at the end."""

    def __init__(self, transport: kafka_notify.NotificationTransport) -> None:
        self.transport = transport
        self.told: list[events.Event] = []
        transport.monitor.subscribe(self.told.append)
        self.notifier = kafka_notify.Notifier(
            transport, publisher_id="p", driver="messagingv2", topics=["t"]
        )

    def listen(self, endpoint: Any, **arguments: Any) -> kafka_notify.NotificationListener:
        make: Any = kafka_notify.get_notification_listener
        if "batch_size" in arguments:
            make = kafka_notify.get_batch_notification_listener
        listener: kafka_notify.NotificationListener = make(
            self.transport,
            [kafka_notify.Target(topic="t")],
            [endpoint],
            **{"pool": "pool", **arguments},
        )
        listener.start()
        return listener

    def send(self, *payloads: Any, publisher: str = "p") -> None:
        for payload in payloads:
            self.notifier.prepare(publisher_id=publisher).info({}, "e", payload)
        self.transport.flush()

    def of(self, kind: type[events.Event]) -> list[Any]:
        return [one for one in self.told if isinstance(one, kind)]


class Moody:
    """Requeues, or raises for, what ``moods`` says, so many times; keeps what it got."""

    def __init__(self, moods: dict[Any, int], *, raising: bool = False) -> None:
        self.moods = moods
        self.raising = raising
        self.got: list[Any] = []

    def info(self, _c: Any, _p: Any, _e: Any, payload: Any, _m: Any) -> str | None:
        self.got.append(payload)
        if self.moods.get(payload, 0) > 0:
            self.moods[payload] -= 1
            if self.raising:
                raise ValueError("not yet")
            return NotificationResult.REQUEUE
        return None


def committed(cluster: MemoryCluster) -> int:
    """Return the sum of the pool's next offsets."""
    return sum(
        offset for where, offset in cluster.committed("pool").items() if where.topic == "t.info"
    )
