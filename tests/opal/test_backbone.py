# SPDX-License-Identifier: Apache-2.0
"""The type that EventBroadcaster takes, on a cluster in memory: its contract, gaps, the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from kafka_notify.drivers.memory import MemoryCluster
from kafka_notify.errors import ClosedError, DeliveryRefused, RecordsGone
from kafka_notify.opal import KafkaBroadcast
from kafka_notify.opal.backbone import close_all
from kafka_notify.opal.broadcast import servers_backbone

WAIT_S = 60.0


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    async def bounded() -> Any:
        try:
            return await asyncio.wait_for(main(), WAIT_S)
        finally:
            await close_all()

    return asyncio.run(bounded())


def event(number: int) -> str:
    return json.dumps({"notifier_id": "x", "topics": ["t"], "data": {"n": number}})


def url(unique: str) -> str:
    return f"memory://{unique}/?topic_refresh=0.2"


def test_the_contract(unique: str) -> None:
    """Handles are cheap and share a producer; an iteration gives events with a ``message``."""

    async def main() -> None:
        reading = KafkaBroadcast(url(unique))
        await reading.connect()
        async with reading.subscribe(channel="EventNotifier") as subscriber:
            for number in range(3):
                async with KafkaBroadcast(url(unique)) as handle:
                    await handle.publish("EventNotifier", event(number))
            got = [await subscriber.__anext__() for _ in range(3)]
        assert [one.message for one in got] == [event(number) for number in range(3)]
        assert {one.channel for one in got} == {"EventNotifier"}
        await reading.disconnect()
        await servers_backbone(url(unique)).close()
        assert servers_backbone(url(unique)).transport.stats()["confirmed"] == 3

    cluster = MemoryCluster.find(unique)
    run(main)
    records = cluster.records("EventNotifier")
    assert len({record.partition for record in records}) == 1
    assert all(record.headers == () for record in records)


def test_a_channel_that_is_read_from_the_start(unique: str) -> None:
    """A pinned one gives a subscriber what comes from then on, and nothing older."""
    MemoryCluster.find(unique)

    async def main() -> None:
        broadcast, mine = KafkaBroadcast(url(unique)), servers_backbone(url(unique))
        channel = await mine.pin("c")
        assert await channel.await_ready(WAIT_S)
        await broadcast.publish("c", event(1))
        await asyncio.sleep(0.2)
        async with broadcast.subscribe("c") as subscriber:
            await broadcast.publish("c", event(2))
            assert (await subscriber.__anext__()).message == event(2)

    run(main)


def test_a_channel_tells_when_it_is_read(unique: str) -> None:
    """What waits for it does so for as long as it wants to, and the channel goes on trying."""
    cluster = MemoryCluster.find(unique)
    cluster.unavailable = True

    async def main() -> None:
        channel = await servers_backbone(url(unique)).pin("c")
        assert not await channel.await_ready(0.1)
        cluster.unavailable = False
        assert await channel.await_ready(WAIT_S)

    run(main)


def test_a_kafka_that_is_away_at_the_start_is_waited_for(unique: str) -> None:
    """A subscription begins when it is back, and what is published meanwhile arrives."""
    cluster = MemoryCluster.find(unique)
    cluster.unavailable = True

    async def main() -> None:
        broadcast = KafkaBroadcast(url(unique))

        async def first() -> str:
            async with broadcast.subscribe("c") as subscriber:
                return str((await subscriber.__anext__()).message)

        got = asyncio.ensure_future(first())
        await asyncio.sleep(0.3)
        assert not got.done()
        cluster.unavailable = False
        while not got.done():
            await broadcast.publish("c", event(7))
            await asyncio.sleep(0.05)
        assert await got == event(7)

    run(main)


def test_a_publish_that_waits_for_nobody(unique: str) -> None:
    """A publish returns while Kafka is away; all arrives, once and in order."""
    cluster = MemoryCluster.find(unique)

    async def main() -> None:
        broadcast = KafkaBroadcast(url(unique))
        async with broadcast.subscribe("c") as subscriber:
            cluster.unavailable = True
            for number in range(50):
                await broadcast.publish("c", event(number))
            assert servers_backbone(url(unique)).transport.stats()["confirmed"] == 0
            cluster.unavailable = False
            got = [(await subscriber.__anext__()).message for _ in range(50)]
        assert got == [event(number) for number in range(50)]

    run(main)
    assert [one.value.decode() for one in cluster.records("c")] == list(map(event, range(50)))


@pytest.mark.parametrize("delivery", ["confirm", "report"])
def test_an_event_that_is_too_large_is_refused_at_once(unique: str, delivery: str) -> None:
    """Whoever publishes it hears of it, and the next one arrives."""

    async def main() -> None:
        broadcast = KafkaBroadcast(f"{url(unique)}&delivery={delivery}&max_record_bytes=1000")
        async with broadcast.subscribe("c") as subscriber:
            with pytest.raises(DeliveryRefused, match="max_record_bytes=1000"):
                await broadcast.publish("c", "x" * 1001)
            await broadcast.publish("c", event(1))
            assert (await subscriber.__anext__()).message == event(1)

    run(main)


def test_a_full_buffer_is_waited_for_in_order(unique: str) -> None:
    """With room for one event calls wait, without holding up their loop."""
    cluster = MemoryCluster.find(unique)
    query = "&send_buffer_records=1&send_block_timeout=30"

    async def main() -> None:
        broadcast = KafkaBroadcast(url(unique) + query)
        async with broadcast.subscribe("c") as subscriber:
            cluster.unavailable = True
            calls = [asyncio.ensure_future(broadcast.publish("c", event(n))) for n in range(5)]
            await asyncio.sleep(0.2)
            assert [one.done() for one in calls] == [True, False, False, False, False]
            cluster.unavailable = False
            got = [(await subscriber.__anext__()).message for _ in range(5)]
            await asyncio.gather(*calls)
        assert got == [event(number) for number in range(5)]

    run(main)


def test_a_gap_ends_the_iteration_and_the_next_goes_on_after_it(unique: str) -> None:
    """What retention has removed raises; whoever subscribes again gets what is left."""
    cluster = MemoryCluster.find(unique)
    cluster.create_topic("c", 1)

    async def main() -> None:
        broadcast = KafkaBroadcast(url(unique))
        await servers_backbone(url(unique)).pin("c")

        async def read(into: list[str], count: int) -> None:
            async with broadcast.subscribe("c") as subscriber:
                async for one in subscriber:
                    into.append(one.message)
                    if len(into) == count:
                        return

        before: list[str] = []
        reading = asyncio.ensure_future(read(before, 99))
        while not before:
            await broadcast.publish("c", event(0))
            await asyncio.sleep(0.05)
        written = len(cluster.records("c"))
        with cluster.changed:  # nobody reads meanwhile
            for number in (1, 2, 3):
                cluster.append("c", event(number).encode(), key=b"c", headers=())
            cluster.forget("c", 0, written + 2)
        with pytest.raises(RecordsGone):
            await reading
        after: list[str] = []
        await broadcast.publish("c", event(4))
        await read(after, 2)
        assert after == [event(3), event(4)]

    run(main)


def test_stopping_does_not_wait_for_a_kafka_that_is_away(unique: str) -> None:
    """Who still waits for Kafka when the process stops gets an error, within close_timeout."""
    cluster = MemoryCluster.find(unique)
    cluster.unavailable = True

    async def main() -> None:
        broadcast = KafkaBroadcast(f"{url(unique)}&delivery=confirm&close_timeout=0.3")
        publishing = asyncio.ensure_future(broadcast.publish("c", event(1)))
        await asyncio.sleep(0.05)
        await close_all()
        with pytest.raises(ClosedError):
            await publishing

    run(main)


@pytest.mark.functional  # it needs the library
@pytest.mark.filterwarnings("ignore")  # of the library, with pydantic 2
def test_eventbroadcaster_takes_it(unique: str) -> None:
    """Two notifiers of the websocket library are linked by it."""
    import fastapi_websocket_pubsub as pubsub
    from fastapi_websocket_pubsub.event_broadcaster import EventBroadcaster

    MemoryCluster.find(unique)

    async def main() -> None:
        got: list[Any] = []

        async def note(_subscription: Any, data: Any) -> None:
            got.append(data)

        notifiers = [pubsub.EventNotifier() for _ in range(2)]
        broadcasters = [
            EventBroadcaster(url(unique), notifier, channel="c", broadcast_type=KafkaBroadcast)
            for notifier in notifiers
        ]
        async with broadcasters[0], broadcasters[1]:
            await notifiers[0].subscribe("me", ["t"], note)
            while not got:
                await notifiers[1].notify(["t"], {"n": -1})
                await asyncio.sleep(0.05)
            for number in range(20):
                await notifiers[1].notify(["t"], {"n": number})
            while {"n": 19} not in got:
                await asyncio.sleep(0.01)
        assert [one["n"] for one in got if one["n"] >= 0] == list(range(20))

    run(main)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_probes_tell_of_a_reader_that_is_stuck(
    unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alive and ready while it reads, neither when its thread has ended; ready only then."""
    from kafka_notify.opal.http import Http
    from kafka_notify.opal.relay import Relay
    from kafka_notify.opal.relay_settings import RelaySettings
    from kafka_notify.runtime.reader import Reader

    cluster = MemoryCluster.find(unique)
    cluster.unavailable = True

    async def main() -> None:
        relay = Relay(RelaySettings(url=f"{url(unique)}&kafka_consumer_timeout=0.1"))
        http = Http(relay)

        async def probes() -> tuple[int, int]:
            health, ready = await http.health(None), await http.ready(None)  # type: ignore[arg-type]
            return health.status_code, ready.status_code

        async def until(expected: tuple[int, int]) -> None:
            while await probes() != expected:
                await asyncio.sleep(0.02)

        assert await probes() == (200, 503)
        await relay.start()
        assert await probes() == (200, 503)
        cluster.unavailable = False
        await until((200, 200))
        cluster.unavailable = True  # an outage is no reason to restart, nor to turn clients away
        await asyncio.sleep(0.3)
        assert await probes() == (200, 200)
        cluster.unavailable = False

        def end(_reader: Reader) -> None:
            raise SystemExit

        monkeypatch.setattr(Reader, "_cycle", end)
        await until((503, 503))
        await relay.stop()

    run(main)
