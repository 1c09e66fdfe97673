# SPDX-License-Identifier: Apache-2.0
"""Our relay, with the websocket library's own client, and a real Kafka."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from typing import Any

import pytest

from kafka_notify.opal.topics import ALL_TOPICS
from tests.conftest import Kafka
from tests.opal import bare
from tests.opal.websockets import Subscriber
from tests.waiting import eventually

pytestmark = pytest.mark.functional

ARRIVES_S = 60.0


def numbers(got: list[Any]) -> list[int]:
    return [one["entries"][0]["data"]["n"] for one in got]


def test_relays_are_linked_by_kafka(relay: Any, kafka: Kafka, unique: str) -> None:
    """Posts to one reach the clients of all, each once, in one order, to topics and parents."""
    first, second = relay(), relay()
    with (
        Subscriber(first.ws, "policy_data") as here,
        Subscriber(second.ws, "policy_data") as there,
        Subscriber(second.ws, "policy_data/users") as below,
        Subscriber(second.ws, ALL_TOPICS) as everything,
    ):
        for number in range(20):
            at = (first, second)[number % 2]
            assert at.post("/x", {"n": number}) == (200, {"status": "ok"})
        for one in (here, there):
            assert numbers(one.wait_for(20, ARRIVES_S)) == list(range(20))
        assert second.post("/y", {"n": 20}, topics=["policy_data/users"])[0] == 200
        assert numbers(below.wait_for(1, ARRIVES_S)) == [20]
        assert numbers(here.wait_for(21, ARRIVES_S))[-1] == 20
        assert len(everything.wait_for(22, ARRIVES_S)) == 22
    assert "Broadcasting incoming event" in second.process.text
    record = bare.read(kafka.bootstrap, unique)[0]
    assert list(record) == ["notifier_id", "topics", "data"]
    assert record["topics"] == ["policy_data"]


def test_several_workers(relay: Any) -> None:
    """Clients of whichever worker get what is posted to another; SIGTERM ends all of them."""
    server = relay("--workers", 3)
    subscribers = [Subscriber(server.ws, "policy_data") for _ in range(6)]
    for one in subscribers:
        one.__enter__()
    try:

        def all_there() -> bool:
            # A worker whose reader has not begun yet may have clients already.
            server.post("/warm", {"n": -1})
            return all(one.got for one in subscribers)

        eventually(all_there, ARRIVES_S, "all workers")
        for number in range(10):
            assert server.post("/x", {"n": number})[0] == 200
        for one in subscribers:
            eventually(lambda one=one: numbers(one.got)[-1:] == [9], ARRIVES_S, "the last")
            assert [n for n in numbers(one.got) if n >= 0] == list(range(10))
    finally:
        for one in subscribers:
            one.__exit__()
    assert server.process.stop(signal.SIGTERM) in (0, -signal.SIGTERM)


def test_publishing_over_the_websocket(relay: Any) -> None:
    """A client publishes as with any server of the library, and does not hear itself."""
    from fastapi_websocket_pubsub import PubSubClient

    server = relay()

    async def main() -> tuple[list[Any], bool]:
        mine: list[Any] = []

        async def note(data: Any, topic: str = "") -> None:
            mine.append(data)

        async with PubSubClient(["t"], note, server_uri=server.ws) as client:
            await asyncio.wait_for(client.wait_until_ready(), ARRIVES_S)
            done = await asyncio.wait_for(client.publish(["t"], {"n": 1}), ARRIVES_S)
            await asyncio.wait_for(
                client.publish(["t"], {"n": 2}, notifier_id="another"), ARRIVES_S
            )
            while {"n": 2} not in mine:
                await asyncio.sleep(0.02)
            return mine, done.result

    with Subscriber(server.ws, "t") as other:
        mine, done = asyncio.run(main())
        assert done in (True, "True")
        assert mine == [{"n": 2}]
        assert other.wait_for(2, ARRIVES_S) == [{"n": 1}, {"n": 2}]


def test_bad_records_cost_only_themselves(relay: Any, kafka: Kafka, unique: str) -> None:
    """Each is told, and dead-lettered where that is asked for; the next event arrives."""
    server = relay(url=str(kafka.url(dead_letter="true", max_record_bytes=100_000)))
    huge = json.dumps({"notifier_id": "x", "topics": ["t"], "data": "x" * 200_000}).encode()
    bad = [b"\xff\xfe", None, b"{", b"[]", b'{"topics": ["t"]}', b'{"notifier_id": "x"}', huge]
    good = json.dumps({"notifier_id": "x", "topics": ["t"], "data": {"n": 1}}).encode()
    with Subscriber(server.ws, "t") as subscriber:
        bare.write(kafka.bootstrap, unique, *bad, good)
        assert subscriber.wait_for(1, ARRIVES_S) == [{"n": 1}]

    def buried() -> bool:
        return server.process.text.count("dead letter of") == len(bad)

    eventually(buried, ARRIVES_S, "the dead letters")
    assert server.process.text.count("Skipped an undecodable record") == len(bad)


def test_bad_posts(relay: Any, example: Any) -> None:
    """A malformed one gets 422 with the field, a large one 413; the relay goes on."""
    server = relay(url="")
    url = f"{server.url}/data/config"
    status, answer = example.call(url, {"entries": [{"urll": "x"}]})
    assert status == 422
    assert answer["detail"][0]["loc"] == ["body", "entries", 0, "url"]
    status, answer = example.call(url, "no object")
    assert status == 422
    entry = {"url": "", "data": {"x": "x" * 1_200_000}}
    assert example.call(url, {"entries": [entry]})[0] == 413
    assert server.post("/x", {"n": 1})[0] == 200


def test_what_clients_ask_for(relay: Any, example: Any) -> None:
    """The data sources as OPAL has them, the report of an update, who is connected."""
    sources = {"config": {"entries": [{"url": "http://x/", "topics": ["a"]}]}}
    server = relay("--data-config", json.dumps(sources))
    status, answer = example.call(f"{server.url}/data/config")
    assert status == 200
    assert [one["url"] for one in answer["entries"]] == ["http://x/"]
    report = {"update_id": "x", "reports": []}
    assert example.call(f"{server.url}/data/callback_report", report) == (200, {})
    with Subscriber(server.ws, "a"):
        _, clients = example.call(f"{server.url}/pubsub_client_info")
        [client] = clients.values()
        assert client["subscribed_topics"] == ["a"]


def test_a_slow_client_is_dropped_and_the_others_are_not(relay: Any, example: Any) -> None:
    """One that reads nothing is bounded, and told why; the others get everything."""
    server = relay("--client-events", 50)
    with Subscriber(server.ws, "policy_data") as quick, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        port = int(server.url.rpartition(":")[2])
        slow.connect((example.HOST, port))
        _subscribe_by_hand(slow, port, "policy_data")

        def connected() -> bool:
            _, clients = example.call(f"{server.url}/pubsub_client_info")
            return sum("policy_data" in one["subscribed_topics"] for one in clients.values()) == 2

        eventually(connected, ARRIVES_S, "both clients")
        text = "x" * 50_000
        count = 0

        def dropped() -> bool:
            nonlocal count
            assert server.post("/x", {"n": count, "text": text})[0] == 200
            count += 1
            return "Dropped the client" in server.process.text

        eventually(dropped, ARRIVES_S, "the slow client to be dropped")
        assert "too slow" in server.process.text
        assert numbers(quick.wait_for(count, ARRIVES_S)) == list(range(count))
        assert quick.connects == 1


def test_a_burst_drops_nobody(relay: Any, kafka: Kafka, unique: str) -> None:
    """Events come as fast as clients take them, however many wait: after an outage, say."""
    bare.make_topic(kafka.bootstrap, unique)
    server = relay()
    count = 4 * 1000  # of what waits for a client, four times the most
    events = [{"notifier_id": "x", "topics": ["t"], "data": n} for n in range(count)]
    with Subscriber(server.ws, "t") as one, Subscriber(server.ws, "t") as another:
        bare.write(kafka.bootstrap, unique, *(json.dumps(event).encode() for event in events))
        for each in (one, another):
            assert each.wait_for(count, ARRIVES_S) == list(range(count))
            assert each.connects == 1


def _subscribe_by_hand(raw: socket.socket, port: int, topic: str) -> None:
    """Shake hands and subscribe, then read no more."""
    raw.sendall(
        b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" % port
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += raw.recv(1)
    assert b"101" in head
    request = {"method": "subscribe", "arguments": {"topics": [topic]}, "call_id": "1"}
    text = json.dumps({"request": request}).encode()
    assert len(text) < 126
    mask = b"\1\2\3\4"
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
    raw.sendall(bytes((0x81, 0x80 | len(text))) + mask + masked)


def test_a_frame_that_is_none_ends_only_its_connection(relay: Any) -> None:
    """With a reason; other clients do not notice."""
    import websockets

    server = relay()

    async def main() -> tuple[int, str]:
        async with websockets.connect(server.ws) as connection:
            await connection.send('{"hello": 1}')
            with pytest.raises(websockets.ConnectionClosed) as raised:
                await asyncio.wait_for(connection.recv(), ARRIVES_S)
            return raised.value.rcvd.code, raised.value.rcvd.reason

    with Subscriber(server.ws, "policy_data") as other:
        code, reason = asyncio.run(main())
        assert code == 1008
        assert "neither a request nor a response" in reason
        assert server.post("/x", {"n": 1})[0] == 200
        assert numbers(other.wait_for(1, ARRIVES_S)) == [1]
