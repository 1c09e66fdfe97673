# SPDX-License-Identifier: Apache-2.0
"""Reading in coroutines: in no group, through outages, and on from where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import kafka_notify
from kafka_notify.aio import AsyncSender, Reading
from kafka_notify.core.message import Partition
from kafka_notify.drivers.memory import MemoryCluster
from kafka_notify.errors import RecordsGone
from kafka_notify.runtime.outgoing import Outgoing

WAIT_S = 60.0


@pytest.fixture
def transport(url: str) -> Iterator[kafka_notify.NotificationTransport]:
    with kafka_notify.get_notification_transport(
        url=f"{url}?delivery=confirm&topic_refresh=0.5"
    ) as made:
        yield made


async def send(transport: kafka_notify.NotificationTransport, topic: str, *values: bytes) -> None:
    sender = AsyncSender(transport)
    for value in values:
        await sender.send(Outgoing(topic=topic, key=b"k", value=value, message_id=None))


async def take(reading: Reading, count: int) -> list[bytes | None]:
    return [(await reading.__anext__()).value for _ in range(count)]


def run(main: Any) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(main(), WAIT_S)

    return asyncio.run(bounded())


def test_every_reader_gets_what_comes_and_no_history(transport: Any, unique: str) -> None:
    """Two readers get all that is sent after they entered, and nothing older."""

    async def main() -> None:
        await send(transport, unique, b"old")
        async with Reading(transport, [unique]) as one, Reading(transport, [unique]) as two:
            await send(transport, unique, b"1", b"2", b"3")
            assert await take(one, 3) == [b"1", b"2", b"3"]
            assert await take(two, 3) == [b"1", b"2", b"3"]

    run(main)


def test_a_topic_that_does_not_exist_is_made(transport: Any, unique: str) -> None:
    """Entering makes the topic, and its first record comes."""

    async def main() -> None:
        async with Reading(transport, [unique]) as reading:
            await send(transport, unique, b"first")
            assert await take(reading, 1) == [b"first"]

    run(main)


def test_reading_goes_on_where_another_was(transport: Any, unique: str) -> None:
    """The positions of one, what it read ahead not counted, are where the next begins."""

    async def main() -> None:
        async with Reading(transport, [unique]) as reading:
            await send(transport, unique, b"1", b"2", b"3")
            assert await take(reading, 1) == [b"1"]
        await send(transport, unique, b"4")
        async with Reading(transport, [unique], positions=reading.positions) as reading:
            assert await take(reading, 3) == [b"2", b"3", b"4"]

    run(main)


def test_a_cancelled_wait_loses_nothing(transport: Any, unique: str) -> None:
    """Waiting with a time-out, again and again, gets every record once and in order."""

    async def main() -> None:
        values = [b"%d" % number for number in range(30)]
        async with Reading(transport, [unique]) as reading:
            sending = asyncio.ensure_future(send(transport, unique, *values))
            taken = []
            while len(taken) < 30:
                try:
                    taken.append((await asyncio.wait_for(reading.__anext__(), 0.003)).value)
                except asyncio.TimeoutError:
                    continue
            await sending
            assert taken == values

    run(main)


def test_closing_ends_an_iteration(transport: Any, unique: str) -> None:
    """A task that iterates comes to its end when another closes the reading."""

    async def main() -> None:
        async with Reading(transport, [unique]) as reading:
            arrived = asyncio.Event()
            values = []

            async def work() -> None:
                async for record in reading:
                    values.append(record.value)
                    arrived.set()

            task = asyncio.ensure_future(work())
            await send(transport, unique, b"1")
            await arrived.wait()
            await reading.close()
            await task
            assert values == [b"1"]

    run(main)


class TestInMemory:
    """What only a cluster in memory can be made to do quickly."""

    @pytest.fixture
    def url(self, unique: str) -> str:
        return f"memory://{unique}/"

    def test_an_outage_costs_nothing(self, transport: Any, unique: str) -> None:
        """What is sent while the brokers are away comes afterwards, once and in order."""
        cluster = MemoryCluster.find(unique)

        async def main() -> None:
            async with Reading(transport, [unique]) as reading:
                await send(transport, unique, b"before")
                assert await take(reading, 1) == [b"before"]
                cluster.unavailable = True
                sending = asyncio.ensure_future(send(transport, unique, b"1", b"2"))
                await asyncio.sleep(1.2)  # the topics are looked for in vain meanwhile
                assert not reading.problems()
                cluster.unavailable = False
                await sending
                assert await take(reading, 2) == [b"1", b"2"]

        run(main)

    def test_what_was_removed_is_told_once(self, transport: Any, unique: str) -> None:
        """Retention that passes the reader raises RecordsGone; what is left comes after it."""
        cluster = MemoryCluster.find(unique)
        cluster.create_topic(unique, 1)

        async def main() -> None:
            async with Reading(transport, [unique]) as reading:
                pass
            await send(transport, unique, b"0", b"1", b"2")
            cluster.forget(unique, 0, 2)
            async with Reading(transport, [unique], positions=reading.positions) as reading:
                with pytest.raises(RecordsGone) as raised:
                    await take(reading, 1)
                assert raised.value.partitions == (Partition(unique, 0),)
                assert await take(reading, 1) == [b"2"]

        run(main)

    def test_new_partitions_are_read_from_their_start(self, transport: Any, unique: str) -> None:
        """A topic that could not be made is read from its start once somebody makes it."""
        cluster = MemoryCluster.find(unique)
        cluster.deny_creation = True

        async def main() -> None:
            async with Reading(transport, [unique]) as reading:
                cluster.create_topic(unique, 2)
                await send(transport, unique, b"first")
                assert await take(reading, 1) == [b"first"]

        run(main)

    def test_a_slow_reader_bounds_what_is_held(self, transport: Any, unique: str) -> None:
        """What nobody takes is left in Kafka; it comes when it is asked for."""
        values = [b"%d" % number for number in range(12_000)]

        async def main() -> None:
            async with Reading(transport, [unique]) as reading:
                sender = AsyncSender(transport)
                await asyncio.gather(
                    *(
                        sender.send(Outgoing(topic=unique, key=b"k", value=one, message_id=None))
                        for one in values
                    )
                )
                await asyncio.sleep(0.3)
                assert len(reading._stream._items) <= 5_000
                assert await take(reading, len(values)) == values

        run(main)
