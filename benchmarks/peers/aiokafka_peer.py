# SPDX-License-Identifier: Apache-2.0
"""aiokafka, a client in Python alone: ``python benchmarks/peers/aiokafka_peer.py MEASURE …``."""

from __future__ import annotations

import asyncio
import itertools
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from kafka_notify.bench.child import WAIT_S, Arrivals, Figures, Stopwatch, Task, main, percentiles
from kafka_notify.bench.workload import record_of

_WARM_UP = 20
_COMMIT_EACH = 500


def _producer(task: Task) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=task.brokers, enable_idempotence=True, acks="all")


def _consumer(task: Task) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        task.log,
        bootstrap_servers=task.brokers,
        group_id=task.options.get("pool", task.topic),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )


def send(task: Task) -> Figures:
    """Send records that are made beforehand; each is confirmed."""

    async def run() -> Figures:
        records = [record_of(one) for one in task.notifications]
        async with _producer(task) as producer:
            await producer.send_and_wait(task.log, records[0][1], key=records[0][0])
            watch = Stopwatch()
            reports = [
                await producer.send(task.log, value, key=key)
                for key, value in itertools.islice(itertools.cycle(records), task.count)
            ]
            await asyncio.gather(*reports)
            return watch.stop(task.count)

    return asyncio.run(run())


def send_confirmed(task: Task) -> Figures:
    """Send from some tasks, each of which waits for its record's confirmation."""

    async def run() -> Figures:
        callers = int(task.options["callers"])
        each = task.count // callers
        records = [record_of(one) for one in task.notifications]
        async with _producer(task) as producer:
            await producer.send_and_wait(task.log, records[0][1], key=records[0][0])

            async def call() -> None:
                for key, value in itertools.islice(itertools.cycle(records), each):
                    await producer.send_and_wait(task.log, value, key=key)

            watch = Stopwatch()
            await asyncio.gather(*(call() for _ in range(callers)))
            return watch.stop(each * callers)

    return asyncio.run(run())


def first_sent(task: Task) -> Figures:
    """Send one; from the start of the process until it is confirmed."""

    async def run() -> Figures:
        key, value = record_of(task.notifications[0])
        async with _producer(task) as producer:
            await producer.send_and_wait(task.log, value, key=key)
            return {"first_ms": task.since_spawned_s() * 1000}

    return asyncio.run(run())


def first_received(task: Task) -> Figures:
    """Consume one that is there; from the start of the process."""

    async def run() -> Figures:
        async with _consumer(task) as consumer:
            await asyncio.wait_for(consumer.getone(), WAIT_S)
            return {"first_ms": task.since_spawned_s() * 1000}

    return asyncio.run(run())


def receive(task: Task) -> Figures:
    """Consume what a topic holds, with a commit per 500 records."""

    async def run() -> Figures:
        arrivals = Arrivals(task.count)
        async with _consumer(task) as consumer:
            deadline = time.monotonic() + WAIT_S
            while not arrivals.complete and time.monotonic() < deadline:
                found = await consumer.getmany(timeout_ms=1000, max_records=_COMMIT_EACH)
                count = sum(map(len, found.values()))
                if count:
                    await consumer.commit()
                    arrivals.add(count)
            return arrivals.wait()

    return asyncio.run(run())


def latency(task: Task) -> Figures:
    """Send one at a time; from before ``send()`` until it is consumed and committed."""

    async def run() -> Figures:
        records = [record_of(one) for one in task.notifications]
        taken = []
        async with _producer(task) as producer, _consumer(task) as consumer:
            for key, value in itertools.islice(itertools.cycle(records), task.count + _WARM_UP):
                sent_s = time.perf_counter()
                await producer.send(task.log, value, key=key)
                await asyncio.wait_for(consumer.getone(), WAIT_S)
                await consumer.commit()
                taken.append(time.perf_counter() - sent_s)
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
