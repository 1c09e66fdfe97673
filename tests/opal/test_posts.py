# SPDX-License-Identifier: Apache-2.0
"""Many posts at once: all arrive once, sequential ones in order, over few connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.conftest import Kafka
from tests.opal import bare, connections
from tests.opal.websockets import Subscriber

pytestmark = [pytest.mark.functional, pytest.mark.opal]

POSTS = 500
ARRIVES_S = 300.0


async def post_all(url: str, in_flight: int) -> list[int]:
    import httpx

    limits = httpx.Limits(max_connections=in_flight)
    turn = asyncio.Semaphore(in_flight)
    async with httpx.AsyncClient(timeout=ARRIVES_S, limits=limits) as client:

        async def post(number: int) -> int:
            entry = {"url": "", "data": {"n": number}, "topics": ["t"], "dst_path": f"/{number}"}
            async with turn:
                answer = await client.post(f"{url}/data/config", json={"entries": [entry]})
                return answer.status_code

        return await asyncio.gather(*(post(number) for number in range(POSTS)))


def test_500_posts(example: Any, fleet: Any, kafka: Kafka) -> None:
    """With 1, 10, 100 and 500 in flight; on a topic of 4 partitions."""
    bare.make_topic(kafka.bootstrap, fleet.channel, partitions=4)
    servers = [fleet.server(f"server-{number}") for number in (1, 2)]
    for server in servers:
        server.await_up()
    port = int(kafka.bootstrap.rpartition(":")[2])
    with Subscriber(servers[0].ws, "t") as subscriber:
        for in_flight in (1, 10, 100, 500):
            subscriber.got.clear()
            assert asyncio.run(post_all(servers[1].url, in_flight)) == [200] * POSTS
            got = subscriber.wait_for(POSTS, ARRIVES_S)
            numbers = [one["entries"][0]["data"]["n"] for one in got]
            assert sorted(numbers) == list(range(POSTS))
            if in_flight == 1:
                assert numbers == list(range(POSTS))
        for server in servers:
            # The reader has two at most: one to ask by, one to fetch by.
            count = connections.to_port(server.process.process.pid, port)
            print(f"{server.process.name}: {count} connections to the broker")
            assert count <= 4
