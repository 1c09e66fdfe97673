# SPDX-License-Identifier: Apache-2.0
"""One record on its way to Kafka, and what the one who sent it waits on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from kafka_notify.core.message import DeliveryReport
from kafka_notify.errors import DeliveryError
from kafka_notify.native import threading

OnDelivery = Callable[[DeliveryReport], None]


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One record on its way to Kafka. A named tuple takes three times as long to make."""

    topic: str
    key: bytes | None
    value: bytes
    message_id: str | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def size(self) -> int:
        """Its bytes on the wire, but for what Kafka adds."""
        size = len(self.value) + len(self.key or b"")
        if self.headers:
            size += sum(len(name) + len(value) for name, value in self.headers)
        return size


class Told(Protocol):
    """Whoever is told of one record's end."""

    def set(self, error: DeliveryError | None) -> None:
        """Take the delivery report: ``error``, or None if the record is safe.

        Called once, in the reports' thread: it must be quick and must not send.
        """


class Confirmation:
    """What a caller with delivery=confirm waits on."""

    __slots__ = ("_done", "error")

    def __init__(self) -> None:
        self._done = threading.Event()
        self.error: DeliveryError | None = None

    def set(self, error: DeliveryError | None) -> None:
        """Let the caller go on: with ``error``, or without if its record is safe."""
        self.error = error
        self._done.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait at most ``timeout_s``; tell whether ``set`` was called."""
        return self._done.wait(timeout_s)
