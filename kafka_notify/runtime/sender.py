# SPDX-License-Identifier: Apache-2.0
"""The sending side of a transport: one producer per process, each record ends in a report.

The producer is made at the first send in each process; one thread serves its delivery reports.
What a record means is not known here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from kafka_notify.core.events import Monitor, RecordsUnsent, ReportsFailed
from kafka_notify.core.message import DeliveryReport
from kafka_notify.core.settings import Settings
from kafka_notify.drivers.base import Driver, ProducerClient, Trouble
from kafka_notify.errors import (
    BrokerRefused,
    ClosedError,
    DeliveryError,
    DeliveryRefused,
    DeliveryTimeout,
    SendBufferFull,
)
from kafka_notify.native import threading
from kafka_notify.runtime.counters import Counters
from kafka_notify.runtime.leaving import SENDERS_TURN, call_at_worker_exit
from kafka_notify.runtime.outgoing import Confirmation, OnDelivery, Outgoing, Told
from kafka_notify.runtime.reporting import Reporting
from kafka_notify.runtime.retry import call_with_retry

if TYPE_CHECKING:
    from kafka_notify.runtime.outbox.outbox import Outbox

_POLL_S = 0.1  # one wait for reports while records are on their way
_GROUP_S = 0.005  # how late a report may be that nobody waits for
_IDLE_S = 1.0  # between two looks at what the client says, while none are
REPORT_GRACE_S = 10.0  # the client reports by itself after its time-out; this bounds its silence

_Token = tuple["str | None", "Told | None"]


class Sender:
    """Send records and account for every one of them. Threads: any; survives fork."""

    def __init__(
        self,
        driver: Driver,
        settings: Settings,
        *,
        monitor: Monitor,
        counters: Counters,
        on_delivery: OnDelivery | None,
        message_id_of: Callable[[bytes | None], str | None],
        failures_only: bool = False,
    ) -> None:
        """With ``failures_only`` the client makes no report of what is delivered, but counts it.

        So nobody may wait for single records, as ``send_confirmed`` and ``told`` do.
        Reports of failures have the record's value then, from which ``message_id_of`` reads.
        """
        self._driver = driver
        self._settings = settings
        self._monitor = monitor
        self._counters = counters
        self._reporting = Reporting(
            address=driver.address, monitor=monitor, on_delivery=on_delivery
        )
        self.failures_only = failures_only
        self._message_id_of = message_id_of
        self._closed = False
        self._fresh()
        self._outbox: Outbox | None = None
        if settings.outbox != "off":
            from kafka_notify.runtime.outbox.outbox import Outbox

            self._outbox = Outbox(
                driver, settings, monitor=monitor, counters=counters, on_delivery=on_delivery
            )

    def _fresh(self) -> None:
        """Begin as a process that has sent nothing yet."""
        self._client: ProducerClient | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._woken = False  # whether it is set, or is about to be; see _serve_reports
        self._closing = threading.Event()
        self._room = threading.Condition()
        self._blocked = 0
        self._noting = threading.Lock()
        self._noted = 0  # of the records that its client has delivered

    def after_fork_in_child(self) -> None:
        """Abandon the parent's client: what it still holds is the parent's to deliver."""
        if self._outbox is not None:
            self._outbox.after_fork_in_child()
        if self._client is not None:
            self._client.abandon()
        self._fresh()

    # --- sending

    def send(self, record: Outgoing, confirmation: Confirmation | None = None) -> None:
        """Queue a record; its report is counted, logged if it failed, and told to ``on_delivery``.

        With a ``confirmation``, which hears of its end, it is queued even if it is known that
        nothing can be delivered now; that is for clients alone, not for an outbox.
        Blocks at most ``send_block_timeout``, and only while the buffer is full.
        Raises SendBufferFull, DeliveryRefused (too large; or no broker lets us in), ClosedError,
        DeliveryError (no broker reachable for ``unreachable_timeout``). With an outbox: as
        ``Outbox.send``, which takes what cannot be delivered now.
        """
        if self._outbox is not None:
            self._outbox.send(record)
            return
        client = self._client
        if client is None or self._closed:
            client = self._live()
        elif confirmation is None and (trouble := client.trouble()) is not None:
            self._refuse_in_vain(record, trouble)
        token = (record.message_id, confirmation)
        try:
            # As _give; a call less is 0.05 µs of the 5 that a notification takes to the client.
            client.send(
                record.topic, record.value, key=record.key, headers=record.headers, token=token
            )
        except SendBufferFull as full:
            self._queue_blocking(client, record, token, full)
        self._queued()

    def _refuse_in_vain(self, record: Outgoing, trouble: Trouble) -> None:
        """Raise while it is known that nothing can be delivered; the client tries on by itself."""
        lasted_s = time.monotonic() - trouble.since_s
        what = f"notification {record.message_id} to topic {record.topic}: not sent"
        error: DeliveryError
        if isinstance(trouble.error, BrokerRefused):
            error = DeliveryRefused(f"{what}: {trouble.error}", topic=record.topic)
        elif lasted_s >= self._settings.unreachable_timeout:
            error = DeliveryError(
                f"{what}: no broker reachable for {lasted_s:.0f} s (unreachable_timeout): "
                f"{trouble.error}",
                topic=record.topic,
                retriable=True,
            )
        else:
            return
        error.message_id = record.message_id
        raise error from trouble.error

    def send_confirmed(self, record: Outgoing, retry: int | None) -> None:
        """Return when all in-sync replicas have the record.

        ``retry``: None or -1 tries for ever, 0 once, n up to n more times; each attempt takes at
        most ``confirm_timeout``. Raises DeliveryTimeout, DeliveryRefused, SendBufferFull or
        ClosedError; after a DeliveryTimeout the record may be in the log all the same. With an
        outbox: as ``Outbox.send_confirmed``.
        """
        if self._outbox is not None:
            self._outbox.send_confirmed(record, retry)
            return
        call_with_retry(lambda attempt: self._attempt(record, attempt), retry)

    def _attempt(self, record: Outgoing, attempt: int) -> None:
        confirmation = Confirmation()
        self.send(record, confirmation)
        if not confirmation.wait(self._settings.confirm_timeout + REPORT_GRACE_S):
            what = f"the client gave no delivery report{self._reporting.heard()}"
            raise self._unconfirmed(record, attempt, what)
        if confirmation.error is not None:
            self.raise_failed(record, confirmation.error, attempt)

    def raise_failed(self, record: Outgoing, error: DeliveryError, attempt: int) -> NoReturn:
        """Raise what a failed delivery report means to the one who waited for it."""
        if self._closed:
            raise ClosedError("the transport was closed before Kafka confirmed") from error
        if isinstance(error, DeliveryTimeout):
            raise self._unconfirmed(record, attempt, str(error)) from error
        error.message_id, error.attempts = record.message_id, attempt
        raise error

    def _unconfirmed(self, record: Outgoing, attempt: int, what: str) -> DeliveryTimeout:
        return DeliveryTimeout(
            f"notification {record.message_id} to topic {record.topic}: not confirmed by "
            f"{self._driver.address} in {attempt} attempt(s) of "
            f"{self._settings.confirm_timeout:g} s ({what})",
            topic=record.topic,
            message_id=record.message_id,
            attempts=attempt,
            retriable=True,
        )

    def offer(self, record: Outgoing, told: Told | None) -> None:
        """Queue a record; ``told``, if any, hears of its end, else as ``send``. Never blocks.

        Takes no notice of an outbox. Raises SendBufferFull when there is no room now,
        DeliveryRefused (too large), ClosedError.
        """
        _give(self._live(), record, (record.message_id, told))
        self._queued()

    def _live(self) -> ProducerClient:
        if self._closed:
            raise ClosedError("this transport is closed; get a new one")
        return self._client or self._open()

    def _queued(self) -> None:
        """Account for a record that the client has taken; have somebody serve its report."""
        self._counters.count_sent()
        if not self._woken:
            self._woken = True
            self._wake.set()

    def _queue_blocking(
        self, client: ProducerClient, record: Outgoing, token: _Token, full: SendBufferFull
    ) -> None:
        deadline = time.monotonic() + self._settings.send_block_timeout
        with self._room:
            self._blocked += 1
        try:
            while not self._closed and (left := deadline - time.monotonic()) > 0:
                with self._room:
                    self._room.wait(min(left, _POLL_S))
                # Not under the lock: the client has one of its own, and reports under it.
                try:
                    _give(client, record, token)
                except SendBufferFull:
                    continue
                return
        finally:
            with self._room:
                self._blocked -= 1
        raise self.stayed_full(record) from full

    def stayed_full(self, record: Outgoing) -> SendBufferFull:
        """Return the error of a record that there was no room for in ``send_block_timeout``."""
        return SendBufferFull(
            f"notification {record.message_id} to topic {record.topic}: the send buffer stayed "
            f"full for {self._settings.send_block_timeout:g} s (send_buffer_records, "
            f"send_buffer_bytes, send_block_timeout){self._reporting.heard()}",
            topic=record.topic,
            message_id=record.message_id,
        )

    # --- the client and its thread

    def _open(self) -> ProducerClient:
        with self._lock:
            if self._closed:
                raise ClosedError("this transport is closed; get a new one")
            if self._client is None:
                self._client = self._driver.new_producer(
                    on_report=self._on_report,
                    on_problem=self._reporting.on_problem,
                    failures_only=self.failures_only,
                )
                self._noted = 0
                self._thread = threading.Thread(
                    target=self._serve_reports,
                    args=(self._client,),
                    name="kafka-notify-reports",
                    daemon=True,
                )
                self._thread.start()
                call_at_worker_exit(self.close, turn=SENDERS_TURN)
            return self._client

    def _serve_reports(self, client: ProducerClient) -> None:
        while client is self._client:
            self._wake.wait(_IDLE_S)
            # In this order: whoever still finds _woken has given its record to the client before,
            # and that is looked at below. The other way round it could stay without a wake.
            self._wake.clear()
            self._woken = False
            try:
                client.poll(0)
                if self._settings.delivery == "confirm":
                    self._serve_at_once(client)
                else:
                    self._serve_in_groups(client)
            except Exception as error:  # noqa: BLE001 - without this thread nobody gets a report
                self._monitor.emit(ReportsFailed(error=error))
                self._closing.wait(_POLL_S)
                self._wake.set()

    def _serve_at_once(self, client: ProducerClient) -> None:
        """Serve each report as it comes: a caller waits for it."""
        while client.pending() and client is self._client:
            client.poll(_POLL_S)

    def _serve_in_groups(self, client: ProducerClient) -> None:
        """Serve reports some milliseconds late, many at a time: nobody waits for them.

        Waking up for each would take the interpreter from the threads that send and receive.
        """
        pause_s = _GROUP_S
        while (pending := client.pending()) and client is self._client:
            self._closing.wait(pause_s)
            client.poll(0)
            self._note_delivered(client)
            # While no broker answers there is less and less to look for.
            pause_s = _GROUP_S if client.pending() != pending else min(2 * pause_s, _POLL_S)

    def _note_delivered(self, client: ProducerClient) -> None:
        """Count what was delivered without a report, and tell those who wait for room."""
        if not self.failures_only:
            return
        with self._noting:
            new = client.delivered() - self._noted
            self._noted += new
        if new:
            self._counters.add("confirmed", new)
            self._reporting.delivered()
            if self._blocked:
                with self._room:
                    self._room.notify_all()

    def _on_report(
        self, token: Any, topic: str, partition: int, offset: int, error: DeliveryError | None
    ) -> None:
        confirmation: Told | None = None
        if self.failures_only:
            message_id = self._message_id_of(token)
        else:
            message_id, confirmation = token
        self._counters.add("confirmed" if error is None else "failed")
        if confirmation is not None:
            confirmation.set(error)
        if self._blocked:
            with self._room:
                self._room.notify()
        if error is not None or self._reporting.is_awaited:
            self._reporting.tell(
                DeliveryReport(topic, partition, offset, message_id, error),
                raised=confirmation is not None,
            )

    # --- the end

    def flush(self, timeout_s: float) -> int:
        """Wait until all that was sent is reported on; return how many records are left.

        What is in the outbox counts, too.
        """
        if self._outbox is not None:
            return self._outbox.flush(timeout_s)
        client = self._client
        if client is None:
            return 0
        left = client.flush(timeout_s)
        self._note_delivered(client)
        return left

    def close(self, timeout_s: float | None = None) -> None:
        """Deliver what the brokers can still take, then release the client. Idempotent.

        Blocks at most ``timeout_s`` (``close_timeout`` if None). What is left then is given up,
        each record with a failed report, and counted in one more event. Threads: any, the
        reports' own included. With an outbox: as ``Outbox.close``.
        """
        if self._outbox is not None:
            self._outbox.close(timeout_s)
            return
        with self._lock:
            self._closed = True
            client = self._client
            thread = self._thread
        if client is None:
            return
        if thread is threading.current_thread():
            # The last reference went while a report was served: its thread cannot wait for itself.
            threading.Thread(
                target=self.close, args=(timeout_s,), name="kafka-notify-close"
            ).start()
            return
        bound = self._settings.close_timeout if timeout_s is None else timeout_s
        left = client.flush(bound)
        if left:
            client.purge()
            client.flush(_IDLE_S)
        self._note_delivered(client)
        if left:
            self._monitor.emit(RecordsUnsent(count=left, waited_s=bound))
        self._client = None
        self._closing.set()
        self._wake.set()
        if thread is not None:
            thread.join(_IDLE_S)
        client.close()


def _give(client: ProducerClient, record: Outgoing, token: _Token) -> None:
    client.send(record.topic, record.value, key=record.key, headers=record.headers, token=token)
