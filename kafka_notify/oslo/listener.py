# SPDX-License-Identifier: Apache-2.0
"""A listener in oslo.messaging's poll style: our intake fills it, its server polls it."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from oslo_messaging._drivers import base

from kafka_notify import fork, native
from kafka_notify.core.batching import BatchRule
from kafka_notify.core.message import Notification
from kafka_notify.native import time
from kafka_notify.oslo.turns import turns_of
from kafka_notify.oslo.waiting import aside, current_thread_id, new_bell
from kafka_notify.runtime.commits import CommitPolicy
from kafka_notify.runtime.decoder import Decoder
from kafka_notify.runtime.handover import Handover, Message
from kafka_notify.runtime.leaving import LISTENERS_TURN, call_at_worker_exit
from kafka_notify.runtime.policies import new_intake, policy_of
from kafka_notify.runtime.redelivery import Redelivery
from kafka_notify.runtime.starting import FAILED_S
from kafka_notify.runtime.stuck import Stuck
from kafka_notify.runtime.transport import NotificationTransport

_POLL_S = 1.0  # one poll without anything; the server polls again
_CLOSE_S = 10.0  # what leaving a group may take beyond the drain


class Incoming(base.IncomingMessage):
    """One notification in the hands of oslo.messaging's server."""

    def __init__(self, handover: Handover, message: Message) -> None:
        found = message.notification
        self._handover = handover
        self._message: Message | None = message
        self._fields = _as_message(found)
        super().__init__(found.ctxt, self._fields, msg_id=found.message_id or "")

    @property
    def message(self) -> dict[str, Any]:
        """What the dispatcher reads, in the thread that it calls the endpoint in."""
        if self._message is not None:
            self._handover.begin(self._message)
        return self._fields

    @message.setter
    def message(self, _fields: dict[str, Any]) -> None:
        """Take what the base class sets, which is here already."""

    def __del__(self) -> None:
        """Settle what nobody has settled: an endpoint that ends its thread holds up no others."""
        message, self._message = self._message, None
        if message is not None:
            self._handover.abandon(message)

    def acknowledge(self) -> None:
        """Take it as done; hands out the next of its key. Threads: any; at most once."""
        self._settle(requeue=False)

    def requeue(self) -> None:
        """Have it handed out again, to this pool alone, after a wait that grows."""
        self._settle(requeue=True)

    def _settle(self, *, requeue: bool) -> None:
        message, self._message = self._message, None
        if message is not None:
            self._handover.settle(message, requeue=requeue)


class PollListener(base.PollStyleListener):
    """Poll one group, as the option commit_policy says; see ``NotificationListener``.

    One that still runs at the end of the process is stopped in an orderly way.
    """

    def __init__(
        self,
        transport: NotificationTransport,
        *,
        group: str,
        topics: Sequence[str],
        batch: BatchRule | None,
    ) -> None:
        super().__init__()
        self._transport = transport
        settings = transport.settings
        policy = policy_of(settings.commit_policy)
        self._handover = Handover(
            Decoder(monitor=transport.monitor, counters=transport.counters),
            group=group,
            monitor=transport.monitor,
            bell=new_bell(),
            here=current_thread_id,
            discards=policy is not CommitPolicy.BEFORE_DISPATCH,
            stuck=Stuck(settings.stuck_after, group=group, monitor=transport.monitor),
            limit=settings.workers,
        )
        self._handover.redelivery = Redelivery.of(self._handover, group=group, transport=transport)
        self._intake = new_intake(
            policy, transport, group=group, topics=topics, batch=batch, hands=self._handover
        )
        self._stopped_at_s: float | None = None

    def start(self) -> None:
        """Return when nothing sent from now on can be missed; see ``Intake.start``."""
        self._transport.attach(self)
        fork.register(self)
        try:
            aside(self._intake.start)
            _call_at_exit(weakref.WeakMethod(self.cleanup))
        except BaseException:
            self._intake.ask_to_stop()  # also if it goes on, as after an eventlet.Timeout
            aside(self._intake.join, FAILED_S)
            if self._intake.is_alive():
                # Endpoints may be at work already, and nobody else holds this listener now.
                _call_at_exit(lambda: self.cleanup)
            raise

    def after_fork_in_child(self) -> None:
        """Forget the parent's client; its threads are not here."""
        self._intake.abandon()
        self._handover.after_fork_in_child()

    def poll(
        self,
        timeout: float | None = None,
        batch_size: int = 1,
        batch_timeout: float | None = None,
    ) -> list[Incoming]:
        """Return the next notification, or batch; nothing after ``timeout``, or a second.

        After ``stop`` it returns what is committed, and nothing when that is all.
        """
        wait_s = _POLL_S if timeout is None else timeout
        messages = self._handover.take(wait_s, self._is_over)
        return [Incoming(self._handover, message) for message in messages]

    def deliver_to(self, callback: Callable[[list[Incoming]], object]) -> None:
        """Call back, besides what is polled, with what waited for what was settled just now."""

        def deliver(messages: list[Message]) -> None:
            callback([Incoming(self._handover, message) for message in messages])

        self._handover.deliver = deliver

    def _is_over(self) -> bool:
        return not self._intake.is_alive() or self._left_s() <= 0

    def _left_s(self) -> float:
        """Return how long the end may still take."""
        settings = self._transport.settings
        bound_s = 2 * settings.drain_timeout + settings.kafka_consumer_timeout + _CLOSE_S
        if self._stopped_at_s is None:
            return bound_s
        return max(0.0, self._stopped_at_s + bound_s - time.monotonic())

    def stop(self) -> None:
        """Take nothing more from Kafka. Returns at once; ``poll`` hands out the rest.

        That takes at most ``drain_timeout``, twice if partitions are given up meanwhile, one poll
        and ten seconds. What is not settled within ``drain_timeout`` is named in the log.
        """
        if self._stopped_at_s is None:
            self._stopped_at_s = time.monotonic()
        self._intake.ask_to_stop()
        self._handover.stop()

    def wait(self) -> None:
        """Wait until the group is left, but for an endpoint of its own."""
        if not self.is_called_by_endpoint():
            aside(self._end, self._left_s())

    def _end(self, timeout_s: float) -> None:
        self._intake.join(timeout_s)
        if not self._intake.is_alive():
            self._handover.close(_CLOSE_S)

    def cleanup(self) -> None:
        """Wait until the group is left. Idempotent; bounded as ``stop`` says."""
        self.stop()
        self.wait()

    def is_called_by_endpoint(self) -> bool:
        """Tell whether the calling thread is in one of its endpoints."""
        return self._handover.runs_here()


class Adapter(base.PollStyleListenerAdapter):
    """oslo.messaging's polling thread; an endpoint may stop it, too."""

    def start(self, on_incoming_callback: Callable[[list[Incoming]], object]) -> None:
        """Poll, and call back with each message, or batch, that is there."""
        listener: PollListener = self._poll_style_listener
        listener.deliver_to(turns_of(on_incoming_callback))
        super().start(on_incoming_callback)

    def stop(self) -> None:
        """Wait until all is handed out that is committed; called by an endpoint it only asks."""
        listener: PollListener = self._poll_style_listener
        if listener.is_called_by_endpoint():
            self._started = False
            listener.stop()
        else:
            super().stop()


def _call_at_exit(reference: Callable[[], Callable[[], None] | None]) -> None:
    """Call what is referred to when the process ends, while executors still take work."""

    def call() -> None:
        function = reference()
        if function is not None:
            function()

    # concurrent.futures ends its executors by the same hook, and the last one goes first. Python
    # has no public one that is early enough; where this is gone, atexit stands in.
    register: Callable[[Callable[[], None]], object] = atexit.register
    if not native.PATCHED:
        register = getattr(threading, "_register_atexit", register)
    register(call)
    call_at_worker_exit(call, turn=LISTENERS_TURN)


def _as_message(found: Notification) -> dict[str, Any]:
    """Return what oslo.messaging's dispatcher reads a notification from."""
    return {
        "message_id": found.message_id,
        "publisher_id": found.publisher_id,
        "event_type": found.event_type,
        "priority": found.priority.upper(),
        "payload": found.payload,
        "timestamp": found.timestamp,
    }
