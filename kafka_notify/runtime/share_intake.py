# SPDX-License-Identifier: Apache-2.0
"""The receiving side of commit_policy=share: one thread that owns one member of a share group.

It takes what the group gives it, has all of it handled, settles each record by its outcome, and
then takes more. There are no partitions, no offsets and no order here.
"""

from __future__ import annotations

from collections.abc import Sequence

from kafka_notify.core import events, naming
from kafka_notify.core.batching import Batcher, BatchRule
from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Record
from kafka_notify.drivers.base import Acquired, Settlement, ShareClient
from kafka_notify.errors import BrokerRefused, ConsumerFenced, KafkaNotifyError
from kafka_notify.native import queue, threading, time
from kafka_notify.runtime.groupstart import ensure_topics
from kafka_notify.runtime.inhand import Hands
from kafka_notify.runtime.starting import Starting
from kafka_notify.runtime.transport import NotificationTransport

_COMMIT_S = 5.0
_LOOK_S = 0.1  # between two looks for what is done, while records are in hand
_STARTING_POLL_S = 0.1
_LOCK_SHARE = 0.8  # of a record's lock, after which it is taken for lost
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
        self._batch = batch
        self._hands = hands
        self._client: ShareClient | None = None
        self._done: queue.SimpleQueue[tuple[Sequence[Record], Settlement]] = queue.SimpleQueue()
        self._in_hand: dict[tuple[str, int, int], Record] = {}
        self._stopping = threading.Event()
        self._starting = Starting(transport, self._group)
        self._starting.needs_no_rest()
        self._thread = threading.Thread(
            target=self._main, name=f"kafka-notify-intake-{self._group}", daemon=True
        )
        hands.on_finished = self._finished
        if hands.redelivery is not None:
            hands.redelivery.release = self._release

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

    # --- for the hands

    def _finished(self, unit: Unit) -> None:
        self._done.put((unit.records, Settlement.ACCEPT))

    def _release(self, records: Sequence[Record]) -> None:
        """Take records that ask to come again: to whichever member asks first."""
        self._done.put((records, Settlement.RELEASE))

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
            ensure_topics(admin, self._topics, settings=self._settings, monitor=self._monitor)
        finally:
            admin.close()
        self._open()
        self._starting.begun()

    def _on_problem(self, problem: KafkaNotifyError) -> None:
        self._starting.heard(problem)
        self._transport.report_problem(problem)  # type: ignore[arg-type]

    def _open(self) -> ShareClient:
        if self._client is None:
            self._client = self._transport.driver.new_share_consumer(
                self._group, on_problem=self._on_problem
            )
            self._client.subscribe(self._topics)
            if self._hands.redelivery is not None:
                self._hands.redelivery.hard_limit = self._client.delivery_limit
        return self._client

    def _cycle(self) -> None:
        client = self._open()
        longest_s = self._settings.kafka_consumer_timeout
        if self._starting.is_on:
            longest_s = min(longest_s, _STARTING_POLL_S)
            if client.ready():
                self._starting.joined()
        found = client.take(longest_s)
        if found:
            self._transport.counters.add("received", len(found))
            self._hand_over(found)
            self._settle_all(client, time.monotonic() + _LOCK_SHARE * client.lock_s)
        self._hands.tell_stuck()

    def _hand_over(self, found: Sequence[Acquired]) -> None:
        counts = {_place(one.record): one.delivery_count for one in found}
        self._in_hand = {_place(one.record): one.record for one in found}
        batcher = Batcher(self._batch)
        now = time.monotonic()
        units = batcher.add((one.record for one in found), now)
        units += batcher.due(float("inf"))  # what was given together is all there is for now
        for unit in units:
            unit.keys = frozenset()  # records of one key go side by side: others have some
            unit.attempt = max(counts[_place(record)] for record in unit.records)
        self._hands.hand_over(units)

    def _settle_all(self, client: ShareClient, until_s: float) -> None:
        """Settle what is done as it gets done; leave what is not in time to its lock."""
        while self._in_hand:
            self._settle_done(client, _LOOK_S)
            if self._stopping.is_set():
                return
            if time.monotonic() >= until_s and self._in_hand:
                self._let_go(client, "their endpoints take longer than their lock")
                return
            self._hands.tell_stuck()

    def _settle_done(self, client: ShareClient, wait_s: float) -> None:
        settled = False
        try:
            records, how = self._done.get(timeout=wait_s)
            while True:
                for record in records:
                    # Of an earlier hand-out: its lock has run out, and it comes again.
                    settled |= self._in_hand.pop(_place(record), None) is not None
                client.settle(records, how)
                records, how = self._done.get_nowait()
        except queue.Empty:
            pass
        if settled:
            self._commit(client)

    def _commit(self, client: ShareClient) -> None:
        for unstored in client.commit(_COMMIT_S):
            self._tell_again(unstored.records, str(unstored.error))

    def _give_back(self, client: ShareClient, running: int) -> None:
        """Release what has not begun, and what runs for too long, as the listener stops."""
        records = list(self._in_hand.values())
        self._in_hand = {}
        client.settle(records, Settlement.RELEASE)
        if running:
            self._tell_again(records, f"{running} endpoints still ran when their listener stopped")
        self._commit(client)

    def _let_go(self, client: ShareClient, reason: str) -> None:
        """Give up what is in hand: another member gets it."""
        self._hands.discard(None)
        left = list(self._in_hand.values())
        self._in_hand = {}
        client.settle(left, Settlement.RELEASE)
        self._tell_again(left, reason)
        self._commit(client)

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
        self._hands.discard(None)
        self._tell_again(list(self._in_hand.values()), str(error))
        self._in_hand = {}
        self._close()
        self._monitor.emit(events.ConsumerReopened(group=self._group, error=error))
        self._stopping.wait(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                client.close()
            except Exception as error:  # noqa: BLE001 - it is gone, and the thread goes on
                self._monitor.emit(events.ListenerFailed(group=self._group, error=error))

    def _end(self) -> None:
        """Settle what endpoints have begun, give back the rest, and leave."""
        self._starting.give_up()
        client = self._client
        try:
            self._hands.discard(None)
            left = self._hands.drain(None, self._settings.drain_timeout)
            if client is not None:
                self._settle_done(client, 0)
                self._give_back(client, left)
        except KafkaNotifyError as error:
            self._monitor.emit(events.ListenerFailed(group=self._group, error=error))
        self._close()


def _place(record: Record) -> tuple[str, int, int]:
    return (record.topic, record.partition, record.offset)
