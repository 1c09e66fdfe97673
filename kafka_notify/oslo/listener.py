# SPDX-License-Identifier: Apache-2.0
"""A listener in oslo.messaging's poll style: our intake fills it, its server polls it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from oslo_messaging._drivers import base

from kafka_notify.core.batching import BatchRule
from kafka_notify.core.message import Notification
from kafka_notify.oslo.handover import Handover, Message
from kafka_notify.oslo.waiting import aside, new_bell
from kafka_notify.runtime import fork
from kafka_notify.runtime.decoder import Decoder
from kafka_notify.runtime.intake import Intake
from kafka_notify.runtime.transport import NotificationTransport

_POLL_S = 1.0  # one poll without anything; the server polls again
_CLOSE_S = 10.0  # what leaving a group may take beyond the drain


class Incoming(base.IncomingMessage):
    """One notification in the hands of oslo.messaging's server."""

    def __init__(self, handover: Handover, message: Message) -> None:
        found = message.notification
        super().__init__(found.ctxt, _as_message(found), msg_id=found.message_id or "")
        self._handover = handover
        self._message: Message | None = message

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
    """Poll one consumer group: at most once, in order per key; see ``NotificationListener``."""

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
        decoder = Decoder(monitor=transport.monitor, counters=transport.counters)
        self._handover = Handover(decoder, group=group, monitor=transport.monitor, bell=new_bell())
        self._intake = Intake(
            transport, group=group, topics=topics, batch=batch, hands=self._handover
        )
        self._over_at_s = float("inf")

    def start(self) -> None:
        """Return when nothing sent from now on can be missed; see ``Intake.start``."""
        self._transport.attach(self)
        fork.register(self)
        aside(self._intake.start)

    def after_fork_in_child(self) -> None:
        """Forget the parent's client; its threads are not here."""
        self._intake.abandon()

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

    def _is_over(self) -> bool:
        return not self._intake.is_alive() or time.monotonic() > self._over_at_s

    def stop(self) -> None:
        """Take nothing more from Kafka. Returns at once; ``poll`` hands out the rest.

        Bounded by ``drain_timeout``, after which what is not settled is named in the log.
        """
        settings = self._transport.settings
        bound_s = 2 * settings.drain_timeout + settings.kafka_consumer_timeout + _CLOSE_S
        self._over_at_s = time.monotonic() + bound_s
        self._intake.ask_to_stop()
        self._handover.stop()

    def wait(self) -> None:
        """Wait until the group is left."""
        aside(self._intake.join, max(0.0, self._over_at_s - time.monotonic()))

    def cleanup(self) -> None:
        """Wait until the group is left. Idempotent; bounded as ``stop`` says."""
        self.stop()
        self.wait()


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
