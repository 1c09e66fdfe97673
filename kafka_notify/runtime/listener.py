# SPDX-License-Identifier: Apache-2.0
"""Listeners: what a service starts to have its endpoints called, as oslo.messaging's."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kafka_notify import fork
from kafka_notify.core import naming
from kafka_notify.core.batching import BatchRule
from kafka_notify.core.message import Target
from kafka_notify.core.serializers import Serializer
from kafka_notify.errors import (
    ClosedError,
    ConfigurationError,
    InvalidTarget,
)
from kafka_notify.native import threading
from kafka_notify.runtime.batch_dispatcher import BatchDispatcher
from kafka_notify.runtime.commits import CommitPolicy
from kafka_notify.runtime.dispatcher import Dispatcher
from kafka_notify.runtime.latch import Latch
from kafka_notify.runtime.leaving import LISTENERS_TURN, call_at_worker_exit
from kafka_notify.runtime.policies import AnyIntake, new_intake, policy_of
from kafka_notify.runtime.redelivery import Redelivery
from kafka_notify.runtime.starting import FAILED_S
from kafka_notify.runtime.stuck import Stuck
from kafka_notify.runtime.tasks import Tasks
from kafka_notify.runtime.transport import NotificationTransport
from kafka_notify.runtime.workers import Workers

_CLOSE_S = 10.0  # what leaving a group may take beyond the drain; the client bounds it by itself


class NotificationListener:
    """Receive notifications in a pool and call endpoints; get it from the functions below.

    Guarantee: that of its ``CommitPolicy``. An orderly stop loses nothing whose endpoints end
    within ``drain_timeout``, and says what it leaves behind.
    Order: notifications of one record key reach the endpoints one after the other, different
    keys side by side.

    Threads: any may call start, stop and wait, endpoints' threads included (stop only asks
    then). A listener that still runs at the end of the process is stopped in an orderly way.
    """

    def __init__(
        self,
        transport: NotificationTransport,
        dispatcher: Dispatcher,
        *,
        targets: Sequence[Target],
        pool: str | None,
        batch: BatchRule | None,
        policy: CommitPolicy,
    ) -> None:
        self._transport = transport
        self._policy = policy
        self._dispatcher = dispatcher
        self._batch = batch
        self._group = naming.group_name(pool, transport.settings.consumer_group)
        self._topics = transport.listening_topics(targets, dispatcher.priorities)
        if policy is CommitPolicy.SHARE:
            naming.share_group_name(self._group)  # raises now, as below
        if transport.settings.dead_letter:
            for topic in self._topics:
                naming.dead_letter_topic(topic)  # raises now rather than when one is needed
        self._lock = threading.Lock()
        self._hands: Workers | Tasks | None = None
        self._intake: AnyIntake | None = None
        self._stopped = Latch()
        self._withdraw: Callable[[], object] | None = None

    def __repr__(self) -> str:
        """Tell the group, the topics and whether it runs."""
        state = "running" if self._intake is not None and self._intake.is_alive() else "stopped"
        return f"<{type(self).__name__} {self._group!r} on {', '.join(self._topics)}: {state}>"

    def start(self, override_pool_size: int | None = None) -> None:
        """Begin to listen; return when nothing sent from now on can be missed.

        Blocks at most ``start_timeout``. Topics that do not exist are created; those that cannot
        be are named in the log and read from their start once they exist. Starting one that runs
        already does nothing.

        Args:
            override_pool_size: Instead of ``executor_thread_pool_size``.

        Raises:
            BrokerUnavailable: No broker answered; the message says which address and why.
            BrokerRefused: Credentials, permissions.
            ClosedError: The transport was cleaned up.
        """
        with self._lock:
            if self._intake is not None and self._intake.is_alive():
                if not self._intake.is_stopping():
                    return
                self._await_end(self._intake)
            self._release(0)
            self._transport.attach(self)
            fork.register(self)
            self._stopped.clear()
            self._hands = self._new_hands(override_pool_size)
            self._intake = new_intake(
                self._policy,
                self._transport,
                group=self._group,
                topics=self._topics,
                batch=self._batch,
                hands=self._hands,
            )
            # Before the start, which a signal may end with endpoints at work already.
            atexit.register(self._leave)
            self._withdraw = call_at_worker_exit(self._leave, turn=LISTENERS_TURN)
            try:
                self._intake.start()
            except Exception:
                self._intake.join(FAILED_S)
                if not self._intake.is_alive():
                    self._release(0)
                raise

    def _new_hands(self, override_pool_size: int | None) -> Workers | Tasks:
        transport = self._transport
        settings = transport.settings
        limit = override_pool_size or settings.workers or settings.executor_thread_pool_size
        discards = self._policy is not CommitPolicy.BEFORE_DISPATCH
        stuck = Stuck(settings.stuck_after, group=self._group, monitor=transport.monitor)
        hands: Workers | Tasks
        if self._dispatcher.is_coroutines:
            self._dispatcher.loop.start()  # or fail before anything is committed
            hands = Tasks(
                self._dispatcher.run_in_loop,
                self._dispatcher.loop,
                limit=limit,
                discards=discards,
                stuck=stuck,
            )
        else:
            self._dispatcher.loop.open()  # for those that are, if any
            hands = Workers(
                self._dispatcher.run,
                limit=limit,
                name=f"kafka-notify-{self._group}",
                discards=discards,
                stuck=stuck,
            )
        hands.redelivery = Redelivery.of(hands, group=self._group, transport=transport)
        return hands

    def _await_end(self, intake: AnyIntake) -> None:
        """Wait for an earlier start that is still ending; raise ClosedError if it takes long."""
        bound = self._transport.settings.start_timeout
        intake.join(bound)
        if intake.is_alive():
            raise ClosedError(
                f"{self!r} is still ending after {bound:g} s (start_timeout); start it again later"
            )

    def after_fork_in_child(self) -> None:
        """Forget the parent's threads and client: in the child this listener is stopped."""
        self._lock = threading.Lock()
        if self._intake is not None:
            self._intake.abandon()
        if self._hands is not None:
            self._hands.after_fork_in_child()
        self._dispatcher.after_fork_in_child()
        self._intake = self._hands = None

    def problems(self) -> list[str]:
        """Return what keeps the listener from its work, in words; nothing while it is alive.

        For liveness probes: an endpoint that is stuck (``stuck_after``), a thread that has ended.
        Cheap; never blocks.
        """
        intake, hands = self._intake, self._hands
        if intake is None or hands is None or self._stopped.is_set():
            return []
        ended = [] if intake.is_alive() else [f"{self!r}: its thread has ended"]
        return [*ended, *hands.problems()]

    def stop(self) -> None:
        """Take nothing more; return when what is committed has been dispatched.

        Blocks at most ``drain_timeout`` and the current poll; called by an endpoint it only asks.
        """
        intake, hands = self._intake, self._hands
        if intake is None or hands is None:
            self._stopped.set()
            return
        intake.ask_to_stop()
        self._stopped.set()
        here = threading.current_thread()
        if not (hands.is_mine(here) or self._dispatcher.loop.is_mine(here)):
            intake.join(self._end_bound_s())

    def wait(self) -> None:
        """Wait until the listener was stopped and has ended; release its threads.

        Blocks until somebody calls ``stop``, as oslo.messaging's does.
        """
        self._stopped.wait()
        with self._lock:
            intake = self._intake
            if intake is None:
                return
            intake.ask_to_stop()
            intake.join(self._end_bound_s())
            if not intake.is_alive():
                self._release(_CLOSE_S)

    def _release(self, timeout_s: float) -> None:
        """Let go of what an earlier start has made, and has ended."""
        if self._hands is not None:
            self._hands.close(timeout_s)
            self._dispatcher.close()
        atexit.unregister(self._leave)
        if self._withdraw is not None:
            self._withdraw()
        self._intake = self._hands = self._withdraw = None

    def _end_bound_s(self) -> float:
        settings = self._transport.settings
        return 2 * settings.drain_timeout + settings.kafka_consumer_timeout + _CLOSE_S

    def _leave(self) -> None:
        self.stop()
        self.wait()


def get_notification_listener(
    transport: NotificationTransport,
    targets: Iterable[Target],
    endpoints: Iterable[Any],
    executor: str | None = None,
    serializer: Serializer | None = None,
    allow_requeue: bool = False,
    pool: str | None = None,
    *,
    commit_policy: CommitPolicy | str | None = None,
) -> NotificationListener:
    """Return a listener that calls endpoints with one notification at a time.

    An endpoint's methods are named after priorities and take ctxt, publisher_id, event_type,
    payload, metadata; its attribute ``filter_rule`` may hold a NotificationFilter. The arguments
    are oslo.messaging's.

    Args:
        transport: From ``get_notification_transport``.
        targets: Their topics are listened on, at the priorities that the endpoints have.
        endpoints: At least one object.
        executor: None or 'threading'.
        serializer: Turns payloads and contexts back into objects.
        allow_requeue: Whether an endpoint that returns NotificationResult.REQUEUE, or raises, is
            called again: with waits that grow, up to ``requeue_limit`` times, in its key's order,
            and for this pool alone; then the notification goes to the dead-letter topic. False:
            it counts as handled, as oslo.messaging has it.
        pool: Each pool gets every notification once; None is the default group.
        commit_policy: Instead of the option of that name.

    Raises:
        ConfigurationError: InvalidTarget, InvalidName, InvalidEndpoint, an unknown policy.
    """
    return NotificationListener(
        transport,
        _dispatcher(Dispatcher, transport, endpoints, serializer, executor, allow_requeue),
        targets=_listed(targets),
        pool=pool,
        batch=None,
        policy=_policy(commit_policy, transport),
    )


def get_batch_notification_listener(
    transport: NotificationTransport,
    targets: Iterable[Target],
    endpoints: Iterable[Any],
    executor: str | None = None,
    serializer: Serializer | None = None,
    allow_requeue: bool = False,
    pool: str | None = None,
    batch_size: int | None = None,
    batch_timeout: float | None = None,
    *,
    commit_policy: CommitPolicy | str | None = None,
) -> NotificationListener:
    """Return a listener that calls endpoints with lists of notifications.

    Same as get_notification_listener, but an endpoint's method takes one list of dicts (ctxt,
    publisher_id, event_type, payload, metadata), of ``batch_size`` notifications, or of what is
    there ``batch_timeout`` seconds after the first. Without a time-out a batch waits until it is
    full; without a size it has one notification.
    """
    return NotificationListener(
        transport,
        _dispatcher(BatchDispatcher, transport, endpoints, serializer, executor, allow_requeue),
        targets=_listed(targets),
        pool=pool,
        batch=BatchRule(size=1 if batch_size is None else batch_size, timeout_s=batch_timeout),
        policy=_policy(commit_policy, transport),
    )


def _dispatcher(
    kind: type[Dispatcher],
    transport: NotificationTransport,
    endpoints: Iterable[Any],
    serializer: Serializer | None,
    executor: str | None,
    allow_requeue: bool,
) -> Dispatcher:
    if executor not in (None, "threading"):
        raise ConfigurationError(
            f"executor {executor!r} is not available: take 'threading', or leave it out"
        )
    return kind(
        list(endpoints),
        serializer,
        monitor=transport.monitor,
        counters=transport.counters,
        requeues=allow_requeue,
        deduplicate=transport.settings.deduplicate,
    )


def _policy(asked: CommitPolicy | str | None, transport: NotificationTransport) -> CommitPolicy:
    return policy_of(transport.settings.commit_policy if asked is None else asked)


def _listed(targets: Iterable[Target]) -> list[Target]:
    if isinstance(targets, Target):
        raise InvalidTarget(f"targets is a list of targets: [{targets!r}]")
    listed = list(targets)
    if not listed:
        raise InvalidTarget("a listener needs at least one target, Target(topic='notifications')")
    return listed
