# SPDX-License-Identifier: Apache-2.0
"""The transport that an asyncio object works with: one that is given, or one of its own."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from kafka_notify import options
from kafka_notify.runtime.transport import NotificationTransport


class TransportOf:
    """A transport, and whether it is ours to close."""

    def __init__(self, transport: NotificationTransport | str | None, *, conf: Any) -> None:
        """Take a transport, or make one of a URL or of what ``conf`` says.

        A made one has delivery=confirm. Raises ConfigurationError as
        ``get_notification_transport``.
        """
        self._is_ours = not isinstance(transport, NotificationTransport)
        if isinstance(transport, NotificationTransport):
            self.transport = transport
        else:
            url, settings = options.resolve(conf, transport)
            settings = dataclasses.replace(settings, delivery="confirm")
            self.transport = NotificationTransport(url, settings, conf=conf)

    async def close(self) -> None:
        """Clean up a transport of our own, in a thread: at most ``close_timeout``. Idempotent."""
        if self._is_ours:
            await asyncio.to_thread(self.transport.cleanup)
