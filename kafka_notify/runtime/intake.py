# SPDX-License-Identifier: Apache-2.0
"""The receiving side: the thread that owns the consumer of one listener, or two in turns.

It takes records and serves the group; its commit policy says when they are committed and when
they are handed to the workers. Where it runs an endpoint itself, another goes on in its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from kafka_notify.core import events
from kafka_notify.core.batching import Batcher, BatchRule
from kafka_notify.core.message import Partition, Record
from kafka_notify.drivers.base import ConsumerClient
from kafka_notify.errors import (
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    ConsumerFenced,
    KafkaNotifyError,
)
from kafka_notify.native import threading
from kafka_notify.runtime import coordinator
from kafka_notify.runtime.commit_before import CommitBefore
from kafka_notify.runtime.commits import Commits
from kafka_notify.runtime.groupstart import commit_new_partitions, commit_start, ensure_topics
from kafka_notify.runtime.inhand import Hands
from kafka_notify.runtime.late_topics import LateTopics
from kafka_notify.runtime.relief import Errand, Relief
from kafka_notify.runtime.starting import Starting
from kafka_notify.runtime.transport import NotificationTransport

_KEEPALIVE_S = 1.0  # how long a full window may keep the thread from serving its client
_LOOK_S = 1.0  # between two looks for endpoints that are stuck
_STARTING_POLL_S = 0.1  # while start() waits
_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Intake:
    """Feed the hands of one listener from one consumer group."""

    def __init__(
        self,
        transport: NotificationTransport,
        *,
        group: str,
        topics: Sequence[str],
        batch: BatchRule | None,
        hands: Hands,
        commits: Callable[..., Commits] = CommitBefore,
    ) -> None:
        self._driver = transport.driver
        self._settings = transport.settings
        self._monitor = transport.monitor
        self._report_problem = transport.report_problem
        self._group = group
        self._topics = topics
        self._late_topics = LateTopics(transport.driver, transport.settings, transport.monitor)
        self._batcher = Batcher(batch)
        self._hands = hands
        # A batch that fills while another is in the endpoints needs twice its size.
        window = max(self._settings.dispatch_window, 2 * batch.size if batch else 1)
        self._commits = commits(
            self,
            hands,
            self._batcher,
            window=window,
            group=group,
            settings=self._settings,
            monitor=self._monitor,
            counters=transport.counters,
        )
        self._consumer: ConsumerClient | None = None
        self._owned: set[Partition] = set()
        self.gone: set[Partition] = set()
        self._look_at_s = 0.0
        self._pending: list[Record] = []
        self._ending = False
        self._stopping = threading.Event()
        self._starting = Starting(transport, group)
        self._relief = Relief(self._main(), name=f"kafka-notify-intake-{group}")

    # --- for the listener

    def start(self) -> None:
        """Return when nothing sent from now on can be missed.

        Blocks at most ``start_timeout``. Raises what kept the listener from starting.
        """
        self._relief.start()
        try:
            self._starting.wait()
        except BaseException:
            self._stopping.set()  # nobody would ever stop it: the listener has not started
            raise

    def ask_to_stop(self) -> None:
        """Take no more records. Returns at once."""
        self._stopping.set()

    def join(self, timeout_s: float) -> None:
        """Wait until the listener has left its group; not for an endpoint that still runs then.

        Returns at once in the intake itself.
        """
        self._relief.join(timeout_s)

    def is_stopping(self) -> bool:
        """Tell whether it was asked to stop, or failed to start."""
        return self._stopping.is_set()

    def abandon(self) -> None:
        """Forget the consumer in a child of fork, where no thread may go on with it."""
        self._relief.abandon()
        if self._consumer is not None:
            self._consumer.abandon()

    def is_alive(self) -> bool:
        """Tell whether it was started, and has not ended."""
        return self._relief.is_alive()

    # --- the thread

    def _main(self) -> Iterator[Errand]:
        """Take until it is told to stop; yield what may run beside that (see ``Relief``).

        The hands borrow one thread at a time, so the other is always free to go on here.
        """
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001 - told to the thread that waits in start()
            self._fail(error)
            return
        failures = 0
        while not self._stopping.is_set():
            try:
                yield from self._cycle()
                self._look_after(time.monotonic())
                failures = 0
            except ConsumerFenced as error:
                may_fail = self._starting.may_fail and not error.unsupported_protocol
                if may_fail and self._fail(self._refused(error)):
                    return
                self._reopen(error, failures)
                failures += 1
            except Exception as error:  # noqa: BLE001 - a listener goes on after any error
                self._reopen(error, failures)
                failures += 1
        self._end()

    def _fail(self, error: Exception) -> bool:
        """Have ``start`` raise what kept it from starting; tell whether it still waits."""
        self._close_consumer()
        return self._starting.fail(error)

    def _on_problem(self, problem: BrokerError) -> None:
        self._starting.heard(problem)
        self._report_problem(problem)

    def _refused(self, error: ConsumerFenced) -> BrokerRefused:
        refused = BrokerRefused(
            f"{error} (the group was never joined: see the option group_protocol, and the user's "
            "permissions)",
            code=error.code,
        )
        refused.__cause__ = error
        return refused

    def _begin(self) -> None:
        settings = self._settings
        admin = self._driver.new_admin(on_problem=self._on_problem)
        try:
            counts, made, unanswered = ensure_topics(
                admin, self._topics, settings=settings, monitor=self._monitor
            )
            self._late_topics.want(unanswered, time.monotonic())
            self._consumer = self._driver.new_consumer(self._group, on_problem=self._on_problem)
            commit_start(
                self._consumer,
                counts,
                made,
                group=self._group,
                settings=settings,
                monitor=self._monitor,
            )
            # Without topics there is no start that could be moved.
            start_is_safe = not counts or coordinator.has_company(
                admin, self._group, settings.connect_timeout
            )
            if not counts:
                # A member of the classic protocol joins when a topic appears, and not before.
                self._starting.needs_no_rest()
        finally:
            admin.close()
        self._subscribe(self._consumer)
        if start_is_safe:
            self._starting.may_go()
        self._starting.begun()

    def _subscribe(self, consumer: ConsumerClient) -> None:
        consumer.subscribe(
            self._topics,
            on_assigned=self._on_assigned,
            on_revoked=self._on_revoked,
            on_lost=self._on_lost,
        )

    def _cycle(self) -> Iterator[Errand]:
        room = min(self._commits.room(), self._settings.max_poll_records)
        now = time.monotonic()
        if room > 0:
            records = self._take(room, self._batcher.wait_s(now, self._longest_poll_s))
            now = time.monotonic()
            units = self._batcher.add(self._commits.sift(records), now)
            # Nor are units kept where they are handed over: who runs one frees it, and its memory
            # is in the processor's cache then.
            del records
        else:
            self._wait_for_room()
            units = []
        units += self._batcher.due(now)
        if units:
            yield from self._commits.accept(units)

    def _look_after(self, now: float) -> None:
        self._commits.work()
        self._hands.spread()
        if now >= self._look_at_s:
            self._look_at_s = now + _LOOK_S
            self._hands.tell_stuck()
            self._late_topics.work(now)

    @property
    def _longest_poll_s(self) -> float:
        longest = min(
            self._settings.kafka_consumer_timeout,
            self._commits.longest_wait_s,
            self._hands.patience_s,
        )
        return min(longest, _STARTING_POLL_S) if self._starting.is_on else longest

    def _take(self, room: int, wait_s: float) -> list[Record]:
        """Take records; first those that came while only the client's callbacks were wanted."""
        if self._pending:
            records, self._pending = self._pending[:room], self._pending[room:]
            return records
        return self.client().take(room, wait_s)

    def _serve(self, consumer: ConsumerClient, wait_s: float) -> None:
        """Serve the client's callbacks; partitions assigned by one of them may yield a record."""
        # In two steps: a callback inside may replace the list, having dropped what is gone.
        taken = consumer.take(1, wait_s)
        self._pending += taken

    def _wait_for_room(self) -> None:
        """Wait for the endpoints; a member that is silent for too long loses its partitions."""
        consumer = self.client()
        if self._commits.wait_for_room(_KEEPALIVE_S):
            return
        paused = sorted(self._owned)
        consumer.pause(paused)
        try:
            while not self._stopping.is_set():
                self._serve(consumer, 0)
                if self._commits.wait_for_room(_KEEPALIVE_S):
                    return
                self._look_after(time.monotonic())
        finally:
            consumer.resume([one for one in paused if one in self._owned])

    # --- for the commits (see ``Member``)

    def has_deputy(self) -> bool:
        """Tell whether another thread is free to go on if this one hangs."""
        return self._relief.has_deputy()

    def refuse_a_stuck_client(self) -> None:
        """Raise BrokerUnavailable if the coordinator answers others: then our client hangs.

        One that has lost sight of all brokers keeps a commit for ever, and says nothing of it.
        """
        if not coordinator.answers(self._driver, self._group, on_problem=self._on_problem):
            return
        raise BrokerUnavailable(
            f"group {self._group} at {self._driver.address}: a commit hangs while the coordinator "
            "answers others"
        )

    def serve_rebalance(self, attempt: int) -> None:
        """Let the client tell which partitions are gone, taking no further records."""
        consumer = self.client()
        consumer.pause(sorted(self._owned))
        try:
            self._serve(consumer, _BACKOFF_S[min(attempt, len(_BACKOFF_S)) - 1])
        finally:
            consumer.resume(sorted(self._owned))

    # --- what the group says (called inside take and close)

    def _on_assigned(self, partitions: Sequence[Partition]) -> None:
        self._owned.update(partitions)
        self._monitor.emit(events.PartitionsAssigned(group=self._group, partitions=partitions))
        if partitions:
            # One that went away during a pause comes back paused, and nothing else would end that.
            self.client().resume(partitions)
            try:
                commit_new_partitions(
                    self.client(), partitions, timeout_s=self._settings.connect_timeout
                )
            except KafkaNotifyError as error:
                # Only a later start with no other member alive could be misled by this.
                self._monitor.emit(events.ListenerFailed(group=self._group, error=error))
            self._commits.assigned(partitions)
        self._starting.joined()

    def _on_revoked(self, partitions: Sequence[Partition]) -> None:
        self._forget(partitions)
        if not self._ending:
            self._commits.revoked(partitions)
        self._monitor.emit(events.PartitionsRevoked(group=self._group, partitions=partitions))

    def _on_lost(self, partitions: Sequence[Partition]) -> None:
        self._forget(partitions)
        self._commits.lost(partitions)
        self._monitor.emit(events.PartitionsLost(group=self._group, partitions=partitions))

    def _forget(self, partitions: Sequence[Partition]) -> None:
        self._owned.difference_update(partitions)
        self.gone.update(partitions)
        self._batcher.drop(partitions)
        self._pending = [record for record in self._pending if record.where not in partitions]

    # --- the client's own end

    def client(self) -> ConsumerClient:
        """Return the consumer; make one where the last has ended."""
        if self._consumer is None:
            self._consumer = self._driver.new_consumer(self._group, on_problem=self._on_problem)
            self._subscribe(self._consumer)
        return self._consumer

    def _reopen(self, error: Exception, failures: int) -> None:
        """Go on with a new client, from the committed offsets: what was taken is read again."""
        owned = sorted(self._owned)
        self._forget(owned)
        self._commits.lost(owned)
        self._close_consumer()
        if isinstance(error, ConsumerFenced) and error.unsupported_protocol:
            return
        self._monitor.emit(events.ConsumerReopened(group=self._group, error=error))
        self._stopping.wait(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])

    def _close_consumer(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                consumer.close()
            except Exception as error:  # noqa: BLE001 - it is gone, and the thread goes on
                self._monitor.emit(events.ListenerFailed(group=self._group, error=error))

    def _end(self) -> None:
        """Finish what is in hand, then leave the group, so that order holds for the next."""
        self._starting.give_up()
        try:
            self._commits.end()
        except KafkaNotifyError as error:
            self._monitor.emit(events.ListenerFailed(group=self._group, error=error))
        self._ending = True
        self._close_consumer()
