# SPDX-License-Identifier: Apache-2.0
"""The thread of the outbox: brings the records of its files to Kafka, in order.

In turn it serves reports, stores what the client keeps for too long, deletes what is done, adopts
the files of processes that ended, gives the client what is next, and lets sends go straight again
when nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable

from kafka_notify.core.events import (
    Monitor,
    OutboxKept,
    OutboxProblem,
    OutboxSpooling,
    OutboxStraight,
    RecordsUnsent,
    ReportsFailed,
)
from kafka_notify.errors import DeliveryError, DeliveryTimeout, OutboxError
from kafka_notify.native import threading, time
from kafka_notify.runtime.counters import Counters
from kafka_notify.runtime.outbox.backlog import Backlog
from kafka_notify.runtime.outbox.deliveries import Deliveries
from kafka_notify.runtime.outbox.files import Files
from kafka_notify.runtime.outbox.rows import Row
from kafka_notify.runtime.outbox.valve import Entry, Valve

_POLL_S = 0.1  # one wait for reports, while somebody waits for them or nothing comes
_GROUP_S = 0.005  # how late a report may be that nobody waits for
_IDLE_S = 1.0
_RETRY_S = 1.0  # between two tries at a disk that is full or broken
_CHUNK = 500
_CHUNK_BYTES = 1_048_576
_NEAR = 1000  # how many records sends may have to wait for, before they go straight again
_MUCH = 5000  # beyond it those who send are slowed down, if that helps
_LATE_S = 2.0  # a record that is not confirmed by then belongs on disk
_GRACE_S = 10.0  # how long storing what is left may take at the end


class Pump:
    """One per process and transport. ``wake`` and ``finish`` are for any thread."""

    def __init__(
        self,
        valve: Valve,
        deliveries: Deliveries,
        files: Files,
        *,
        may_go_straight: bool,
        linger_s: float,
        monitor: Monitor,
        counters: Counters,
    ) -> None:
        """``linger_s`` is how long records may wait for others to share a request with."""
        self._valve = valve
        self._deliveries = deliveries
        self._files = files
        self._may_go_straight = may_go_straight
        self._late_s = _LATE_S + linger_s
        self._monitor = monitor
        self._counters = counters
        self._wake = threading.Event()
        self._finishing = threading.Event()
        self._deadline_s = 0.0
        self._bound_s = 0.0
        self._ended = False
        self._was_straight = valve.straight
        self._stored_mark = valve.mark
        self._failing: dict[str, float] = {}
        self.problem: OutboxError | None = None
        """What the disk said last, None since it took something."""
        self.turned = threading.Condition()
        """Notified after each turn."""
        self.thread = threading.Thread(target=self._run, name="kafka-notify-outbox", daemon=True)

    def wake(self) -> None:
        """Have it look for work now, if it sleeps."""
        if not self._wake.is_set():
            self._wake.set()

    def left(self) -> int:
        """Return how many records are neither delivered nor refused."""
        return self._files.count() + len(self._unstored())

    @property
    def lags(self) -> bool:
        """Whether more is stored than can be brought to Kafka, which takes records."""
        return self._files.count() > _MUCH and self._deliveries.is_delivering

    def finish(self, timeout_s: float) -> None:
        """Deliver what can be delivered within the time, store the rest, and end."""
        self._bound_s = timeout_s
        self._deadline_s = time.monotonic() + timeout_s
        self._finishing.set()
        self._wake.set()
        self.thread.join(timeout_s + _GRACE_S)
        if self.thread.is_alive():  # the disk hangs
            self._monitor.emit(RecordsUnsent(count=self.left(), waited_s=timeout_s + _GRACE_S))

    # --- the thread

    def _run(self) -> None:
        pause_s, ended = 0.0, 0
        while not self._ended:
            try:
                self._wait(pause_s)
                self._turn()
            except Exception as error:  # noqa: BLE001 - without this thread nothing is sent
                self._monitor.emit(ReportsFailed(error=error))
                pause_s = _POLL_S
            # While no broker answers there is less and less to look for.
            before, ended = ended, self._deliveries.ended
            pause_s = _GROUP_S if ended != before else min(max(2 * pause_s, _GROUP_S), _POLL_S)
            with self.turned:
                self.turned.notify_all()

    def _wait(self, pause_s: float) -> None:
        oldest = self._valve.oldest()
        if oldest is not None:
            if oldest.confirmation is not None or self._deliveries.one_by_one:
                self._deliveries.poll(_POLL_S)
            else:
                (self._wake if self._finishing.is_set() else self._finishing).wait(pause_s)
        elif self._finishing.is_set() or not self._deliveries.clear or self._has_unread():
            self._wake.wait(pause_s)
        else:
            self._wake.wait(_IDLE_S)
        self._wake.clear()

    def _turn(self) -> None:
        self._deliveries.poll(0)
        self._watch()
        self._attempt(self._store)
        self._deliveries.release_suspects(self._late_s)
        # When all is done the files can begin anew, full disk or not.
        self._attempt(self._files.settle, at_once=not self._files.count())
        self._attempt(self._files.adopt)
        self._attempt(self._feed)
        self._go_straight()
        if self._finishing.is_set() and (time.monotonic() >= self._deadline_s or not self.left()):
            self._end()

    def _attempt(self, work: Callable[[], None], *, at_once: bool = False) -> None:
        """Do what needs the disk; if it fails, tell it once, and try again a little later."""
        name = work.__name__
        not_before_s = self._failing.get(name)
        if not_before_s is not None and time.monotonic() < not_before_s and not at_once:
            return
        try:
            work()
        except OutboxError as error:
            if not_before_s is None:
                self._monitor.emit(OutboxProblem(error=error))
            self.problem = error
            self._failing[name] = time.monotonic() + _RETRY_S
        else:
            if not_before_s is not None:
                del self._failing[name]
                self.problem = None

    # --- from the client to the disk

    def _watch(self) -> None:
        """See whether sends still go through."""
        valve = self._valve
        oldest = valve.oldest()
        if valve.straight and oldest is not None and valve.client is not None:
            trouble = valve.client.trouble()
            if trouble is not None:
                valve.shut(f"no broker can be reached: {trouble.error}")
            elif time.monotonic() - oldest.since_s > self._late_s:
                valve.shut(f"not confirmed for {self._late_s:g} s")
        if self._was_straight and not valve.straight:
            self._was_straight = False
            if not self._finishing.is_set():
                self._monitor.emit(
                    OutboxSpooling(folder=str(self._files.folder.path), reason=valve.reason)
                )

    def _unstored(self) -> list[Entry]:
        entries = self._valve.entries() + self._deliveries.waiting()
        return [entry for entry in entries if entry.backlog is None]

    def _store(self) -> None:
        """Store what the client holds and no file has, since sends do not go through."""
        mark = self._valve.mark
        if self._valve.straight or self._stored_mark == mark:
            return
        entries = self._unstored()
        for first in range(0, len(entries), _CHUNK):
            chunk = entries[first : first + _CHUNK]
            backlog = self._files.own()
            backlog.keep([Row(entry.seq, entry.record) for entry in chunk])
            self._count_stored(len(chunk))
            for entry in chunk:
                entry.backlog = backlog
                if not self._deliveries.is_suspect(entry):
                    entry.release()
        self._stored_mark = mark

    def _count_stored(self, number: int) -> None:
        self._counters.add("spooled", number)
        self._counters.add("outbox_records", number)

    # --- from the disk to the client

    def _has_unread(self) -> bool:
        return self._files.next_unread(self._valve.mark) is not None

    def _feed(self) -> None:
        """Give the client what is next, as far as there is room."""
        self._deliveries.give_again()
        while self._deliveries.clear and (room := self._deliveries.room()) > 0:
            backlog = self._files.next_unread(self._valve.mark)
            if backlog is None:
                return
            self._give(backlog, min(room, _CHUNK))

    def _give(self, backlog: Backlog, limit: int) -> None:
        rows = self._files.read(backlog, self._valve.mark, limit=limit, max_bytes=_CHUNK_BYTES)
        for seq, record in rows:
            self._deliveries.give(Entry(seq, record, backlog=backlog))

    def _go_straight(self) -> None:
        """Let sends go straight again once all that was kept is on its way, and gets through."""
        valve = self._valve
        if valve.straight or not self._may_go_straight or self._finishing.is_set():
            return
        client, oldest = valve.client, valve.oldest()
        if (
            client is None
            or client.trouble() is not None
            or self._stored_mark != valve.mark
            or not self._deliveries.clear
            or (oldest is not None and not self._is_recent(oldest))
            or not self._files.nearly_read(valve.mark, _NEAR)
        ):
            return
        if valve.open(self._give_the_rest):
            self._was_straight = True
            self._monitor.emit(OutboxStraight(waiting=self._files.count()))

    def _is_recent(self, entry: Entry) -> bool:
        young = time.monotonic() - entry.since_s < self._late_s
        return young and entry.since_s > self._valve.shut_s

    def _give_the_rest(self) -> bool:
        try:
            while (backlog := self._files.next_unread(self._valve.mark)) is not None:
                self._give(backlog, _CHUNK)
                if not self._deliveries.clear:
                    return False
        except OutboxError:
            return False
        return True

    # --- the end

    def _end(self) -> None:
        self._valve.shut("closing")
        self._attempt(self._store)
        self._deliveries.bring_back()
        held = self._valve.take_back() + self._deliveries.waiting()
        lost = [entry for entry in held if entry.backlog is None]
        for entry in lost:
            self._deliveries.give_up(entry, self._given_up(entry))
        left, path = self._files.close()
        if lost:
            self._monitor.emit(RecordsUnsent(count=len(lost), waited_s=self._bound_s))
        if left:
            self._monitor.emit(OutboxKept(records=left, path=path, waited_s=self._bound_s))
        self._ended = True

    def _given_up(self, entry: Entry) -> DeliveryError:
        topic = entry.record.topic
        why = f"; {self.problem}" if self.problem else ""
        return DeliveryTimeout(
            f"topic {topic}: given up before it was confirmed, and not stored{why}", topic=topic
        )
