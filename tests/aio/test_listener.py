# SPDX-License-Identifier: Apache-2.0
"""Listening in coroutines: handled when the next is asked for, given back when an error leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from kafka_notify.aio import AsyncListener, AsyncNotifier
from kafka_notify.errors import BrokerUnavailable, ConfigurationError

WAIT_S = 90.0


async def send(url: str, topic: str, payloads: Sequence[object], key: str = "me") -> None:
    async with AsyncNotifier(url, key, topics=[topic]) as notifier:
        for payload in payloads:
            await notifier.info({}, "x", payload)


def listen(url: str, unique: str, **how: Any) -> AsyncListener:
    return AsyncListener(url, [unique], pool=unique, priorities=["info"], **how)


async def take(listener: AsyncListener, count: int) -> list[object]:
    taken = []
    async for one in listener:
        taken.append(one.payload)
        if len(taken) == count:
            break
    return taken


def run(main: Any) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(main(), WAIT_S)

    return asyncio.run(bounded())


def test_nothing_sent_after_entering_is_missed(url: str, unique: str) -> None:
    """What is sent inside the block comes, with its fields, in order of its key."""

    async def main() -> None:
        async with listen(url, unique) as listener:
            await send(url, unique, [1, 2, 3])
            assert await take(listener, 3) == [1, 2, 3]
            await send(url, unique, [{"secret": 1}])
            async for one in listener:
                assert (one.priority, one.publisher_id, one.event_type) == ("info", "me", "x")
                assert one.payload == {"secret": 1}
                assert one.notification.message_id
                assert "secret" not in repr(one)
                break

    run(main)


def test_what_was_handled_does_not_come_again(url: str, unique: str) -> None:
    """The end of the block is the end of the last one; the next block begins after it."""

    async def main() -> None:
        async with listen(url, unique) as listener:
            await send(url, unique, [1, 2, 3, 4])
            assert await take(listener, 2) == [1, 2]
        async with listen(url, unique) as listener:
            assert await take(listener, 2) == [3, 4]

    run(main)


def test_an_error_gives_back_what_was_in_hand(url: str, unique: str) -> None:
    """An exception that leaves the block gives its notification to the next one."""

    async def main() -> None:
        async def fail() -> None:
            async with listen(url, unique) as listener:
                await send(url, unique, [1, 2])
                async for one in listener:
                    if one.payload == 2:
                        raise LookupError

        with pytest.raises(LookupError):
            await fail()
        async with listen(url, unique) as listener:
            assert await take(listener, 1) == [2]

    run(main)


def test_cancellation_gives_back_too(url: str, unique: str) -> None:
    """A task that is cancelled while it handles one has not handled it."""

    async def main() -> None:
        taken = asyncio.Event()

        async def work() -> None:
            async with listen(url, unique) as listener:
                await send(url, unique, ["mine"])
                async for _one in listener:
                    taken.set()
                    await asyncio.sleep(WAIT_S)

        task = asyncio.ensure_future(work())
        await taken.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with listen(url, unique) as listener:
            assert await take(listener, 1) == ["mine"]

    run(main)


def test_a_cancelled_wait_loses_nothing(url: str, unique: str) -> None:
    """Waiting with a time-out, again and again, gets every notification once."""

    async def main() -> None:
        async with listen(url, unique) as listener:
            sending = asyncio.ensure_future(send(url, unique, list(range(30))))
            taken: list[object] = []
            iterator = listener.__aiter__()
            while len(taken) < 30:
                try:
                    one = await asyncio.wait_for(iterator.__anext__(), 0.003)
                except asyncio.TimeoutError:
                    continue
                taken.append(one.payload)
            await sending
            assert taken == list(range(30))

    run(main)


def test_requeued_comes_again_before_the_next_of_its_key(url: str, unique: str) -> None:
    """``requeue`` brings it to this pool again, and its key waits for it."""

    async def main() -> None:
        async with listen(url, unique) as listener:
            await send(url, unique, [1, 2])
            seen = []
            async for one in listener:
                seen.append(one.payload)
                if seen == [1]:
                    one.requeue()
                if len(seen) == 3:
                    break
            assert seen == [1, 1, 2]

    run(main)


def test_tasks_share_the_keys(url: str, unique: str) -> None:
    """Tasks that iterate side by side get each notification once, and each key in order."""

    async def main() -> None:
        async with listen(url, unique) as listener:
            for key in ("a", "b", "c", "d"):
                await send(url, unique, [(key, number) for number in range(10)], key)
            taken: list[tuple[str, int]] = []

            async def work() -> None:
                async for one in listener:
                    await asyncio.sleep(0.001)
                    taken.append(tuple(one.payload))
                    if len(taken) == 40:
                        await listener.stop()

            await asyncio.gather(*(work() for _ in range(3)))
            for key in ("a", "b", "c", "d"):
                assert [n for who, n in taken if who == key] == list(range(10))

    run(main)


def test_loops_listen_side_by_side(unique: str) -> None:
    """Each loop of a process may have a listener; pools get everything each."""
    url = f"memory://{unique}/"
    results: dict[str, list[object]] = {}
    ready = threading.Barrier(3)

    def work(pool: str) -> None:
        async def main() -> None:
            listener = AsyncListener(url, [unique], pool=pool, priorities=["info"])
            async with listener:
                await asyncio.to_thread(ready.wait, WAIT_S)
                results[pool] = await take(listener, 5)

        run(main)

    threads = [threading.Thread(target=work, args=(pool,)) for pool in ("one", "two")]
    for thread in threads:
        thread.start()
    ready.wait(WAIT_S)
    asyncio.run(send(url, unique, list(range(5))))
    for thread in threads:
        thread.join(WAIT_S)
    assert results == {"one": list(range(5)), "two": list(range(5))}


def test_an_unreachable_kafka_is_told_at_the_start(unique: str) -> None:
    """Entering raises BrokerUnavailable, with the address, and leaves nothing behind."""
    url = "kafka://127.0.0.1:1/?connect_timeout=0.5&start_timeout=2"

    async def main() -> None:
        async with listen(url, unique):
            pass

    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        run(main)


def test_policies_that_cannot_work_are_refused(unique: str) -> None:
    """before_dispatch commits ahead of an iterator that may be left at any time."""
    with pytest.raises(ConfigurationError, match="after_dispatch"):
        listen(f"memory://{unique}/", unique, commit_policy="before_dispatch")
    with pytest.raises(ConfigurationError, match="list of topics"):
        AsyncListener(f"memory://{unique}/", unique)
