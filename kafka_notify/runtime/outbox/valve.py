# SPDX-License-Identifier: Apache-2.0
"""Whether a send goes straight to the client or into the outbox, and what the client holds.

The order of sending is kept: a record goes straight only when everything that was sent before it
is in the client's hands already.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from kafka_notify.drivers.base import ProducerClient
from kafka_notify.errors import ClosedError, DeliveryError, DeliveryRefused, SendBufferFull
from kafka_notify.native import threading, time
from kafka_notify.runtime.outbox.backlog import Backlog
from kafka_notify.runtime.outgoing import Confirmation, Outgoing

_TURN_S = 0.1  # how long going straight again may wait for those who are storing
_GATE_S = 1.0  # how long a send waits for that, at most


_FULL = "the send buffer is full"


class Entry:
    """One record in the client's hands: its token there."""

    __slots__ = ("_begun_s", "backlog", "confirmation", "number", "record", "seq", "since_s")

    _numbers = itertools.count(1)

    def __init__(
        self,
        seq: int,
        record: Outgoing,
        *,
        confirmation: Confirmation | None = None,
        backlog: Backlog | None = None,
    ) -> None:
        self.number = next(self._numbers)
        """Its place among all that clients were given."""
        self.seq = seq
        """Its place in its file."""
        self.record = record
        self.confirmation = confirmation
        self.backlog = backlog
        self.since_s = self._begun_s = time.monotonic()

    def is_younger_than(self, age_s: float) -> bool:
        """Tell whether it was sent, or read from its file, so short a time ago."""
        return time.monotonic() - self._begun_s < age_s

    def release(self, error: DeliveryError | None = None) -> bool:
        """Let the one go on who waits for a confirmation; tell whether there was one."""
        confirmation, self.confirmation = self.confirmation, None
        if confirmation is None:
            return False
        confirmation.set(error)
        return True


class Valve:
    """Threads: any for ``enter`` and ``leave``, else the one that sends."""

    def __init__(self, *, straight: bool, max_bytes: int) -> None:
        """``max_bytes`` bounds what goes straight and is not confirmed yet."""
        self.numbers = itertools.count(1)
        self.client: ProducerClient | None = None
        self.straight = straight
        self.mark = 0
        """What went straight has lower numbers, what is to be read from the own file higher."""
        self.shut_s = 0.0
        """When sends went straight for the last time."""
        self.reason = ""
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._storing = 0
        self._turning = False
        self._held: dict[int, Entry] = {}
        # Two counts of bytes, so that a report needs no lock: its thread would stand in the way
        # of those that send.
        self._given = 0
        self._settled = 0

    # --- sending

    def enter(self, record: Outgoing, confirmation: Confirmation | None) -> bool:
        """Give the record straight to the client; tell False if the outbox is to take it.

        Then nobody overtakes it until ``leave`` is called, when it is stored. Raises
        DeliveryRefused for a record that Kafka will never take.
        """
        with self._lock:
            if not self._changed.wait_for(lambda: not self._turning, _GATE_S):
                self._turning = False  # it takes too long: what is stored now comes first
                self._changed.notify_all()
            if self._may_go_straight() and self._went_straight(record, confirmation):
                return True
            self._storing += 1
            return False

    def leave(self) -> None:
        """End what an ``enter`` has begun that was told False."""
        with self._lock:
            self._storing -= 1
            if not self._storing:
                self._changed.notify_all()

    def _may_go_straight(self) -> bool:
        if self.straight and self._given - self._settled >= self._max_bytes:
            self._shut(_FULL)
        return self.straight

    def _went_straight(self, record: Outgoing, confirmation: Confirmation | None) -> bool:
        client = self.client
        if client is None:
            return False
        try:
            self._give(Entry(next(self.numbers), record, confirmation=confirmation), client)
        except SendBufferFull:
            self._shut(_FULL)
        except DeliveryRefused:
            raise
        except DeliveryError as error:
            if not client.ended():
                raise
            self._shut(str(error))
        else:
            return True
        return False

    # --- the client's hands

    def give(self, entry: Entry) -> None:
        """Give a record to the client; raises what ``ProducerClient.send`` does."""
        with self._lock:
            if self.client is None:
                raise ClosedError("the outbox has no client now")
            self._give(entry, self.client)

    def _give(self, entry: Entry, client: ProducerClient) -> None:
        record = entry.record
        self._held[entry.number] = entry
        try:
            client.send(
                record.topic, record.value, key=record.key, headers=record.headers, token=entry
            )
        except BaseException:
            self._held.pop(entry.number, None)
            raise
        self._given += record.size

    def settle(self, entry: Entry) -> None:
        """Note that the client has reported on a record for good."""
        if self._held.pop(entry.number, None) is not None:
            self._settled += entry.record.size

    def held(self) -> tuple[int, int]:
        """Return how many records the client has not reported on, and their bytes."""
        return len(self._held), self._given - self._settled

    def oldest(self) -> Entry | None:
        """Return the record that the client has had for the longest time."""
        with self._lock:
            return next(iter(self._held.values()), None)

    def entries(self) -> list[Entry]:
        """Return what the client holds, in order."""
        with self._lock:
            return list(self._held.values())

    def take_back(self) -> list[Entry]:
        """Forget the client, and return what it held, in order."""
        with self._lock:
            entries = list(self._held.values())
            self._held.clear()
            self._given = self._settled = 0
            self.client = None
        return entries

    # --- switching

    def shut(self, reason: str) -> None:
        """Let all sends go into the outbox from now on."""
        with self._lock:
            self._shut(reason)

    def _shut(self, reason: str) -> None:
        if self.straight:
            self.straight = False
            self.mark = next(self.numbers)
            self.shut_s = time.monotonic()
            self.reason = reason

    def open(self, give_the_rest: Callable[[], bool]) -> bool:
        """Let sends go straight again, after all that is in the outbox; tell whether they do.

        ``give_the_rest`` gives it to the client, and tells whether that was all. Sends wait.
        """
        with self._lock:
            self._turning = True
            quiet = self._changed.wait_for(lambda: not self._storing, _TURN_S)
        all_given = False
        try:
            all_given = quiet and give_the_rest()
        finally:
            with self._lock:
                self.straight = all_given = all_given and self._turning
                self._turning = False
                self._changed.notify_all()
        return all_given
