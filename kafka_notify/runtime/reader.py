# SPDX-License-Identifier: Apache-2.0
"""Read all of some topics for this process alone: in no group, so every process gets everything.

One thread owns the client. How far it has read is known here, so an outage, or a client that has
to be made anew, costs nothing: reading goes on where it was. What Kafka has removed meanwhile is
told.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Mapping, Sequence

from kafka_notify import fork
from kafka_notify.core import events
from kafka_notify.core.message import Partition, Record
from kafka_notify.drivers.base import ReaderClient
from kafka_notify.errors import BrokerError, BrokerUnavailable, RecordsGone
from kafka_notify.native import threading
from kafka_notify.runtime.groupstart import ensure_topics
from kafka_notify.runtime.late_topics import LateTopics
from kafka_notify.runtime.transport import NotificationTransport

_LOOK_S = 1.0  # how long a look at the topics may keep the thread from reading
_BEHIND_LOOKS = 2  # so many looks without any progress, and the client is taken for stuck
_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_CLOSE_S = 20.0
_SILENT_S = 30.0  # a thread that is alive comes by every second or two

Positions = Mapping[Partition, int]


class Reader:
    """Hand over everything that comes to some topics, in the order of each partition.

    ``hand_over`` and ``on_missed`` are called in the reader's thread: the first with records, the
    second when records were removed before they were read, before those that come after them.
    While ``hand_over`` blocks nothing is read: that is how it bounds what it holds.

    Threads: any for ``start``, ``stop``, ``positions`` and ``problems``.
    """

    def __init__(
        self,
        transport: NotificationTransport,
        topics: Sequence[str],
        *,
        hand_over: Callable[[Sequence[Record]], None],
        on_missed: Callable[[events.RecordsMissed], None],
        positions: Positions | None = None,
    ) -> None:
        """``positions`` are those of an earlier reader, to go on from; None: from the end."""
        self._transport = transport
        self._settings = transport.settings
        self._topics = tuple(topics)
        self._late_topics = LateTopics(transport.driver, transport.settings, transport.monitor)
        self._hand_over = hand_over
        self._on_missed = on_missed
        self._resumed = positions
        self._positions: dict[Partition, int] = {}
        self._client: ReaderClient | None = None
        self._look_at_s = 0.0
        self._behind: tuple[dict[Partition, int], int] = ({}, 0)
        self._came_by_s = time.monotonic()
        self._handing_since_s: float | None = None
        self._stopping = threading.Event()
        self._begun = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(
            target=self._main, name=f"kafka-notify-reader-{'-'.join(topics)}", daemon=True
        )

    def __repr__(self) -> str:
        """Tell the topics and whether it runs."""
        return f"<Reader of {', '.join(self._topics)}: {'up' if self.is_alive() else 'stopped'}>"

    # --- for its owner

    def start(self) -> None:
        """Return when nothing sent from now on can be missed. Topics that are missing are made.

        A topic that does not exist and cannot be made is read from its start once it does. Blocks
        at most ``start_timeout``. Raises BrokerUnavailable, BrokerRefused.
        """
        self._transport.attach(self)
        fork.register(self)
        self._thread.start()
        try:
            if not self._begun.wait(self._settings.start_timeout):
                raise BrokerUnavailable(
                    f"reading from {self._transport.address} has not begun after "
                    f"{self._settings.start_timeout:g} s (start_timeout)"
                )
            if self._failure is not None:
                raise self._failure
        except BaseException:
            self._stopping.set()
            raise
        atexit.register(self.stop)

    @property
    def positions(self) -> dict[Partition, int]:
        """The next offset of each partition, of what was handed over."""
        return dict(self._positions)

    def ask_to_stop(self) -> None:
        """Read nothing more. Returns at once."""
        self._stopping.set()

    def stop(self) -> None:
        """Read nothing more; return when the client is closed. Idempotent; bounded."""
        self._stopping.set()
        self.wait()
        atexit.unregister(self.stop)

    def wait(self) -> None:
        """Wait until the thread has ended; bounded."""
        if threading.current_thread() is not self._thread and self._thread.ident is not None:
            self._thread.join(_CLOSE_S)

    def is_alive(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread.is_alive()

    def problems(self) -> list[str]:
        """Return what keeps it from its work, in words; nothing while it is alive, or stopped.

        A Kafka that is away is no such thing: reading goes on by itself when it is back. Cheap.
        """
        if self._stopping.is_set():
            return []
        if not self.is_alive():
            return [f"{self!r}: its thread has ended"]
        now = time.monotonic()
        handing_since_s = self._handing_since_s
        if handing_since_s is not None:
            blocked_s = now - handing_since_s
            if blocked_s > self._settings.stuck_after:
                return [f"{self!r}: nobody has taken what it has read for {blocked_s:.0f} s"]
        elif now - self._came_by_s > _SILENT_S:
            return [f"{self!r}: its client has not answered for {now - self._came_by_s:.0f} s"]
        return []

    def after_fork_in_child(self) -> None:
        """Forget the client: neither it nor the thread is in the child."""
        if self._client is not None:
            self._client.abandon()
        self._stopping.set()
        atexit.unregister(self.stop)

    # --- the thread

    def _main(self) -> None:
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001 - raised by start()
            self._failure = error
            self._begun.set()
            self._close_client()
            return
        self._begun.set()
        failures = 0
        while not self._stopping.is_set():
            try:
                self._cycle()
                failures = 0
            except RecordsGone as gone:
                self._skip(gone)
            except Exception as error:  # noqa: BLE001 - a reader goes on after any error
                self._reopen(error, failures)
                failures += 1
        self._close_client()

    def _begin(self) -> None:
        admin = self._transport.driver.new_admin(on_problem=self._transport.report_problem)
        try:
            counts, made, unanswered = ensure_topics(
                admin, self._topics, settings=self._settings, monitor=self._transport.monitor
            )
            self._late_topics.want(unanswered, time.monotonic())
        finally:
            admin.close()
        partitions = [Partition(topic, each) for topic in counts for each in range(counts[topic])]
        client = self._open()
        if self._resumed is None:
            old = [one for one in partitions if one.topic not in made]
            self._positions = client.end_offsets(old, self._settings.connect_timeout)
        else:
            self._positions = {
                one: self._resumed[one] for one in partitions if one in self._resumed
            }
        new = [one for one in partitions if one not in self._positions]
        self._positions.update(client.start_offsets(new, self._settings.connect_timeout))
        client.read_from(self._positions)
        self._transport.monitor.emit(
            events.ReaderStarted(topics=self._topics, offsets=self.positions)
        )

    def _open(self) -> ReaderClient:
        if self._client is None:
            self._client = self._transport.driver.new_reader(
                on_problem=self._transport.report_problem
            )
        return self._client

    def _cycle(self) -> None:
        client = self._client
        if client is None:
            client = self._open()
            client.read_from(self._positions)
        self._came_by_s = time.monotonic()
        records = client.take(self._settings.max_poll_records, self._poll_s)
        if records:
            self._give(records)
        self._late_topics.work(time.monotonic())
        self._came_by_s = now = time.monotonic()
        if now >= self._look_at_s:
            self._look_at_s = now + self._settings.topic_refresh
            self._look(client)

    @property
    def _poll_s(self) -> float:
        return min(self._settings.kafka_consumer_timeout, self._settings.topic_refresh)

    def _give(self, records: Sequence[Record]) -> None:
        self._handing_since_s = time.monotonic()
        try:
            self._hand_over(records)
        finally:
            self._handing_since_s = None
        for record in records:
            self._positions[record.where] = record.offset + 1

    # --- looking after it

    def _look(self, client: ReaderClient) -> None:
        """Find new partitions, and whether the client leaves records lying."""
        try:
            counts = client.partition_counts(self._topics, _LOOK_S)
            found = [Partition(topic, each) for topic in counts for each in range(counts[topic])]
            new = [one for one in found if one not in self._positions]
            if new:
                self._positions.update(client.start_offsets(new, _LOOK_S))
                client.read_from(self._positions)
            self._refuse_a_stuck_client(client, found)
        except BrokerError:
            return  # the client tells by itself what is wrong, and this is asked again

    def _refuse_a_stuck_client(self, client: ReaderClient, found: Sequence[Partition]) -> None:
        """Have a client made anew that does not bring what is there, once for each such state."""
        ends = client.end_offsets(found, _LOOK_S)
        behind = {
            one: self._positions[one] for one, end in ends.items() if self._positions[one] < end
        }
        before, looks = self._behind
        stays = bool(behind) and all(before.get(one) == at for one, at in behind.items())
        looks = looks + 1 if stays else 0
        self._behind = (behind, looks)
        if looks == _BEHIND_LOOKS:
            # Once only: a transaction's end marker is at the end of a log, too, and never comes.
            self._reopen(
                BrokerUnavailable(
                    f"the client brings nothing of {', '.join(map(str, behind))}, where there is "
                    "something to read"
                ),
                0,
            )

    def _skip(self, gone: RecordsGone) -> None:
        """Go on where the partitions start now, and tell of it."""
        client = self._open()
        try:
            starts = client.start_offsets([Partition(*one) for one in gone.partitions], _LOOK_S)
        except Exception as error:  # noqa: BLE001 - the new client comes upon the same gap again
            self._reopen(error, 1)
            return
        missed = events.RecordsMissed(
            topics=self._topics,
            expected={one: self._positions[one] for one in starts},
            found=starts,
        )
        self._positions.update(starts)
        client.read_from(self._positions)
        self._transport.monitor.emit(missed)
        self._on_missed(missed)

    def _reopen(self, error: Exception, failures: int) -> None:
        self._close_client()
        self._transport.monitor.emit(events.ReaderReopened(topics=self._topics, error=error))
        self._stopping.wait(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])

    def _close_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                client.close()
            except Exception as error:  # noqa: BLE001 - it is gone, and the thread goes on
                self._transport.monitor.emit(
                    events.ReaderReopened(topics=self._topics, error=error)
                )
