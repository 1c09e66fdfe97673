# SPDX-License-Identifier: Apache-2.0
"""The producer of the memory driver: a record is in the log, or waits for the cluster to be up.

Either way it counts as waiting until ``poll`` has served its report.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from kafka_notify.core.message import Record
from kafka_notify.core.settings import Settings
from kafka_notify.drivers.base import OnProblem, OnReport, Trouble
from kafka_notify.drivers.memory_cluster import MemoryCluster
from kafka_notify.errors import (
    BrokerUnavailable,
    ClosedError,
    DeliveryError,
    DeliveryRefused,
    DeliveryTimeout,
    SendBufferFull,
)


class _Waiting(NamedTuple):
    topic: str
    value: bytes | None
    key: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    token: Any
    size: int
    deadline: float


class _Report(NamedTuple):
    waiting: _Waiting
    record: Record | None
    error: DeliveryError | None


class MemoryProducer:
    """``drivers.base.ProducerClient`` in memory. Threads: any."""

    def __init__(
        self,
        cluster: MemoryCluster,
        settings: Settings,
        *,
        on_report: OnReport,
        on_problem: OnProblem,
        gapless: bool = False,
        failures_only: bool = False,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._timeout_s = (
            settings.confirm_timeout
            if settings.delivery == "confirm"
            else settings.delivery_timeout
        )
        self._on_report = on_report
        self._on_problem = on_problem
        self._queued: deque[_Waiting] = deque()
        self._reports: deque[_Report] = deque()
        self._bytes = 0
        self._told = False
        self._open = True
        self._gapless = gapless
        self._failures_only = failures_only
        self._delivered = 0
        self._ended = False

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        token: Any = None,
    ) -> None:
        """Queue one record; see ``ProducerClient.send``."""
        size = len(value or b"") + len(key or b"")
        size += sum(len(name) + len(text or b"") for name, text in headers)
        with self._cluster.changed:
            if not self._open:
                raise ClosedError(f"the producer of {self._cluster.address} is closed")
            if self._ended:
                raise self._behind_a_refused_one(topic)
            self._check_room(topic, size)
            self._bytes += size
            deadline = self._cluster.clock() + self._timeout_s
            token = value if self._failures_only else token
            self._queued.append(_Waiting(topic, value, key, headers, token, size, deadline))
            self._work()

    def _check_room(self, topic: str, size: int) -> None:
        settings = self._settings
        if size > settings.max_record_bytes:
            raise DeliveryRefused(
                f"topic {topic} at {self._cluster.address}: a record of {size} bytes is larger "
                f"than max_record_bytes={settings.max_record_bytes}",
                topic=topic,
            )
        waiting = len(self._queued) + len(self._reports)
        full = waiting >= settings.send_buffer_records
        if full or self._bytes + size > settings.send_buffer_bytes:
            raise SendBufferFull(
                f"topic {topic}: the send buffer is full (options send_buffer_records and "
                f"send_buffer_bytes) while {self._cluster.address} takes no more",
                topic=topic,
                retriable=True,
            )

    def _work(self) -> None:
        """Put what waits into the log, or let it time out; the order is kept."""
        cluster = self._cluster
        while self._queued:
            first = self._queued[0]
            if cluster.unavailable:
                if cluster.clock() < first.deadline:
                    return
                error: DeliveryError | None = DeliveryTimeout(
                    f"topic {first.topic}: {cluster.address} did not confirm the record in time",
                    topic=first.topic,
                    retriable=True,
                )
                self._finish(None, error)
                continue
            try:
                record = cluster.append(
                    first.topic, first.value, key=first.key, headers=first.headers
                )
            except DeliveryError as refused:
                self._finish(None, refused)
                self._end_if_gapless()
            else:
                self._finish(record, None)

    def _end_if_gapless(self) -> None:
        self._ended = self._gapless
        while self._ended and self._queued:
            self._finish(None, self._behind_a_refused_one(self._queued[0].topic))

    def _behind_a_refused_one(self, topic: str) -> DeliveryError:
        return DeliveryError(
            f"topic {topic}: not sent, since {self._cluster.address} refused a record before it",
            topic=topic,
            retriable=True,
        )

    def _finish(self, record: Record | None, error: DeliveryError | None) -> None:
        self._reports.append(_Report(self._queued.popleft(), record, error))
        self._cluster.changed.notify_all()

    def poll(self, timeout_s: float) -> None:
        """Serve delivery reports; wait at most ``timeout_s`` for a first one."""
        deadline = time.monotonic() + timeout_s
        with self._cluster.changed:
            self._work()
            while not self._reports and self._open:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not self._cluster.changed.wait(left_s):
                    break
                self._work()
            self._work()
        self._tell()
        while self._serve_one():
            pass

    def _tell(self) -> None:
        """Tell once of each outage."""
        down = self._cluster.unavailable
        if down and not self._told:
            self._on_problem(
                BrokerUnavailable(
                    f"connecting to {self._cluster.address}: it is switched off", code="_TRANSPORT"
                )
            )
        self._told = down

    def _serve_one(self) -> bool:
        with self._cluster.changed:
            if not self._reports:
                return False
            waiting, record, error = self._reports.popleft()
            self._bytes -= waiting.size
            if error is None:
                self._delivered += 1
                if self._failures_only:
                    return True
        partition, offset = (-1, -1) if record is None else (record.partition, record.offset)
        self._on_report(waiting.token, waiting.topic, partition, offset, error)
        return True

    def flush(self, timeout_s: float) -> int:
        """Wait until all is reported on, at most ``timeout_s``; return how many are left."""
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = deadline - time.monotonic()
            self.poll(max(0.0, left_s) if self.pending() else 0.0)
            waiting = self.pending()
            if not waiting or left_s <= 0:
                return waiting

    def pending(self) -> int:
        """Return how many records are not reported on yet."""
        with self._cluster.changed:
            return len(self._queued) + len(self._reports)

    def delivered(self) -> int:
        """Return how many records are in the log, by the last ``poll``."""
        return self._delivered

    def purge(self) -> None:
        """Give up all that is queued; the next ``poll`` reports on it."""
        with self._cluster.changed:
            while self._queued:
                topic = self._queued[0].topic
                self._finish(
                    None,
                    DeliveryTimeout(f"topic {topic}: given up before it was sent", topic=topic),
                )

    def trouble(self) -> Trouble | None:
        """Return None: this process reaches its own memory, and what fails is reported on."""
        return None

    def ended(self) -> bool:
        """Tell whether a record was refused, of a gapless producer."""
        return self._ended

    def abandon(self) -> None:
        """Forget everything, in a child of fork."""
        self._open = False
        self._queued.clear()
        self._reports.clear()

    def close(self) -> None:
        """Release the client; what was not flushed is reported on as given up."""
        with self._cluster.changed:
            if not self._open:
                return
            self._open = False
        self.purge()
        self.poll(0)
