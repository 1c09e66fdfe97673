# SPDX-License-Identifier: Apache-2.0
"""Clients of fastapi_websocket_pubsub that take little of the processors from what is measured.

They speak the library's protocol by hand, over picows, which is written in C. Not compressed, as
picows has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

TOPIC = "t"
_TIMEOUT_S = 60.0


class Client(WSListener):
    """One connection. Threads: the loop's."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the connection."""
        self._transport = transport
        self._answered = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take what the server says."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            said = orjson.loads(frame.get_payload_as_bytes())
            if said["request"] is None:
                self._answered.set_result(said["response"]["result"])
            else:
                self.called(said["request"])

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell who waits for an answer."""
        if not self._answered.done():
            self._answered.set_exception(ConnectionError("the server has closed the connection"))

    def called(self, request: dict[str, Any]) -> None:
        """Take a call of the server's."""
        raise RuntimeError(f"nobody asked for {request}")

    async def call(self, method: str, arguments: dict[str, Any]) -> None:
        """Return when the server has answered, one call at a time."""
        self._answered = asyncio.get_running_loop().create_future()
        self.say({"request": {"method": method, "arguments": arguments, "call_id": "c"}})
        result = await self._answered
        if result not in (True, "True"):
            raise RuntimeError(f"{method} was answered {result!r}")

    def say(self, message: dict[str, Any]) -> None:
        """Send a message."""
        self._transport.send(WSMsgType.TEXT, orjson.dumps(message))

    async def close(self) -> None:
        """End the connection, in good order if the server does so within a second."""
        if not self._transport.is_disconnected:
            self._transport.send_close()
        try:
            await asyncio.wait_for(self._transport.wait_disconnected(), 1.0)
        except asyncio.TimeoutError:
            self._transport.disconnect()


class Subscriber(Client):
    """Notes when events come, and answers each as the library's client does."""

    def __init__(self) -> None:
        self.arrived_s: list[float] = []
        self.warm = asyncio.Event()

    def called(self, request: dict[str, Any]) -> None:
        """Note an event, or that the way through Kafka is there."""
        if request["arguments"]["data"] == "warm":
            self.warm.set()
        else:
            self.arrived_s.append(time.perf_counter())
        response = {"result": "None", "result_type": "str", "call_id": request["call_id"]}
        self.say({"request": None, "response": response})


async def connect(kind: type[Client], url: str) -> Any:
    """Return a client of this kind that is connected."""
    _, client = await ws_connect(kind, url)
    return client


async def publish(client: Client, data: Any) -> None:
    """Return when the server has answered that it is published."""
    await client.call("publish", {"topics": [TOPIC], "data": data})


async def measure(receives: str, publishes: str, *, in_flight: int, events: int) -> float:
    """Return events per second, from the first publish at one server to the last arrival.

    At URL ``publishes`` each of so many clients publishes the next when the last is answered.
    """
    subscriber = await connect(Subscriber, receives)
    publishers = [await connect(Client, publishes) for _ in range(in_flight)]
    try:
        await subscriber.call("subscribe", {"topics": [TOPIC]})
        while not subscriber.warm.is_set():
            await publish(publishers[0], "warm")
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(subscriber.warm.wait(), 1.0)
        numbers = iter(range(events))

        async def publish_all(client: Client) -> None:
            for number in numbers:
                await publish(client, {"number": number})

        began_s = time.perf_counter()
        await asyncio.gather(*map(publish_all, publishers))
        deadline_s = time.perf_counter() + _TIMEOUT_S
        while len(subscriber.arrived_s) < events:
            if time.perf_counter() > deadline_s:
                raise RuntimeError(f"{len(subscriber.arrived_s)} of {events} events arrived")
            await asyncio.sleep(0.005)
        # Answered after all before it was heard: the server does not complain of our leaving.
        await subscriber.call("subscribe", {"topics": [f"{TOPIC} is over"]})
        return float(events / (subscriber.arrived_s[-1] - began_s))
    finally:
        await asyncio.gather(*(one.close() for one in (subscriber, *publishers)))
