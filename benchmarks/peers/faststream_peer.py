# SPDX-License-Identifier: Apache-2.0
"""FastStream over confluent-kafka: ``python benchmarks/peers/faststream_peer.py MEASURE …``."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from faststream import AckPolicy
from faststream.confluent import KafkaBroker

from kafka_notify.bench.child import WAIT_S, Arrivals, Figures, Stopwatch, Task, main, percentiles
from kafka_notify.bench.workload import cycle

_WARM_UP = 20
_IN_FLIGHT = 500


def _message(one: Any) -> dict[str, Any]:
    return {
        "publisher_id": one.publisher_id,
        "event_type": one.event_type,
        "priority": "INFO",
        "payload": one.payload,
    }


def send(task: Task) -> Figures:
    """Publish with 500 in flight; each is confirmed."""

    async def run() -> Figures:
        async with KafkaBroker(task.brokers, acks="all", enable_idempotence=True) as broker:
            publisher = broker.publisher(task.log)
            await broker.start()
            await publisher.publish(_message(task.notifications[0]), key=b"warm")
            limit = asyncio.Semaphore(_IN_FLIGHT)

            async def one_of(one: Any) -> None:
                async with limit:
                    await publisher.publish(_message(one), key=one.publisher_id.encode())

            watch = Stopwatch()
            await asyncio.gather(*(one_of(one) for one in cycle(task.notifications, task.count)))
            return watch.stop(task.count)

    return asyncio.run(run())


def send_confirmed(task: Task) -> Figures:
    """Publish from some tasks, each of which waits for its record's confirmation."""

    async def run() -> Figures:
        callers = int(task.options["callers"])
        each = task.count // callers
        async with KafkaBroker(task.brokers, acks="all", enable_idempotence=True) as broker:
            publisher = broker.publisher(task.log)
            await broker.start()
            await publisher.publish(_message(task.notifications[0]), key=b"warm")

            async def call() -> None:
                for one in cycle(task.notifications, each):
                    await publisher.publish(_message(one), key=one.publisher_id.encode())

            watch = Stopwatch()
            await asyncio.gather(*(call() for _ in range(callers)))
            return watch.stop(each * callers)

    return asyncio.run(run())


def first_sent(task: Task) -> Figures:
    """Publish one; from the start of the process until it is confirmed."""

    async def run() -> Figures:
        async with KafkaBroker(task.brokers, acks="all", enable_idempotence=True) as broker:
            publisher = broker.publisher(task.log)
            await broker.start()
            await publisher.publish(_message(task.notifications[0]), key=b"first")
            return {"first_ms": task.since_spawned_s() * 1000}

    return asyncio.run(run())


def first_received(task: Task) -> Figures:
    """Receive one that is there; from the start of the process until the handler has it."""

    async def run() -> Figures:
        arrived = asyncio.Event()
        broker = KafkaBroker(task.brokers)

        @broker.subscriber(
            task.log,
            group_id=task.options.get("pool", task.topic),
            auto_offset_reset="earliest",
        )
        async def handle(_message: Any) -> None:
            arrived.set()

        await broker.start()
        await asyncio.wait_for(arrived.wait(), WAIT_S)
        figures = {"first_ms": task.since_spawned_s() * 1000}
        await broker.stop()
        return figures

    return asyncio.run(run())


def receive(task: Task) -> Figures:
    """Receive what a topic holds, acknowledged first, as upstream's driver does."""

    async def run() -> Figures:
        arrivals = Arrivals(task.count)
        broker = KafkaBroker(task.brokers)

        @broker.subscriber(
            task.log,
            group_id=task.options.get("pool", task.topic),
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.ACK_FIRST,
        )
        async def handle(_message: dict[str, Any]) -> None:
            arrivals.add()

        await broker.start()
        deadline = time.monotonic() + WAIT_S
        while not arrivals.complete and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        await broker.stop()
        return arrivals.wait()

    return asyncio.run(run())


def latency(task: Task) -> Figures:
    """Publish one at a time; from before ``publish()`` to the handler."""

    async def run() -> Figures:
        arrived = asyncio.Event()
        at_s = 0.0
        broker = KafkaBroker(task.brokers)
        publisher = broker.publisher(task.log)

        @broker.subscriber(task.log, group_id=task.topic, auto_offset_reset="earliest")
        async def handle(_message: dict[str, Any]) -> None:
            nonlocal at_s
            at_s = time.perf_counter()
            arrived.set()

        await broker.start()
        taken = []
        for one in cycle(task.notifications, task.count + _WARM_UP):
            arrived.clear()
            sent_s = time.perf_counter()
            await publisher.publish(_message(one), key=one.publisher_id.encode())
            await asyncio.wait_for(arrived.wait(), WAIT_S)
            taken.append(at_s - sent_s)
        await broker.stop()
        return percentiles(taken[_WARM_UP:])

    return asyncio.run(run())


MEASURES = {
    "first_received": first_received,
    "first_sent": first_sent,
    "latency": latency,
    "receive": receive,
    "send": send,
    "send_confirmed": send_confirmed,
}

if __name__ == "__main__":
    main(MEASURES)
