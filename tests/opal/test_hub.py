# SPDX-License-Identifier: Apache-2.0
"""The relay's clients and frames, without a network."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_notify.core.message import Record
from kafka_notify.errors import UndecodableRecord
from kafka_notify.opal.events import decode
from kafka_notify.opal.hub import TRY_LATER, Client, Hub
from kafka_notify.opal.protocol import Request, Subscription, answer, parse
from kafka_notify.opal.topics import ALL_TOPICS, expand, with_parents

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


class Other:
    """The other side of a connection: what it got, and whether it takes anything."""

    def __init__(self, *, takes: bool = True, frame_s: float = 0.0) -> None:
        self.frames: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self._takes = takes
        self._frame_s = frame_s

    async def send(self, frame: str) -> None:
        if not self._takes:
            await asyncio.Event().wait()
        await asyncio.sleep(self._frame_s)
        self.frames.append(json.loads(frame))

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def client(self, name: str) -> Client:
        return Client(
            name, send=self.send, close=self.close, max_events=10, max_bytes=10_000, about={}
        )


@given(data=JSON, topic=st.text(min_size=1), number=st.integers(1, 9))
def test_frames_are_the_librarys(data: Any, topic: str, number: int) -> None:
    """Whatever the data, a frame is a call of ``notify`` with subscription and data."""
    made = Subscription(topic, subscriber_id="s", number=number)
    calls = []
    for _ in range(2):
        request = json.loads(made.frame(json.dumps(data), topic))["request"]
        assert request["method"] == "notify"
        assert request["arguments"]["data"] == data
        assert request["arguments"]["subscription"]["topic"] == topic
        calls.append(request["call_id"])
    assert len(set(calls)) == 2


@given(method=st.text(), arguments=st.dictionaries(st.text(), JSON))
def test_requests_are_read_as_they_are_written(method: str, arguments: dict[str, Any]) -> None:
    """A request is what its JSON says; an answer is none."""
    request = {"method": method, "arguments": arguments, "call_id": "c"}
    text = json.dumps({"request": request, "response": None})
    assert parse(text) == Request(method, arguments, "c")
    assert parse(answer(Request(method, {}, "c"), True)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"request": 1}', '{"request": {}}'])
def test_other_texts_are_refused(text: str) -> None:
    """With what is wrong."""
    with pytest.raises(UndecodableRecord):
        parse(text)


@given(value=st.binary())
def test_no_bytes_break_the_reader(value: bytes) -> None:
    """A record is an event or refused, whatever it holds."""
    with contextlib.suppress(UndecodableRecord):
        found = decode(Record("t", 0, 0, None, value), max_bytes=1000)
        assert json.loads(found.text)["notifier_id"] == found.notifier_id


def test_parents_of_topics() -> None:
    """As OPAL's server spells them, prefixes included."""
    assert with_parents("a/b/c") == ["a", "a/b", "a/b/c"]
    assert with_parents("scope:data:a/b") == ["scope:data:a", "scope:data:a/b"]
    assert with_parents(":a/b") == ["a", "a/b"]
    assert expand(["a/b", "a/c"]) == ["a", "a/b", "a/c"]


def test_each_gets_what_it_wants_but_for_the_notifier() -> None:
    """By topic, or all of them; a topic that was left brings nothing any more."""

    async def main() -> None:
        hub = Hub()
        others = {name: Other() for name in ("a", "b", "all")}
        clients = {name: other.client(name) for name, other in others.items()}
        writing = [asyncio.ensure_future(one.write()) for one in clients.values()]
        for one in clients.values():
            hub.add(one)
        hub.subscribe(clients["a"], ["t", "t"])
        hub.subscribe(clients["b"], ["t", "u"])
        hub.subscribe(clients["all"], [ALL_TOPICS])
        hub.deliver(["t"], 1, notifier_id="b")
        hub.unsubscribe(clients["a"], ["t", "never"])
        hub.deliver(["t", "u"], 2, notifier_id="x")
        await asyncio.sleep(0.05)

        def got(name: str) -> list[tuple[Any, str]]:
            arguments = [frame["request"]["arguments"] for frame in others[name].frames]
            return [(one["data"], one["subscription"]["topic"]) for one in arguments]

        assert got("a") == [(1, "t")]
        assert got("b") == [(2, "t"), (2, "u")]
        assert got("all") == [(1, "t"), (2, "t"), (2, "u")]
        for task in writing:
            task.cancel()
        for one in clients.values():
            hub.remove(one)
        assert not hub.clients
        assert not hub._by_topic

    asyncio.run(main())


def test_a_client_that_takes_nothing_is_ended_while_it_is_written_to() -> None:
    """Its frames are dropped and its connection closed with the reason."""

    async def main() -> None:
        hub, slow, quick = Hub(), Other(takes=False), Other()
        clients = [slow.client("slow"), quick.client("quick")]
        writing = [asyncio.ensure_future(one.write()) for one in clients]
        for one in clients:
            hub.add(one)
            hub.subscribe(one, ["t"])
        for number in range(30):
            hub.deliver(["t"], number, notifier_id="x")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.wait_for(writing[0], 5)
        assert slow.closed is not None
        assert slow.closed[0] == TRY_LATER
        assert "too slow" in slow.closed[1]
        assert [one["request"]["arguments"]["data"] for one in quick.frames] == list(range(30))
        writing[1].cancel()

    asyncio.run(main())


@pytest.mark.parametrize(("frame_s", "stays"), [(0.005, True), (0.5, False)])
def test_a_burst_is_paced_by_the_clients_that_get_on(frame_s: float, stays: bool) -> None:
    """One that takes 200 events a second gets all of them; one that takes 2 holds up nobody."""

    async def main() -> None:
        hub, other, quick = Hub(), Other(frame_s=frame_s), Other()
        clients = [other.client("other"), quick.client("quick")]
        writing = [asyncio.ensure_future(one.write()) for one in clients]
        for one in clients:
            hub.add(one)
            hub.subscribe(one, ["t"])
        began = time.monotonic()
        for number in range(100):
            hub.deliver(["t"], number, notifier_id="x")
            await hub.pace()
        assert time.monotonic() - began < 5.0
        assert (clients[0].ended is None) == stays
        expected = list(range(100))
        for one in (other, quick) if stays else (quick,):
            while len(one.frames) < 100:
                await asyncio.sleep(0.01)
            assert [each["request"]["arguments"]["data"] for each in one.frames] == expected
        for task in writing:
            task.cancel()

    asyncio.run(asyncio.wait_for(main(), 30))
