# SPDX-License-Identifier: Apache-2.0
"""The notifier for coroutines: ``await notifier.info(…)`` returns when Kafka has it."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from kafka_notify.aio.sending import AsyncSender
from kafka_notify.aio.transports import TransportOf
from kafka_notify.core.serializers import Serializer
from kafka_notify.runtime.notifier import Notifier
from kafka_notify.runtime.transport import NotificationTransport


class AsyncNotifier:
    """Same as Notifier, but its methods are awaited, and return when Kafka has confirmed.

    ::

        async with AsyncNotifier("kafka://localhost:9092", publisher_id="me") as notifier:
            await notifier.info({}, "compute.instance.create.end", {"instance_id": "42"})

    Loops: any number may share one. Calls of one loop are queued in the order they are made, so
    notifications of a key keep it; many can be awaited at once (``asyncio.gather``).
    Cancellation: a cancelled call no longer waits, its notification is on its way all the same.

    Args:
        transport: A transport, or the URL of one to be made, and closed by ``close``; None: the
            URL that ``conf`` holds. A given transport is best made with delivery=confirm: with
            delivery=report the reports come up to 5 ms late, and over a client of their own, so
            that order is not kept between these calls and those of a Notifier over the same.
        publisher_id, serializer, retry, topics: As Notifier's.
        conf: An oslo.config ConfigOpts, or None.

    Raises:
        ConfigurationError: As Notifier and ``get_notification_transport``.
    """

    def __init__(
        self,
        transport: NotificationTransport | str | None = None,
        publisher_id: str | None = None,
        *,
        serializer: Serializer | None = None,
        retry: int | None = None,
        topics: Sequence[str] | None = None,
        conf: Any = None,
    ) -> None:
        self._of = TransportOf(transport, conf=conf)
        self.transport = self._of.transport
        self._sender = AsyncSender(self.transport)
        self._notifier = Notifier(
            self.transport,
            publisher_id,
            driver="messagingv2",
            serializer=serializer,
            retry=retry,
            topics=topics,
        )

    def __repr__(self) -> str:
        """Tell publisher and topics."""
        return f"<{type(self).__name__} {self._notifier!r}>"

    async def __aenter__(self) -> AsyncNotifier:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Deliver what is on its way, and release a transport of its own. Idempotent.

        Takes at most ``close_timeout``.
        """
        self._sender.close()
        await self._of.close()

    def prepare(self, **changes: Any) -> AsyncNotifier:
        """Return one with another ``publisher_id`` or ``retry``; see ``Notifier.prepare``.

        Everything else is shared; close the one that it was made of.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._notifier = self._notifier.prepare(**changes)
        return other

    async def audit(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority audit."""
        await self._notify(ctxt, event_type, payload, "AUDIT")

    async def debug(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority debug."""
        await self._notify(ctxt, event_type, payload, "DEBUG")

    async def info(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority info."""
        await self._notify(ctxt, event_type, payload, "INFO")

    async def warn(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority warn."""
        await self._notify(ctxt, event_type, payload, "WARN")

    warning = warn

    async def error(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority error."""
        await self._notify(ctxt, event_type, payload, "ERROR")

    exception = error

    async def critical(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority critical."""
        await self._notify(ctxt, event_type, payload, "CRITICAL")

    async def sample(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority sample: frequent and small."""
        await self._notify(ctxt, event_type, payload, "SAMPLE")

    async def _notify(self, ctxt: Any, event_type: str, payload: Any, priority: str) -> None:
        notifier = self._notifier
        context, message = notifier.compose(ctxt, event_type, payload, priority)
        for record in self.transport.records(
            notifier.topics, priority=priority, ctxt=context, message=message
        ):
            await self._sender.send(record, notifier.retry)
