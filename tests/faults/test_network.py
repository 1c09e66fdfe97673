# SPDX-License-Identifier: Apache-2.0
"""The network between the clients and the broker is cut, while both live on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster, config
from kafka_notify.broker.ports import free_port
from tests.faults.conftest import Report
from tests.faults.judge import judge
from tests.faults.proxy import Proxy
from tests.faults.scene import SETTLE_AFTER_OUTAGE_S, Scene, pause
from tests.scenarios.conftest import BRISK, BRISK_MEMBER, BRISK_SESSION_S

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

RATE = 300


@pytest.fixture(scope="module")
def far() -> Iterator[tuple[Cluster, Proxy, int]]:
    """Yield a broker that tells its clients to come through a proxy."""
    port = free_port(besides=set())
    near = free_port(besides={port})
    usual = config._network

    def behind_proxy(plan: config.ClusterPlan, node: int) -> dict[str, str]:
        return {**usual(plan, node), "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}"}

    with pytest.MonkeyPatch.context() as patch:
        # No option for it: of several nodes each would reach the others through its proxy.
        patch.setattr(config, "_network", behind_proxy)
        cluster = Cluster(nodes=1, ports=[near], properties=BRISK)
        cluster.open()
    with cluster, Proxy(port, to=near) as proxy:
        yield cluster, proxy, port


@pytest.mark.parametrize("member", BRISK_MEMBER)
@pytest.mark.parametrize("how", ["short", "long", "reset"])
def test_a_partition(
    how: str,
    member: str,
    far: tuple[Cluster, Proxy, int],
    tmp_path: Path,
    unique: str,
    seed: str,
    report: Report,
) -> None:
    """Silence shorter and longer than a member may be silent, and connections cut at once."""
    _, proxy, port = far
    chance = random.Random(seed)  # noqa: S311 - the same on every run
    with Scene(f"127.0.0.1:{port}", tmp_path / "scene", unique, **BRISK_MEMBER[member]) as scene:
        for _ in range(2):
            scene.listener("--delay", 0.01)
        scene.sender("--rate", RATE)
        cuts = {"short": 3, "long": 2, "reset": 6}[how]
        for _ in range(cuts):
            scene.wait_received(100)
            pause(chance.uniform(0, 1))
            if how == "reset":
                proxy.reset()
                continue
            proxy.silence()
            pause(BRISK_SESSION_S * 0.2)  # what had been passed on before is answered
            confirmed = scene.journal.numbers("confirmed")
            pause(BRISK_SESSION_S * (0.3 if how == "short" else 1.6))
            assert scene.journal.numbers("confirmed") == confirmed, "it leaks"
            proxy.heal()
        scene.wait_received(200)
        found = scene.settle(SETTLE_AFTER_OUTAGE_S)
    report(f"network cut, {how} ({member})", found, times=cuts)
    judge(found, zombies=True)
