# SPDX-License-Identifier: Apache-2.0
"""The producer over confluent_kafka: queues records, and accounts for each exactly once.

Retrying, spooling and counting are not known here; a client that has lost sight of all brokers, or
whose batches are too large for a topic, is replaced here, and hands what it holds to the next.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from kafka_notify.drivers.base import OnReport
from kafka_notify.drivers.confluent_client import leak
from kafka_notify.drivers.confluent_errors import Problems, delivery_error
from kafka_notify.drivers.confluent_health import Health
from kafka_notify.errors import ClosedError, DeliveryError, SendBufferFull
from kafka_notify.native import threading

LOG = logging.getLogger(__name__)

_LAST_REPORTS_S = 1.0
_HAND_ON_S = 10.0
_TURN_S = 0.1  # how long a flush keeps other threads from serving reports
# When, after the first record, the client is asked for metadata: see _hurry.
_HURRY_AT_S = (0.01, 0.03, 0.06, 0.12, 0.25)
_HURRY_S = 0.5
_PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)


class _Held(NamedTuple):
    """A record that a client has given back, with its last word on it."""

    token: Any
    headers: Sequence[tuple[str, bytes | None]]
    error: KafkaError
    message: Message


class KafkaProducer:
    """``drivers.base.ProducerClient`` over one librdkafka producer. Threads: any."""

    def __init__(
        self,
        make_client: Callable[..., Producer],
        *,
        health: Health,
        address: str,
        problems: Problems,
        on_report: OnReport,
        failures_only: bool = False,
        narrow: Callable[[str], None] | None = None,
    ) -> None:
        """``health`` watches the clients that ``make_client`` returns.

        ``make_client`` takes an ``on_delivery`` for all records that are produced without one;
        those of ``failures_only`` call it for what is not delivered.

        ``narrow`` has it make clients whose batches a topic takes. Without it, what is refused for
        its size is reported on at once, though it may be the fault of others in its batch.
        """
        self._make_client: Callable[[], Producer] = make_client
        self._failures_only = failures_only
        if failures_only:
            self._make_client = partial(make_client, on_delivery=self._report_failed)
        self._narrow = narrow
        self._narrowed: set[str] = set()
        self._client: Producer | None = self._make_client()
        self._health = health
        self._address = address
        self._problems = problems
        self.trouble = problems.trouble
        """See ``ProducerClient.trouble``."""
        self._on_report = on_report
        # The first keeps records out while one client hands on to the next, the second other
        # threads from serving its reports, so that order stays. A log handler may send meanwhile.
        self._lock = threading.RLock()
        self._serving = threading.RLock()
        self._handing_on = False
        self._refused: list[_Held] = []
        self._queued: list[_Held] = []
        self._ended = False
        self._first: tuple[str, float] | None = None  # the first record's topic, and when
        self._hurries = 0
        # Over all clients; what is given again counts again.
        self._taken = 0
        self._failed = 0
        self._kept = 0  # by clients that are gone, with no word on it
        self._delivered = 0

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
        try:
            with self._lock:
                client = self._client
                if client is None:
                    raise ClosedError(f"the producer of {self._address} is closed")
                if headers:
                    # The client's report has the record's value and key, but not its headers.
                    report = partial(self._report, token, headers)
                    client.produce(topic, value, key, on_delivery=report, headers=list(headers))
                elif self._failures_only:
                    client.produce(topic, value, key)  # half as long as with a callback of its own
                else:
                    client.produce(topic, value, key, on_delivery=partial(self._report, token, ()))
                self._taken += 1
                if self._first is None:
                    self._first = (topic, time.monotonic())
        except BufferError as error:
            raise SendBufferFull(
                f"topic {topic}: the send buffer is full (options send_buffer_records and "
                f"send_buffer_bytes) while {self._address} takes no more",
                topic=topic,
                retriable=True,
            ) from error
        except KafkaException as error:
            raise self._failure(error.args[0], topic) from error

    def _report_failed(self, error: KafkaError | None, message: Message) -> None:
        self._report(None, (), error, message)

    def _report(
        self,
        token: Any,
        headers: Sequence[tuple[str, bytes | None]],
        error: KafkaError | None,
        message: Message,
    ) -> None:
        if error is not None:
            self._failed += 1
            held = _Held(token, headers, error, message)
            if self._handing_on and error.code() in _PURGED:
                self._queued.append(held)
                return
            too_large = error.code() == KafkaError.MSG_SIZE_TOO_LARGE
            if too_large and self._may_be_split(message.topic() or ""):
                self._refused.append(held)
                return
        self._tell(token, error, message)

    def _tell(self, token: Any, error: KafkaError | None, message: Message) -> None:
        topic = message.topic() or ""
        partition = message.partition()
        offset = message.offset()
        self._on_report(
            message.value() if self._failures_only else token,
            topic,
            -1 if partition is None else partition,
            -1 if offset is None else offset,
            None if error is None else self._failure(error, topic),
        )

    def _may_be_split(self, topic: str) -> bool:
        """Tell whether a batch that was refused for its size may have been too large only as one.

        Brokers judge batches, not records.
        """
        return (
            self._narrow is not None and self._client is not None and topic not in self._narrowed
        )

    def _failure(self, error: KafkaError, topic: str) -> DeliveryError:
        failure = delivery_error(
            error, topic=topic, address=self._address, cause=self._problems.last
        )
        if error.code() == KafkaError._FATAL:
            self._ended = True
        return failure

    def poll(self, timeout_s: float) -> None:
        """Serve delivery reports; wait at most ``timeout_s`` for a first one."""
        with self._serving:
            client = self._client
            if client is not None:
                try:
                    client.poll(self._hurry(client, timeout_s))
                except KafkaException as error:
                    self._end(error)
                self._count()
                self._send_refused()
                if self._health.knows_no_broker:
                    self.renew()

    def _count(self) -> None:
        """Count what was delivered since the last time; the client may say nothing of it."""
        with self._lock:
            client = self._client
            waiting = self._kept if client is None else self._kept + len(client)
            delivered = self._taken - self._failed - waiting
            if delivered <= self._delivered:
                return
            self._delivered = delivered
        if self._hurries < len(_HURRY_AT_S) or self._problems.last is not None:
            self._hurries = len(_HURRY_AT_S)
            self._problems.forget()

    def delivered(self) -> int:
        """Return how many records are known to be in the log."""
        return self._delivered

    def _end(self, error: KafkaException) -> None:
        """Note a fatal error: the client raises it once, ahead of the reports that go with it."""
        fatal = error.args[0]
        if not fatal.fatal():
            raise error
        self._ended = True
        if fatal.code() != KafkaError._GAPLESS_GUARANTEE:
            self._problems.heard(fatal)

    def ended(self) -> bool:
        """Tell whether the client has met a fatal error, a refused batch if it is gapless."""
        return self._ended

    def _hurry(self, client: Producer, timeout_s: float) -> float:
        """Return how long to poll; until the first report is there, ask for metadata now and then.

        librdkafka fetches the producer id that idempotence needs when metadata comes over a
        connection that is up, or else every 0.5 s: without this the first record takes so long.
        """
        first, hurries = self._first, self._hurries  # a report in another thread ends it
        if first is None or hurries >= len(_HURRY_AT_S):
            return timeout_s
        topic, since_s = first
        wait_s = since_s + _HURRY_AT_S[hurries] - time.monotonic()
        if wait_s > 0:
            return min(wait_s, timeout_s)
        self._hurries = hurries + 1
        with suppress(KafkaException):
            client.list_topics(topic, timeout=_HURRY_S)
        return 0

    def renew(self) -> None:
        """Hand all that is queued to a new client, in its order; each record is reported on once.

        ``poll`` does this when the client has lost sight of all brokers. What the old one had sent
        without hearing the outcome may be in the log twice then. Each record's time begins anew.
        """
        with self._serving, self._lock:
            old = self._client
            if old is None:
                return
            queued = self._hand_on(old, wait_s=0)
        LOG.warning(
            "The producer of %s had lost sight of all brokers and was made anew; it goes on with "
            "the %d records that were queued",
            self._address,
            queued,
        )

    def _send_refused(self) -> None:
        """Send again, in batches that the topic takes, what was refused for its batch's size.

        Ahead of all that is queued, so order stays, but for what was on its way behind it.
        """
        old = self._client
        if not self._refused or old is None or self._narrow is None:
            return
        topics = {held.message.topic() or "" for held in self._refused}
        for topic in topics:
            self._narrow(topic)
        with self._lock:
            refused = len(self._refused)
            self._hand_on(old, wait_s=_HAND_ON_S)
        self._narrowed |= topics
        LOG.warning(
            "Topics %s of %s take smaller batches than were sent: %d records are sent again, in "
            "smaller ones",
            ", ".join(sorted(topics)),
            self._address,
            refused,
        )

    def _hand_on(self, old: Producer, *, wait_s: float) -> int:
        """Replace the client; return how many records the next one has got.

        What is on its way may take ``wait_s`` to be reported on by the old one.
        """
        self._client = self._make_client()
        self._first, self._hurries = None, 0
        self._ended = False
        self._health.begin_anew()
        self._handing_on = True
        try:
            old.purge(in_queue=True, in_flight=not wait_s, blocking=False)
            unreported = old.flush(wait_s or _HAND_ON_S)
            if unreported and wait_s:
                old.purge(in_queue=True, in_flight=True, blocking=False)
                unreported = old.flush(_HAND_ON_S)
        finally:
            self._handing_on = False
        self._kept += unreported
        if unreported:
            LOG.error(
                "The old producer of %s kept %d records to itself; they may be lost",
                self._address,
                unreported,
            )
        held = [*self._refused, *self._queued]
        self._refused, self._queued = [], []
        for one in held:
            self._give_again(one)
        return len(held)

    def _give_again(self, held: _Held) -> None:
        token, headers, error, message = held
        try:
            self.send(
                message.topic() or "",
                message.value(),
                key=message.key(),
                headers=headers,
                token=token,
            )
        except (ClosedError, DeliveryError):
            self._tell(token, error, message)

    def pending(self) -> int:
        """Return how many records are not reported on yet."""
        return 0 if self._client is None else len(self._client) + len(self._refused)

    def flush(self, timeout_s: float) -> int:
        """Wait until all is reported on, at most ``timeout_s``; return how many are left."""
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            with self._serving:
                client = self._client
                if client is not None:
                    client.flush(min(left_s, _TURN_S))
                    self._count()
                    self._send_refused()
                left = self.pending()
            if not left or not left_s:
                return left

    def purge(self) -> None:
        """Give up all that is queued; the next ``poll`` reports on it."""
        if self._client is not None:
            self._client.purge(in_queue=True, in_flight=True, blocking=False)

    def abandon(self) -> None:
        """Forget the client in a child of fork; see ``leak``."""
        client, self._client = self._client, None
        leak(client)

    def close(self) -> None:
        """Release the client; what was not flushed is reported on as given up."""
        client, self._client = self._client, None
        if client is not None:
            client.purge(in_queue=True, in_flight=True, blocking=False)
            with suppress(KafkaException):  # a fatal error that no poll has met yet
                client.flush(_LAST_REPORTS_S)
            self._kept += len(client)
            self._count()
        refused, self._refused = self._refused, []
        for held in refused:
            self._tell(held.token, held.error, held.message)
