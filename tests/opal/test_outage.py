# SPDX-License-Identifier: Apache-2.0
"""The brokers go away, and what is published meanwhile arrives afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kafka_notify.broker import Cluster
from tests.opal import bare
from tests.opal.websockets import Subscriber

pytestmark = [pytest.mark.functional, pytest.mark.opal]

AWAY_S = 20.0
ARRIVES_S = 120.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Yield a Kafka of our own, which may be taken away."""
    with Cluster(nodes=1, data_dir=tmp_path) as made:
        yield made


@pytest.mark.parametrize("delivery", ["confirm", "report"])
def test_what_is_published_while_kafka_is_away_arrives(
    example: Any, cluster: Cluster, unique: str, delivery: str
) -> None:
    """50 events while the broker is away for 20 s: all arrive, once, in order.

    No server exits, no client is dropped, and nobody takes it for a gap.
    """
    bare.make_topic(cluster.bootstrap, unique, partitions=4)
    options = f"delivery={delivery}"
    with example.Fleet(cluster.bootstrap, channel=unique, options=options) as fleet:
        servers = [fleet.server(f"server-{number}") for number in (1, 2)]
        for server in servers:
            server.await_up()
        with Subscriber(servers[0].ws, "policy_data") as subscriber:
            assert servers[1].post("/0", {"n": 0})[0] == 200
            subscriber.wait_for(1, ARRIVES_S)
            cluster.stop(0)
            began = time.monotonic()
            for number in range(1, 51):
                assert servers[1].post(f"/{number}", {"n": number}) == (200, {"status": "ok"})
            example.wait_for("the outage", lambda: time.monotonic() - began > AWAY_S, 60)
            assert len(subscriber.got) == 1
            for server in servers:
                assert example.call(f"{server.url}/healthcheck")[0] == 200
            cluster.start(0)
            back = time.monotonic()
            subscriber.wait_for(51, ARRIVES_S)
            print(f"all 50 arrived {time.monotonic() - back:.1f} s after the broker was back")
            assert servers[1].post("/51", {"n": 51})[0] == 200
            got = subscriber.wait_for(52, ARRIVES_S)
            assert [one["entries"][0]["data"]["n"] for one in got] == list(range(52))
            assert subscriber.connects == 1
        for server in servers:
            assert server.process.process.poll() is None
            assert "freezing publish" not in server.process.text
            assert "recovered after a gap" not in server.process.text
