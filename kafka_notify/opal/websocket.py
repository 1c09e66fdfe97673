# SPDX-License-Identifier: Apache-2.0
"""One websocket of a relay: what its client calls, and what it is told."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from kafka_notify.errors import KafkaNotifyError, UndecodableRecord
from kafka_notify.opal.hub import POLICY, TRY_LATER, Client
from kafka_notify.opal.protocol import Request, answer, parse
from kafka_notify.opal.tokens import Claims, Unauthorized, require_permitted
from kafka_notify.opal.topics import ALL_TOPICS

if TYPE_CHECKING:
    from kafka_notify.opal.relay import Relay

LOG = logging.getLogger("kafka_notify.opal")

_MOST_CALLS = 1000  # of one client at a time; a client that asks for more waits
_CLOSE_S = 5.0


async def serve(socket: WebSocket, relay: Relay) -> None:
    """Serve one client until either side ends it. Without a good token it is not accepted."""
    try:
        claims = relay.tokens.check(socket.headers.get("authorization"))
    except Unauthorized as error:
        LOG.warning("Refused a connection from %s: %s", socket.client, error)
        await socket.close(POLICY)
        return
    await socket.accept()
    session = _Session(socket, relay, claims)
    relay.hub.add(session.client)
    LOG.info("Client %s connected from %s", session.client.id, socket.client)
    try:
        await session.run()
    finally:
        relay.hub.remove(session.client)
        LOG.info("Client %s is gone", session.client.id)


class _Session:
    """The calls of one client; what it is told goes through its ``Client``."""

    def __init__(self, socket: WebSocket, relay: Relay, claims: Claims) -> None:
        self._socket = socket
        self._relay = relay
        self._claims = claims
        self._calls = asyncio.Semaphore(_MOST_CALLS)
        self._running: set[asyncio.Future[None]] = set()
        host, port = socket.client or (None, None)
        self.client = Client(
            uuid.uuid4().hex,
            send=socket.send_text,
            close=self._close,
            max_events=relay.settings.client_events,
            max_bytes=relay.settings.client_bytes,
            about={
                "source_host": host,
                "source_port": port,
                "query_params": dict(socket.query_params),
            },
        )

    async def run(self) -> None:
        """Read and write until one of them ends."""
        reading = asyncio.ensure_future(self._read())
        writing = asyncio.ensure_future(self.client.write())
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, writing, *self._running):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)

    async def _close(self, code: int, reason: str) -> None:
        await asyncio.wait_for(self._socket.close(code, reason[:120]), _CLOSE_S)

    async def _read(self) -> None:
        while True:
            try:
                request = parse(await self._receive())
            except WebSocketDisconnect:
                return
            except UndecodableRecord as error:
                self.client.end(POLICY, f"this is no frame of fastapi_websocket_pubsub: {error}")
                return
            if request is not None:
                await self._calls.acquire()
                # A task each, made in order: publishing waits for Kafka, and others need not.
                call = asyncio.ensure_future(self._call(request))
                self._running.add(call)
                call.add_done_callback(self._called)

    def _called(self, call: asyncio.Future[None]) -> None:
        self._running.discard(call)
        self._calls.release()
        if not call.cancelled() and call.exception() is not None:
            LOG.error("A client's call failed", exc_info=call.exception())
            self.client.end(TRY_LATER, "the relay could not serve a call")

    async def _receive(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        found: str | bytes = message.get("text") or message.get("bytes") or b""
        return found

    async def _call(self, request: Request) -> None:
        method = getattr(self, f"_on_{request.method.strip('_')}", None)
        if method is None:
            LOG.warning("Client %s called %r, which is unknown", self.client.id, request.method)
            self.client.put(answer(request, None))
            return
        try:
            result = await method(request.arguments)
        except Unauthorized as error:
            LOG.warning("Refused %s of client %s: %s", request.method, self.client.id, error)
            result = False
        except KafkaNotifyError as error:
            LOG.error("%s of client %s: %s", request.method, self.client.id, error)
            result = False
        self.client.put(answer(request, result))

    async def _on_subscribe(self, arguments: dict[str, Any]) -> bool:
        topics = _topics(arguments)
        require_permitted(self._claims, topics)
        self._relay.hub.subscribe(self.client, topics)
        return True

    async def _on_unsubscribe(self, arguments: dict[str, Any]) -> bool:
        self._relay.hub.unsubscribe(self.client, _topics(arguments))
        return True

    async def _on_publish(self, arguments: dict[str, Any]) -> bool:
        topics = _topics(arguments)
        require_permitted(self._claims, topics)
        notifier_id = arguments.get("notifier_id")
        await self._relay.publish(
            topics,
            arguments.get("data"),
            notifier_id=self.client.id if notifier_id is None else str(notifier_id),
        )
        return True

    async def _on_ping(self, _arguments: dict[str, Any]) -> str:
        return "pong"

    async def _on_get_channel_id(self, _arguments: dict[str, Any]) -> str:
        return self.client.id


def _topics(arguments: dict[str, Any]) -> list[str]:
    found = arguments.get("topics", [])
    if found == ALL_TOPICS:
        return [ALL_TOPICS]
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise Unauthorized("topics: a list of texts is needed")
    return found
