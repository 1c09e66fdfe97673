# SPDX-License-Identifier: Apache-2.0
"""Sending from coroutines: awaited means confirmed, in order, whatever is cancelled."""

from __future__ import annotations

import asyncio
import threading

import orjson
import pytest

import kafka_notify
from kafka_notify.aio import AsyncNotifier
from kafka_notify.drivers.memory import MemoryCluster
from kafka_notify.errors import ClosedError, DeliveryRefused, DeliveryTimeout, SendBufferFull

WAIT_S = 60.0


@pytest.fixture
def cluster(unique: str) -> MemoryCluster:
    return MemoryCluster.find(unique)


def payloads(cluster: MemoryCluster, topic: str) -> list[object]:
    inner = [
        orjson.loads(record.value or b"")["oslo.message"] for record in cluster.records(topic)
    ]
    return [orjson.loads(text)["payload"] for text in inner]


def test_awaited_means_confirmed(url: str, unique: str) -> None:
    """When ``info`` returns, the record has its delivery report."""

    async def main() -> dict[str, int]:
        async with AsyncNotifier(url, "me", topics=[unique]) as notifier:
            await asyncio.wait_for(notifier.info({}, "x", {"n": 1}), WAIT_S)
            return notifier.transport.stats()

    stats = asyncio.run(main())
    assert (stats["sent"], stats["confirmed"], stats["failed"]) == (1, 1, 0)


def test_a_transport_that_counts_what_it_delivers_tells_of_what_is_awaited(
    url: str, unique: str
) -> None:
    """delivery=report makes no reports for nobody; awaited calls over it have theirs."""

    async def main(transport: kafka_notify.NotificationTransport) -> None:
        async with AsyncNotifier(transport, "me", topics=[unique]) as notifier:
            await asyncio.wait_for(notifier.info({}, "x", {"n": 2}), WAIT_S)

    with kafka_notify.get_notification_transport(url=f"{url}?delivery=report") as transport:
        kafka_notify.Notifier(transport, "me", topics=[unique]).info({}, "x", {"n": 1})
        asyncio.run(main(transport))
        assert transport.flush(WAIT_S) == 0
        stats = transport.stats()
    assert (stats["sent"], stats["confirmed"], stats["failed"]) == (2, 2, 0)


def test_calls_of_a_loop_keep_their_order(cluster: MemoryCluster, unique: str) -> None:
    """Calls that are awaited together are queued in the order they were made."""

    async def main() -> None:
        async with AsyncNotifier(f"memory://{unique}/", "me", topics=[unique]) as notifier:
            await asyncio.gather(*(notifier.info({}, "x", number) for number in range(200)))

    asyncio.run(main())
    assert payloads(cluster, f"{unique}.info") == list(range(200))


def test_no_thread_per_call(url: str, unique: str) -> None:
    """A thousand calls at once take the threads that one takes."""

    async def main() -> tuple[int, int]:
        async with AsyncNotifier(url, "me", topics=[unique]) as notifier:
            await notifier.info({}, "x", 0)
            before = threading.active_count()
            calls = [asyncio.ensure_future(notifier.info({}, "x", n)) for n in range(1000)]
            await asyncio.sleep(0)
            most = threading.active_count()
            await asyncio.wait_for(asyncio.gather(*calls), WAIT_S)
            return before, max(most, threading.active_count())

    before, most = asyncio.run(main())
    assert most <= before


def test_many_loops_share_a_notifier(url: str, unique: str) -> None:
    """Loops in several threads await over one transport, each its own calls."""
    with kafka_notify.get_notification_transport(url=url) as transport:
        notifier = AsyncNotifier(transport, "me", topics=[unique])

        async def main() -> None:
            calls = [notifier.info({}, "x", number) for number in range(50)]
            await asyncio.wait_for(asyncio.gather(*calls), WAIT_S)

        loops = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
        for each in loops:
            each.start()
        for each in loops:
            each.join(WAIT_S)
        assert transport.stats()["confirmed"] == 200


def test_a_cancelled_call_sends_all_the_same(cluster: MemoryCluster, unique: str) -> None:
    """Cancelling stops the waiting, and neither the record nor the notifier."""
    cluster.unavailable = True

    async def main() -> None:
        async with AsyncNotifier(f"memory://{unique}/", "me", topics=[unique]) as notifier:
            call = asyncio.ensure_future(notifier.info({}, "x", "cancelled"))
            await asyncio.sleep(0.05)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            cluster.unavailable = False
            await asyncio.wait_for(notifier.info({}, "x", "after"), WAIT_S)

    asyncio.run(main())
    assert payloads(cluster, f"{unique}.info") == ["cancelled", "after"]


def test_a_loop_that_is_gone_harms_nobody(cluster: MemoryCluster, unique: str) -> None:
    """A report for a loop that was closed meanwhile is counted, and the next ones come."""
    with kafka_notify.get_notification_transport(url=f"memory://{unique}/") as transport:
        notifier = AsyncNotifier(transport, "me", topics=[unique])
        cluster.unavailable = True

        async def leave() -> None:
            asyncio.ensure_future(notifier.info({}, "x", 1))  # noqa: RUF006 - left on purpose
            await asyncio.sleep(0.05)

        asyncio.run(leave())
        cluster.unavailable = False
        asyncio.run(notifier.info({}, "x", 2))
        assert transport.stats()["confirmed"] == 2


def test_a_refusal_is_raised_at_once(cluster: MemoryCluster, unique: str) -> None:
    """What Kafka will never take is raised with the notification's id, and not tried again."""
    cluster.refuse(f"{unique}.info", DeliveryRefused("no such thing", topic=unique))

    async def main() -> None:
        async with AsyncNotifier(f"memory://{unique}/", "me", topics=[unique]) as notifier:
            await asyncio.wait_for(notifier.info({}, "x", 1), WAIT_S)

    with pytest.raises(DeliveryRefused, match="no such thing") as raised:
        asyncio.run(main())
    assert raised.value.message_id


def test_attempts_are_bounded(cluster: MemoryCluster, unique: str) -> None:
    """With retry=1 a call makes two attempts of confirm_timeout each, then raises."""
    cluster.unavailable = True
    url = f"memory://{unique}/?confirm_timeout=1"

    async def main() -> None:
        async with AsyncNotifier(url, "me", topics=[unique], retry=1) as notifier:
            await asyncio.wait_for(notifier.info({}, "x", 1), WAIT_S)

    with pytest.raises(DeliveryTimeout, match="in 2 attempt"):
        asyncio.run(main())


def test_a_full_buffer_is_waited_for_without_blocking_the_loop(
    cluster: MemoryCluster, unique: str
) -> None:
    """The loop goes on while a call waits for room; then it raises SendBufferFull."""
    cluster.unavailable = True
    url = f"memory://{unique}/?send_buffer_records=1&send_block_timeout=0.5&close_timeout=0"

    async def main() -> int:
        ticks = 0
        async with AsyncNotifier(url, "me", topics=[unique]) as notifier:
            first = asyncio.ensure_future(notifier.info({}, "x", 1))
            await asyncio.sleep(0.05)
            second = asyncio.ensure_future(notifier.info({}, "x", 2))
            while not second.done():
                await asyncio.sleep(0.01)
                ticks += 1
            with pytest.raises(SendBufferFull):
                await second
            first.cancel()
        return ticks

    assert asyncio.run(main()) > 5


def test_closing_lets_nobody_wait(cluster: MemoryCluster, unique: str) -> None:
    """A call that is still waiting when its notifier closes raises ClosedError."""
    cluster.unavailable = True

    async def main() -> None:
        notifier = AsyncNotifier(f"memory://{unique}/?close_timeout=0.2", "me", topics=[unique])
        call = asyncio.ensure_future(notifier.info({}, "x", 1))
        await asyncio.sleep(0.05)
        await notifier.close()
        with pytest.raises(ClosedError):
            await asyncio.wait_for(call, WAIT_S)

    asyncio.run(main())


def test_with_an_outbox_a_call_returns_when_it_is_stored(
    cluster: MemoryCluster, unique: str, tmp_path: object
) -> None:
    """outbox=always: the record is on disk, and in Kafka once that is back."""
    cluster.unavailable = True
    url = f"memory://{unique}/?outbox=always&spool_dir={tmp_path}"

    async def main() -> None:
        async with AsyncNotifier(url, "me", topics=[unique]) as notifier:
            await asyncio.wait_for(notifier.info({}, "x", 1), WAIT_S)
            assert notifier.transport.stats()["spooled"] == 1
            cluster.unavailable = False

    asyncio.run(main())
    assert payloads(cluster, f"{unique}.info") == [1]
