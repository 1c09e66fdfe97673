# SPDX-License-Identifier: Apache-2.0
"""The receiving side of commit_policy=share: one thread that owns one member of a share group.

It takes what the group gives it, has all of it handled, settles each record by its outcome, and
then takes more. There are no partitions, no offsets and no order here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kafka_notify.core import events, naming
from kafka_notify.core.batching import Batcher, BatchRule
from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Record
from kafka_notify.drivers.base import Acquired, Settlement, ShareClient
from kafka_notify.errors import BrokerRefused, ConsumerFenced, KafkaNotifyError
from kafka_notify.native import queue, threading, time
from kafka_notify.runtime.groupstart import ensure_topics
from kafka_notify.runtime.inhand import Hands
from kafka_notify.runtime.late_topics import LateTopics
from kafka_notify.runtime.starting import Starting
from kafka_notify.runtime.transport import NotificationTransport

_COMMIT_S = 5.0
_LOOK_S = 0.1  # between two looks for what is done, while records are in hand
_STARTING_POLL_S = 0.1
_LOCK_SHARE = 0.9  # of a record's lock, after which it is taken for lost
_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class ShareIntake:
    """Feed the hands of one listener from one share group; the same calls as ``Intake``."""

    def __init__(
        self,
        transport: NotificationTransport,
        *,
        group: str,
        topics: Sequence[str],
        batch: BatchRule | None,
        hands: Hands,
    ) -> None:
        self._transport = transport
        self._settings = transport.settings
        self._monitor = transport.monitor
        self._group = naming.share_group_name(group)
        self._topics = topics
        self._late_topics = LateTopics(transport.driver, transport.settings, transport.monitor)
        self._batch = batch
        self._hands = hands
        self._client: ShareClient | None = None
        self._delivery_limit = 1
        self._done: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
        self._in_hand: dict[_Place, Record] = {}
        self._units: set[Unit] = set()
        self._stopping = threading.Event()
        self._starting = Starting(transport, self._group)
        self._starting.needs_no_rest()
        self._thread = threading.Thread(
            target=self._main, name=f"kafka-notify-intake-{self._group}", daemon=True
        )
        hands.on_finished = self._finished
        if hands.redelivery is not None:
            hands.redelivery.givebacks = self

    # --- for the listener

    def start(self) -> None:
        """Return when nothing sent from now on can be missed.

        Blocks at most ``start_timeout``. Raises what kept the listener from starting.
        """
        self._thread.start()
        try:
            self._starting.wait()
        except BaseException:
            self._stopping.set()
            raise

    def ask_to_stop(self) -> None:
        """Take no more records. Returns at once."""
        self._stopping.set()

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def is_stopping(self) -> bool:
        """Tell whether it was asked to stop, or failed to start."""
        return self._stopping.is_set()

    def is_alive(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread.is_alive()

    def abandon(self) -> None:
        """Forget the client in a child of fork, where this thread does not exist."""
        if self._client is not None:
            self._client.abandon()

    # --- for the hands, and for what was not handled (see ``Givebacks``)

    @property
    def limit(self) -> int:
        """The attempt after which nothing may be given back any more.

        The cluster's last hand-out is kept for what nobody could give back: a listener that was
        killed, or took too long.
        """
        return max(1, self._delivery_limit - 1)

    def _finished(self, unit: Unit) -> None:
        self._done.put(_Outcome(unit, unit.records, Settlement.ACCEPT))

    def release(self, unit: Unit, records: Sequence[Record]) -> None:
        """Give back records of a unit: to whichever member asks first."""
        self._done.put(_Outcome(unit, records, Settlement.RELEASE))

    def reject(self, unit: Unit, record: Record) -> None:
        """Have a record of a unit never come again."""
        self._done.put(_Outcome(unit, (record,), Settlement.REJECT))

    # --- the thread

    def _main(self) -> None:
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001 - told to the thread that waits in start()
            self._close()
            self._starting.fail(error)
            return
        failures = 0
        while not self._stopping.is_set():
            try:
                self._cycle()
                failures = 0
            except Exception as error:  # noqa: BLE001 - a listener goes on after any error
                if self._ends(error):
                    return
                self._reopen(error, failures)
                failures += 1
        self._end()

    def _ends(self, error: Exception) -> bool:
        """Tell whether an error ends the listener, as ``start`` still waits to raise it."""
        if not isinstance(error, ConsumerFenced) or not self._starting.may_fail:
            return False
        self._close()
        refused = BrokerRefused(str(error), code=error.code)
        refused.__cause__ = error
        return self._starting.fail(refused)

    def _begin(self) -> None:
        transport = self._transport
        admin = transport.driver.new_admin(on_problem=self._on_problem)
        try:
            found = ensure_topics(
                admin, self._topics, settings=self._settings, monitor=self._monitor
            )
            self._late_topics.want(found.unanswered, time.monotonic())
        finally:
            admin.close()
        self._open()
        if not found.counts:
            self._starting.may_go()  # what is sent to topics to come is read from their start

    def _on_problem(self, problem: KafkaNotifyError) -> None:
        self._starting.heard(problem)
        self._transport.report_problem(problem)  # type: ignore[arg-type]

    def _open(self) -> ShareClient:
        if self._client is None:
            self._client = self._transport.driver.new_share_consumer(
                self._group, on_problem=self._on_problem
            )
            self._client.subscribe(self._topics)
            self._delivery_limit = self._client.delivery_limit
        return self._client

    def _cycle(self) -> None:
        client = self._open()
        longest_s = self._settings.kafka_consumer_timeout
        found = client.take(
            min(longest_s, _STARTING_POLL_S) if self._starting.is_on else longest_s
        )
        if found:
            self._transport.counters.add("received", len(found))
            self._handle(client, found)
        self._look_after(client)
        self._late_topics.work(time.monotonic())

    def _handle(self, client: ShareClient, found: Sequence[Acquired]) -> None:
        """Have records handled and settled; what takes too long is left to others."""
        until_s = time.monotonic() + _LOCK_SHARE * client.lock_s
        self._in_hand = {one.record.place: one.record for one in found}
        self._units = set()
        last = [one for one in found if one.delivery_count > self.limit]
        if last:
            self._give_up(client, last)
        if not self._stopping.is_set() and time.monotonic() < until_s:
            self._hand_over([one for one in found if one.delivery_count <= self.limit])
        while self._in_hand and not self._stopping.is_set():
            if time.monotonic() >= until_s:
                self._let_go(client, "their endpoints take longer than their lock")
                return
            self._wait_for_some(client)

    def _give_up(self, client: ShareClient, last: Sequence[Acquired]) -> None:
        """Dead-letter what the cluster hands out for the last time, before anything else runs.

        Whatever ended its earlier listeners would lose it now. So this waits until it is written,
        whatever happens to the client; when the listener stops, ``drain_timeout`` at most.
        """
        units = [_unit((one.record,), one.delivery_count) for one in last]
        self._units.update(units)
        if self._hands.redelivery is not None:
            self._hands.redelivery.give_up(
                units, f"handed out {self.limit} times, and neither handled nor given back in time"
            )
        trouble: KafkaNotifyError | None = None
        until_s = float("inf")
        while left := [one.record for one in last if one.record.place in self._in_hand]:
            if self._stopping.is_set():
                until_s = min(until_s, time.monotonic() + self._settings.drain_timeout)
            if time.monotonic() >= until_s:
                self._tell_lost(left)
                return
            try:
                self._wait_for_some(client)
            except KafkaNotifyError as error:
                trouble = error
        if trouble is not None:
            raise trouble

    def _tell_lost(self, records: Sequence[Record]) -> None:
        for record in records:
            self._monitor.emit(
                events.GivenUp(
                    group=self._group,
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    reason="handed out for the last time, and its dead letter was not written "
                    "before the listener stopped",
                )
            )

    def _hand_over(self, found: Iterable[Acquired]) -> None:
        by_count: dict[int, list[Record]] = {}
        for one in found:
            by_count.setdefault(one.delivery_count, []).append(one.record)
        units: list[Unit] = []
        for count, records in by_count.items():
            # Of one count each: what asks too often is given up, and takes no others along.
            batcher = Batcher(self._batch)
            batches = batcher.add(records, time.monotonic())
            batches += batcher.due(float("inf"))  # what was given together is all there is for now
            units += [_unit(one.records, count) for one in batches]
        self._units.update(units)
        self._hands.hand_over(units)

    def _wait_for_some(self, client: ShareClient) -> None:
        """Settle what gets done for a moment, and serve the client."""
        self._settle_done(client, _LOOK_S)
        if self._in_hand:
            client.take(0)
        self._look_after(client)

    def _look_after(self, client: ShareClient) -> None:
        self._hands.spread()
        if self._starting.is_on and client.has_begun():
            # Not before: if this member ended then, the next one would begin the group anew.
            self._starting.begun()
            if client.ready():
                self._starting.joined()
        self._hands.tell_stuck()

    def _settle_done(self, client: ShareClient, wait_s: float) -> None:
        settled = False
        try:
            outcome = self._done.get(timeout=wait_s)
            while True:
                settled |= self._settle(client, outcome)
                outcome = self._done.get_nowait()
        except queue.Empty:
            pass
        if settled:
            self._commit(client)

    def _settle(self, client: ShareClient, outcome: _Outcome) -> bool:
        """Note an outcome; the first one of each record counts, of its present hand-out."""
        if outcome.unit not in self._units:
            return False
        records = [
            one for one in outcome.records if self._in_hand.pop(one.place, None) is not None
        ]
        client.settle(records, outcome.how)
        return bool(records)

    def _commit(self, client: ShareClient) -> None:
        for unstored in client.commit(_COMMIT_S):
            self._tell_again(unstored.records, str(unstored.error))

    def _let_go(self, client: ShareClient, reason: str) -> None:
        """Give back what is in hand; what has begun comes a second time."""
        self._hands.discard(None)
        self._settle_done(client, 0)
        left, begun = self._forget()
        client.settle(left, Settlement.RELEASE)
        self._tell_again(begun, reason)
        self._commit(client)

    def _forget(self) -> tuple[Sequence[Record], Sequence[Record]]:
        """Drop what has not begun; return all that was in hand, and what of it has begun."""
        self._hands.discard(None)
        left, self._in_hand = self._in_hand, {}
        units, self._units = self._units, set()
        begun = [one for unit in units for one in unit.records if one.place in left]
        return list(left.values()), begun

    def _tell_again(self, records: Sequence[Record], reason: str) -> None:
        if records:
            self._monitor.emit(
                events.ComesAgain(
                    group=self._group,
                    partitions=sorted({record.where for record in records}),
                    records=len(records),
                    reason=reason,
                )
            )

    # --- the client's end

    def _reopen(self, error: Exception, failures: int) -> None:
        """Go on with a new client; what is in hand comes again to somebody."""
        _left, begun = self._forget()
        self._tell_again(begun, str(error))
        self._close()
        self._monitor.emit(events.ConsumerReopened(group=self._group, error=error))
        self._stopping.wait(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])

    def _close(self) -> None:
        try:
            if self._client is not None:
                self._client.close()
        except Exception as error:  # noqa: BLE001 - it is gone, and the thread goes on
            self._monitor.emit(events.ListenerFailed(group=self._group, error=error))
        self._client = None  # only now: a child that is forked meanwhile must abandon it

    def _end(self) -> None:
        """Settle what endpoints have begun, give back the rest, and leave."""
        self._starting.give_up()
        try:
            self._hands.discard(None)
            self._hands.drain(None, self._settings.drain_timeout)
            if self._client is not None:
                self._let_go(self._client, "their endpoints still ran when the listener stopped")
        except KafkaNotifyError as error:
            self._monitor.emit(events.ListenerFailed(group=self._group, error=error))
        self._close()


_Place = tuple[str, int, int]


class _Outcome(NamedTuple):
    """What becomes of records of a unit."""

    unit: Unit
    records: Sequence[Record]
    how: Settlement


def _unit(records: Sequence[Record], delivery_count: int) -> Unit:
    unit = Unit(records)
    unit.keys = ()  # those of one key go side by side: other listeners have some of them
    unit.attempt = delivery_count
    return unit
