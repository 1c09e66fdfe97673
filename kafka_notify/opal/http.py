# SPDX-License-Identifier: Apache-2.0
"""The relay's HTTP: updates come in, clients ask where their data is, probes look."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from kafka_notify.errors import DeliveryRefused, KafkaNotifyError
from kafka_notify.opal.schemas import DataUpdate, SchemaError
from kafka_notify.opal.tokens import Claims, Unauthorized, require_permitted
from kafka_notify.opal.topics import expand

if TYPE_CHECKING:
    from kafka_notify.opal.relay import Relay

LOG = logging.getLogger("kafka_notify.opal")


class Http:
    """The handlers of one relay."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    # --- updates

    async def post_data_config(self, request: Request) -> Response:
        """Publish a DataUpdate to its topics and those above them.

        200: Kafka has it. 202: Kafka has been away for ``publish_timeout_s``; it is sent when it
        is back, if this process lives. 401, 413, 422 with the field, 503: Kafka refuses it.
        """
        relay = self._relay
        try:
            claims = self._claims(request)
            relay.tokens.require_publisher(claims)
            update = DataUpdate.parse(await self._body(request))
            require_permitted(claims, [each for one in update.entries for each in one.topics])
        except Unauthorized as error:
            return _unauthorized(error)
        except SchemaError as error:
            problems = [{**one, "loc": ["body", *one["loc"]]} for one in error.problems]
            return JSONResponse({"detail": problems}, 422)
        except _TooLarge as error:
            return JSONResponse({"detail": str(error)}, 413)
        for entry in update.entries:
            entry.topics = expand(entry.topics)
        topics = dict.fromkeys(each for one in update.entries for each in one.topics)
        publishing = relay.publish(topics, update.to_dict(), notifier_id=relay.id)
        return await self._published(asyncio.ensure_future(publishing))

    async def _published(self, publishing: asyncio.Future[None]) -> Response:
        bound_s = self._relay.settings.publish_timeout_s
        done, _ = await asyncio.wait((publishing,), timeout=bound_s)
        if not done:
            publishing.add_done_callback(_tell)
            return JSONResponse(
                {"status": "accepted", "detail": f"Kafka has not answered for {bound_s:g} s"}, 202
            )
        try:
            publishing.result()
        except DeliveryRefused as error:
            return JSONResponse({"detail": str(error)}, 413)
        except KafkaNotifyError as error:
            return JSONResponse({"detail": str(error)}, 503)
        return JSONResponse({"status": "ok"})

    async def _body(self, request: Request) -> bytes:
        most = self._relay.backbone.transport.settings.max_record_bytes
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > most:
                raise _TooLarge(f"the body is larger than {most} bytes (max_record_bytes)")
        return bytes(body)

    # --- what clients ask for

    async def get_data_config(self, request: Request) -> Response:
        """Tell a client where all of its data is."""
        try:
            self._claims(request)
        except Unauthorized as error:
            return _unauthorized(error)
        settings = self._relay.settings
        if not settings.data_config_url:
            return JSONResponse(settings.data_config)
        _, _, token = request.headers.get("authorization", "").partition(" ")
        mark = "&" if "?" in settings.data_config_url else "?"
        query = f"{mark}{urlencode({'token': token})}" if token else ""
        return RedirectResponse(f"{settings.data_config_url}{query}")

    async def callback_report(self, request: Request) -> Response:
        """Take a client's report on an update, which OPAL's clients send here by default."""
        try:
            self._claims(request)
        except Unauthorized as error:
            return _unauthorized(error)
        try:
            await self._body(request)
        except _TooLarge as error:
            return JSONResponse({"detail": str(error)}, 413)
        LOG.info("Received update report from %s", request.client)
        return JSONResponse({})

    async def no_data(self, _request: Request) -> Response:
        """Return an empty document, as OPAL's server does for clients without data sources."""
        return JSONResponse({})

    async def clients(self, request: Request) -> Response:
        """Return who is connected to this process, in OPAL's form."""
        try:
            self._claims(request)
        except Unauthorized as error:
            return _unauthorized(error)
        found = {
            client.id: {
                **client.about,
                "client_id": client.id,
                "subscribed_topics": sorted(client.subscriptions),
                "refcount": 1,
            }
            for client in self._relay.hub.clients.values()
        }
        return JSONResponse(found)

    # --- probes

    async def health(self, _request: Request) -> Response:
        """Answer 503 when a restart would help: the reader is stuck."""
        return _probe(self._relay.problems())

    async def ready(self, _request: Request) -> Response:
        """Answer 503 as long as clients would get nothing here."""
        return _probe([*self._relay.problems(), *self._relay.waits_for()])

    def _claims(self, request: Request) -> Claims:
        return self._relay.tokens.check(request.headers.get("authorization"))


class _TooLarge(Exception):
    """Raised for a body that no record could hold."""


def _probe(problems: list[str]) -> Response:
    if problems:
        return JSONResponse({"status": "error", "problems": problems}, 503)
    return JSONResponse({"status": "ok"})


def _unauthorized(error: Unauthorized) -> Response:
    detail: Mapping[str, Any] = {"detail": {"error": str(error)}}
    LOG.warning("Refused a request: %s", error)
    return JSONResponse(detail, 401, {"WWW-Authenticate": "Bearer"})


def _tell(publishing: asyncio.Future[None]) -> None:
    """Log what became of an update whose sender was told that it is accepted."""
    if not publishing.cancelled() and publishing.exception() is not None:
        LOG.error("An update that was accepted could not be sent: %s", publishing.exception())
