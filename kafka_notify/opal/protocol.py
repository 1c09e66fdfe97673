# SPDX-License-Identifier: Apache-2.0
"""The frames of fastapi_websocket_pubsub: JSON-RPC of a kind, both ways over one websocket.

A request is ``{"request": {"method", "arguments", "call_id"}, "response": null}``; its answer has
``{"result", "result_type", "call_id"}`` in ``response``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from kafka_notify.errors import UndecodableRecord


class Request(NamedTuple):
    """What the other side wants to be called."""

    method: str
    arguments: dict[str, Any]
    call_id: str | None


def parse(text: str | bytes) -> Request | None:
    """Return the request in a frame, None for an answer; raise UndecodableRecord for neither."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UndecodableRecord(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UndecodableRecord("no JSON object")
    request = found.get("request")
    if request is None:
        if isinstance(found.get("response"), dict):
            return None
        raise UndecodableRecord("neither a request nor a response")
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        raise UndecodableRecord("a request without a method")
    arguments = request.get("arguments") or {}
    if not isinstance(arguments, dict):
        raise UndecodableRecord("arguments that are no JSON object")
    call_id = request.get("call_id")
    return Request(request["method"], arguments, None if call_id is None else str(call_id))


def answer(request: Request, result: Any) -> str:
    """Return the frame that answers a request."""
    response = {
        "result": result,
        "result_type": type(result).__name__,
        "call_id": request.call_id,
    }
    return orjson.dumps({"request": None, "response": response}).decode()


class Subscription:
    """What one client has subscribed to; makes the frames that bring it an event.

    An event goes to a thousand clients: its data is encoded once, and what surrounds it is kept.
    """

    __slots__ = ("_beginning", "_end", "_number", "topic")

    def __init__(self, topic: str, *, subscriber_id: str, number: int) -> None:
        self.topic = topic
        self._beginning = self._before(topic, subscriber_id, number)
        self._end = (subscriber_id, number)
        self._number = 0

    @staticmethod
    def _before(topic: str, subscriber_id: str, number: int) -> str:
        subscription = {
            "id": f"{subscriber_id}-{number}",
            "subscriber_id": subscriber_id,
            "topic": topic,
            "notifier_id": None,
        }
        return (
            '{"request":{"method":"notify","arguments":{"subscription":'
            f'{orjson.dumps(subscription).decode()},"data":'
        )

    def frame(self, data: str, topic: str) -> str:
        """Return the frame for an event of ``topic`` whose JSON is ``data``."""
        subscriber_id, number = self._end
        beginning = self._beginning
        if topic != self.topic:  # a subscription to all topics tells which it was
            beginning = self._before(topic, subscriber_id, number)
        self._number += 1
        return f'{beginning}{data}}},"call_id":"{number}.{self._number}"}},"response":null}}'
