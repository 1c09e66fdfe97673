# SPDX-License-Identifier: Apache-2.0
"""A websocket pub/sub server that OPAL's clients take for an OPAL server; Kafka links the relays.

An event goes to Kafka first, and comes to every relay's clients from there: what is confirmed
reaches all of them, in one order. Policies are not served here, and no tokens are made.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from kafka_notify.errors import KafkaNotifyError, RecordsGone
from kafka_notify.opal.backbone import backbone, close_all
from kafka_notify.opal.channel import Channel
from kafka_notify.opal.http import Http
from kafka_notify.opal.hub import GOING_AWAY, RESTART, Hub
from kafka_notify.opal.relay_settings import RelaySettings
from kafka_notify.opal.schemas import BroadcastNotification
from kafka_notify.opal.tokens import Tokens
from kafka_notify.opal.websocket import serve

LOG = logging.getLogger("kafka_notify.opal")

_AGAIN_S = 1.0


class Relay:
    """One process of a relay. Raises ConfigurationError for settings that cannot work."""

    def __init__(self, settings: RelaySettings) -> None:
        self.settings = settings
        self.id = uuid.uuid4().hex
        self.hub = Hub()
        self.tokens = Tokens(
            settings.public_key,
            algorithm=settings.algorithm,
            audience=settings.audience,
            issuer=settings.issuer,
        )
        self.backbone = backbone(settings.url)
        self._channel: Channel | None = None
        self._task: asyncio.Future[None] | None = None

    async def publish(self, topics: Iterable[str], data: Any, *, notifier_id: str) -> None:
        """Return when Kafka has an event for each topic; raise what it could not be sent for.

        Calls keep their order. A client whose id is ``notifier_id`` does not get it.
        """
        writes = []
        for topic in topics:
            LOG.info(
                "Broadcasting incoming event: %s", {"topic": topic, "notifier_id": notifier_id}
            )
            event = BroadcastNotification(notifier_id=notifier_id, topics=[topic], data=data)
            # A task each, made in order: they are queued in it, and awaited together.
            writes.append(
                asyncio.ensure_future(
                    self.backbone.publish(self.settings.channel, event.to_json())
                )
            )
        if writes:
            await asyncio.shield(asyncio.gather(*writes))

    def problems(self) -> list[str]:
        """Return what keeps it from its work, in words; nothing while it is alive."""
        found = self.backbone.problems()
        if self._task is not None and self._task.done():
            found.append("the task that brings events to the clients has ended")
        return found

    def waits_for(self) -> list[str]:
        """Return what it waits for before it can serve."""
        if self._channel is None or not self._channel.ready:
            return [f"the topic {self.settings.channel} is not read yet"]
        return []

    async def start(self) -> None:
        """Read from now on. Returns at once; a Kafka that is away is waited for."""
        self._channel = await self.backbone.pin(self.settings.channel)
        self._task = asyncio.ensure_future(self._bring())

    async def _bring(self) -> None:
        """Bring events to the clients until the end."""
        while True:
            try:
                async with self.backbone.events(self.settings.channel) as events:
                    async for event in events:
                        self.hub.deliver(event.topics, event.data, notifier_id=event.notifier_id)
                        await self.hub.pace()
                return
            except RecordsGone:
                # They connect again, and get all of their data anew: see GET /data/config.
                self.hub.end_all(RESTART, "events were lost, get your data anew")
            except KafkaNotifyError:
                LOG.exception("Bringing events to the clients goes on after an error")
                await asyncio.sleep(_AGAIN_S)

    async def stop(self) -> None:
        """Close all connections, deliver to Kafka what is on its way. Bounded."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self.hub.end_all(GOING_AWAY, "the relay is stopping")
        await close_all()


def create_app(settings: RelaySettings) -> Starlette:
    """Return the ASGI app of one relay process."""
    relay = Relay(settings)
    http = Http(relay)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await relay.start()
        try:
            yield
        finally:
            await relay.stop()

    async def websocket(socket: Any) -> None:
        await serve(socket, relay)

    return Starlette(
        routes=[
            WebSocketRoute("/ws", websocket),
            Route("/data/config", http.get_data_config, methods=["GET"]),
            Route("/data/config", http.post_data_config, methods=["POST"]),
            Route("/data/callback_report", http.callback_report, methods=["POST"]),
            Route("/policy-data", http.no_data),
            Route("/pubsub_client_info", http.clients),
            Route("/", http.health),
            Route("/health", http.health),
            Route("/healthcheck", http.ready),
            Route("/ready", http.ready),
        ],
        lifespan=lifespan,
    )


def app() -> Starlette:
    """Return the app of the settings that the command has left in the environment."""
    return create_app(RelaySettings.from_environment())
