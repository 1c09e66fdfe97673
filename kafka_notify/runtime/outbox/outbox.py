# SPDX-License-Identifier: Apache-2.0
"""The sending side of a transport whose option outbox is on: what a send may have to wait for.

on_failure: sends go straight to the client, as without an outbox, until they do not get through;
then they are stored, what the client holds is stored, too, and all goes through the file until it
is through. always: sends are stored, and nothing else is waited for.
"""

from __future__ import annotations

from kafka_notify.core.events import Monitor
from kafka_notify.core.settings import Settings
from kafka_notify.drivers.base import Driver
from kafka_notify.errors import (
    ClosedError,
    DeliveryError,
    DeliveryRefused,
    DeliveryTimeout,
    OutboxError,
    OutboxFull,
)
from kafka_notify.native import threading, time
from kafka_notify.runtime.counters import Counters
from kafka_notify.runtime.leaving import SENDERS_TURN, call_at_worker_exit
from kafka_notify.runtime.outbox.deliveries import Deliveries
from kafka_notify.runtime.outbox.files import Files
from kafka_notify.runtime.outbox.folder import Folder
from kafka_notify.runtime.outbox.pump import Pump
from kafka_notify.runtime.outbox.valve import Valve
from kafka_notify.runtime.outgoing import Confirmation, OnDelivery, Outgoing
from kafka_notify.runtime.reporting import Reporting
from kafka_notify.runtime.retry import check_retry

_STORING_S = 10.0  # within it what is not confirmed is stored, or the disk is at fault
_LOOK_S = 0.1
_STEP_S = 0.001


class Outbox:
    """What ``Sender`` is without an outbox; the same calls, guarantees and threads.

    Making one makes its folder, and adopts what others left there. Raises OutboxError if files
    cannot be made in it.
    """

    def __init__(
        self,
        driver: Driver,
        settings: Settings,
        *,
        monitor: Monitor,
        counters: Counters,
        on_delivery: OnDelivery | None,
    ) -> None:
        self._driver = driver
        self._settings = settings
        self._monitor = monitor
        self._counters = counters
        self._reporting = Reporting(
            address=driver.address, monitor=monitor, on_delivery=on_delivery
        )
        self._folder = Folder(settings.spool_dir, driver.address)
        self._folder.prepare()
        self._closed = False
        self._fresh()
        if self._files.has_abandoned():
            # In order: what this process sends comes after what it found.
            self._valve.straight = False
            self._open()

    def _fresh(self) -> None:
        """Begin as a process that has sent nothing yet."""
        settings = self._settings
        self._lock = threading.Lock()
        self._valve = Valve(
            straight=settings.outbox == "on_failure",
            # The client has a copy of its own.
            max_bytes=settings.send_buffer_bytes // 2,
        )
        self._files = Files(
            self._folder,
            max_bytes=settings.outbox_max_bytes,
            numbers=self._valve.numbers,
            monitor=self._monitor,
            counters=self._counters,
        )
        self._deliveries = Deliveries(
            self._driver,
            settings,
            valve=self._valve,
            counters=self._counters,
            reporting=self._reporting,
        )
        self._pump: Pump | None = None

    def after_fork_in_child(self) -> None:
        """Abandon the parent's client and files: what they hold is the parent's to deliver."""
        self._deliveries.abandon()
        self._files.abandon()
        self._fresh()

    # --- sending

    def send(self, record: Outgoing) -> None:
        """Return when the record is with the client, or stored.

        Blocks for a write to the disk's cache, now and then (32 MB) for the disk itself; for a
        millisecond more while the outbox has much to bring to a Kafka that takes it; at most
        ``send_block_timeout`` while it is full.
        Raises OutboxError, OutboxFull, DeliveryRefused (too large) or ClosedError.
        """
        self._send(record, None)

    def send_confirmed(self, record: Outgoing, retry: int | None) -> None:
        """Return when all in-sync replicas have the record, or it is stored.

        It is stored as soon as it is known that sends do not get through, which takes some two
        seconds; if the disk does not take it, Kafka has ``confirm_timeout`` times the attempts
        that ``retry`` allows (for ever: one), and some seconds. Raises as ``send``, and what Kafka
        refuses it for.
        """
        more = check_retry(retry)
        confirmation = Confirmation()
        pump = self._send(record, confirmation)
        if pump is None:
            return
        if not confirmation.wait(self._settings.confirm_timeout * ((more or 0) + 1)):
            self._valve.shut(f"not confirmed within {self._settings.confirm_timeout:g} s")
            pump.wake()
            if not confirmation.wait(_STORING_S):
                raise self._neither(record, pump)
        error = confirmation.error
        if error is not None:
            error.message_id = record.message_id
            if self._closed and isinstance(error, DeliveryTimeout):
                raise ClosedError("the transport was closed before Kafka confirmed") from error
            raise error

    def _neither(self, record: Outgoing, pump: Pump) -> DeliveryError:
        return DeliveryTimeout(
            f"notification {record.message_id} to topic {record.topic}: neither confirmed by "
            f"{self._driver.address} nor stored ({pump.problem or 'the disk hangs'})"
            f"{self._reporting.heard()}",
            topic=record.topic,
            message_id=record.message_id,
            retriable=True,
        )

    def _send(self, record: Outgoing, confirmation: Confirmation | None) -> Pump | None:
        """Return the pump if the record went straight, None if it is stored."""
        if self._closed:
            raise ClosedError("this transport is closed; get a new one")
        deadline = time.monotonic() + self._settings.send_block_timeout
        pump = self._pump or self._open()
        straight = self._valve.enter(record, confirmation)
        if not straight:
            try:
                self._store(record, deadline)
            finally:
                self._valve.leave()
            if pump.lags:
                # Without this many threads that send would keep the one from working that brings
                # what they store to Kafka, until the outbox is full.
                time.sleep(_STEP_S)
            self._counters.add("spooled")
            self._counters.add("outbox_records")
        self._counters.add("sent")
        pump.wake()
        return pump if straight else None

    def _store(self, record: Outgoing, deadline: float) -> None:
        limit = self._settings.max_record_bytes
        try:
            if record.size > limit:
                raise DeliveryRefused(
                    f"a record of {record.size} bytes is larger than max_record_bytes={limit}"
                )
            self._put(record, deadline)
        except DeliveryError as error:
            named = type(error)(
                f"notification {record.message_id} to topic {record.topic}: {error}",
                topic=record.topic,
                message_id=record.message_id,
            )
            raise named from error

    def _put(self, record: Outgoing, deadline: float) -> None:
        """Store the record; wait for room while there is hope."""
        while True:
            try:
                self._files.own().put(record)
                return
            except OutboxError as error:
                if self._closed:
                    raise ClosedError("this transport is closed; get a new one") from error
                if not isinstance(error, OutboxFull):
                    raise
                client, pump = self._valve.client, self._pump
                hopeless = client is None or client.trouble() is not None
                left_s = deadline - time.monotonic()
                if pump is None or hopeless or left_s <= 0:
                    raise
                with pump.turned:
                    pump.turned.wait(min(left_s, _LOOK_S))

    def _open(self) -> Pump:
        with self._lock:
            if self._closed:
                raise ClosedError("this transport is closed; get a new one")
            if self._pump is None:
                self._deliveries.open()
                self._pump = Pump(
                    self._valve,
                    self._deliveries,
                    self._files,
                    may_go_straight=self._settings.outbox == "on_failure",
                    linger_s=self._settings.producer_batch_timeout,
                    monitor=self._monitor,
                    counters=self._counters,
                )
                self._pump.thread.start()
                call_at_worker_exit(self.close, turn=SENDERS_TURN)
            return self._pump

    # --- the end

    def flush(self, timeout_s: float) -> int:
        """Wait until nothing waits any more; return how many records do, in the outbox or not."""
        pump = self._pump
        if pump is None:
            return 0
        deadline = time.monotonic() + timeout_s
        while (left := pump.left()) or not self._files.looked_at_all:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not pump.thread.is_alive():
                break
            pump.wake()
            with pump.turned:
                pump.turned.wait(min(left_s, _LOOK_S))
        return left

    def close(self, timeout_s: float | None = None) -> None:
        """Deliver what the brokers can still take; what is left stays in the outbox. Idempotent.

        Blocks at most ``timeout_s`` (``close_timeout`` if None) and some seconds. Threads: any.
        """
        with self._lock:
            self._closed = True
            pump = self._pump
        if pump is None:
            return
        if pump.thread is threading.current_thread():
            # The last reference went while a report was served: its thread cannot wait for itself.
            threading.Thread(
                target=self.close, args=(timeout_s,), name="kafka-notify-close"
            ).start()
            return
        pump.finish(self._settings.close_timeout if timeout_s is None else timeout_s)
