# SPDX-License-Identifier: Apache-2.0
"""The client of the outbox: gives it records, hears its reports, and starts over with a new one.

A record leaves here delivered, or refused for good. All else (a client that has ended, time-outs)
means a new client, which is given what the old one held, from the first record on, in order.
"""

from __future__ import annotations

import dataclasses
from collections import deque

from kafka_notify.core.message import DeliveryReport
from kafka_notify.core.settings import Settings
from kafka_notify.drivers.base import Driver
from kafka_notify.errors import DeliveryError, DeliveryRefused, DeliveryTimeout, SendBufferFull
from kafka_notify.native import time
from kafka_notify.runtime.counters import Counters
from kafka_notify.runtime.outbox.valve import Entry, Valve
from kafka_notify.runtime.reporting import Reporting

_FOR_EVER_S = 2_000_000.0  # the longest that librdkafka knows; then it is started over
_MOST_RECORDS = 4000  # read from files and on their way; what a crash may send twice
_MOST_BYTES = 8_388_608
_HEALTHY_S = 1.0
_PURGE_S = 5.0
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 30.0


class Deliveries:
    """Threads: one, the pump's, but for ``open``."""

    def __init__(
        self,
        driver: Driver,
        settings: Settings,
        *,
        valve: Valve,
        counters: Counters,
        reporting: Reporting,
    ) -> None:
        self._driver = driver
        self._settings = dataclasses.replace(
            settings, delivery="report", delivery_timeout=_FOR_EVER_S
        )
        self._valve = valve
        self._counters = counters
        self._reporting = reporting
        self._failed: list[tuple[Entry, DeliveryError]] = []
        self._again: deque[Entry] = deque()
        # Refused together with others, so that it may be another's fault: sent one by one.
        self._suspects: dict[int, Entry] = {}
        self._one_by_one = False
        self._in_vain = 0
        self._not_before_s = 0.0
        self.ended = 0
        """How many records were delivered, or refused, by now."""
        self._last_s = -_HEALTHY_S

    def open(self) -> None:
        """Make the client; it connects in the background. Raises ConfigurationError."""
        one_by_one = bool(self._suspects)
        self._valve.client = self._driver.new_producer(
            on_report=self._on_report,
            on_problem=self._reporting.on_problem,
            settings=self._settings,
            gapless=not one_by_one,
        )
        self._one_by_one = one_by_one

    @property
    def is_delivering(self) -> bool:
        """Whether records get through now."""
        return time.monotonic() - self._last_s < _HEALTHY_S

    # --- giving

    @property
    def clear(self) -> bool:
        """Whether nothing is to be given again before anything new."""
        return not (self._again or self._one_by_one)

    @property
    def one_by_one(self) -> bool:
        """Whether each record waits for the report of the one before."""
        return self._one_by_one

    def room(self) -> int:
        """Return how many records may be given now."""
        if self._valve.client is None or time.monotonic() < self._not_before_s:
            return 0
        records, size = self._valve.held()
        if self._one_by_one:
            return 1 if self._suspects and not records else 0
        return _MOST_RECORDS - records if size < _MOST_BYTES else 0

    def give_again(self) -> None:
        """Give what a client before this one held, as far as there is room."""
        while self._again and self.room() > 0:
            if not self._gave(self._again[0]):
                return
            self._again.popleft()

    def give(self, entry: Entry) -> None:
        """Give a record that was read from a file; keep it for later if that cannot be now."""
        if self._again or not self._gave(entry):
            self._again.append(entry)

    def _gave(self, entry: Entry) -> bool:
        """Tell whether the client has the record, or refused it for good."""
        entry.since_s = time.monotonic()
        client = self._valve.client
        try:
            self._valve.give(entry)
        except SendBufferFull:
            return False
        except DeliveryError as error:
            if client is None or client.ended():
                return False
            if not _is_final(error):
                self._wait_longer()
                return False
            self.give_up(entry, error)
        return True

    def waiting(self) -> list[Entry]:
        """Return what is to be given again."""
        return list(self._again)

    # --- reports

    def poll(self, timeout_s: float) -> None:
        """Serve reports; wait at most ``timeout_s`` for a first one."""
        client = self._valve.client
        if client is None:
            if time.monotonic() >= self._not_before_s:
                self.open()
            return
        client.poll(timeout_s)
        if self._failed or client.ended():
            self._judge(ended=client.ended())
        elif self._one_by_one and not self._suspects and not self._valve.held()[0]:
            self._start_over("what was refused has gone its way")

    def _on_report(
        self, entry: Entry, topic: str, partition: int, offset: int, error: DeliveryError | None
    ) -> None:
        if error is not None:
            self._failed.append((entry, error))
            return
        self._last_s = time.monotonic()
        self._end(entry, topic, partition, offset, None)

    def _end(
        self, entry: Entry, topic: str, partition: int, offset: int, error: DeliveryError | None
    ) -> None:
        self._valve.settle(entry)
        self.ended += 1
        self._in_vain = 0
        self._suspects.pop(entry.number, None)
        self._counters.add("confirmed" if error is None else "failed")
        if entry.backlog is not None:
            entry.backlog.done(entry.seq)
            self._counters.add("outbox_records", -1)
            if error is None:
                self._counters.add("replayed")
        self._reporting.tell(
            DeliveryReport(topic, partition, offset, entry.record.message_id, error),
            raised=entry.release(error),
        )

    def is_suspect(self, entry: Entry) -> bool:
        """Tell whether Kafka has refused it together with others: what it is, is soon known."""
        return entry.number in self._suspects

    def release_suspects(self, late_s: float) -> None:
        """Let those go on whose record is stored, if it is not known soon after all."""
        for entry in self._suspects.values():
            if entry.backlog is not None and not entry.is_younger_than(late_s):
                entry.release()

    def give_up(self, entry: Entry, error: DeliveryError) -> None:
        """End a record that Kafka refuses, or that can neither be delivered nor stored."""
        self._end(entry, entry.record.topic, -1, -1, error)

    def _judge(self, *, ended: bool) -> None:
        """Decide what failed reports mean: a record's end, or a start over."""
        failed, self._failed = self._failed, []
        start_over = ended
        for entry, error in failed:
            alone = not ended or (self._one_by_one and isinstance(error, DeliveryRefused))
            if alone and _is_final(error):
                self.give_up(entry, error)
                continue
            start_over = True
            if _is_final(error):
                self._suspects[entry.number] = entry
        if start_over:
            why = f": {failed[0][1]}" if failed else ""
            what = "records that shared a request were refused" if ended else "a record failed"
            self._start_over(f"{what}, and are sent one by one now{why}")

    # --- starting over

    def _start_over(self, reason: str) -> None:
        """Replace the client; the next is given all that this one held, in order."""
        self._valve.shut(reason)
        self.bring_back()
        self._failed = []
        entries = self._valve.take_back()
        self._counters.add("resent", len(entries))
        self._again.extendleft(reversed(entries))
        if entries:
            self._wait_longer()

    def bring_back(self) -> None:
        """Close the client, having heard what became of what it held."""
        client = self._valve.client
        if client is None:
            return
        client.purge()
        deadline = time.monotonic() + _PURGE_S
        while client.pending() and time.monotonic() < deadline:
            client.poll(_FIRST_WAIT_S)
        for entry, error in self._failed:
            if _is_final(error):
                self._suspects[entry.number] = entry
        client.close()

    def _wait_longer(self) -> None:
        """Wait before the next try: at first hardly, and longer while nothing gets through."""
        if self._in_vain:
            wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**self._in_vain)
            self._not_before_s = time.monotonic() + wait_s
        self._in_vain += 1

    def abandon(self) -> None:
        """Forget the client in a child of fork."""
        if self._valve.client is not None:
            self._valve.client.abandon()


def _is_final(error: DeliveryError) -> bool:
    """Tell whether a record would fail again for what it is."""
    return isinstance(error, DeliveryRefused) or not (
        error.retriable or isinstance(error, DeliveryTimeout)
    )
