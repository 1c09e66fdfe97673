# SPDX-License-Identifier: Apache-2.0
"""The type that fastapi_websocket_pubsub's ``EventBroadcaster(broadcast_type=…)`` takes.

It has the six methods of ``broadcaster.Broadcast``; what the stock one connects for each event is
the process's own here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import NamedTuple

from kafka_notify.opal.backbone import Backbone, backbone
from kafka_notify.opal.events import Broadcasted


class Event(NamedTuple):
    """One event, with the names that ``broadcaster`` has for its parts."""

    channel: str
    message: str


def servers_backbone(url: str) -> Backbone:
    """Return the backbone of a server at ``url``. Raises ConfigurationError.

    Nobody waits for a single event there: OPAL answers a post before its event is published.
    """
    return backbone(url, delivery="report")


class KafkaBroadcast:
    """A handle on the process's backbone: cheap to make, and nothing to close.

    Raises ConfigurationError for a URL that cannot work: a malformed one, an unknown option.
    """

    def __init__(self, url: str) -> None:
        self._backbone = servers_backbone(url)

    def __repr__(self) -> str:
        """Tell where it leads; no secrets."""
        return f"<{type(self).__name__} {self._backbone!r}>"

    async def __aenter__(self) -> KafkaBroadcast:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do nothing: the producer is the process's."""

    async def connect(self) -> None:
        """Do nothing: the first event connects, and a subscription does."""

    async def disconnect(self) -> None:
        """Do nothing: a subscription ends with its block."""

    async def publish(self, channel: str, message: str) -> None:
        """Return when the event is queued, with delivery=confirm when Kafka has it.

        Calls of one loop keep their order; see ``Backbone.publish``.
        """
        await self._backbone.publish(channel, message)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[Event]]:
        """Enter an iteration over the channel's events; see ``Backbone.events``."""
        async with self._backbone.events(channel) as found:
            yield self._events(channel, found)

    @staticmethod
    async def _events(channel: str, found: AsyncIterator[Broadcasted]) -> AsyncIterator[Event]:
        async for event in found:
            yield Event(channel, event.text)
