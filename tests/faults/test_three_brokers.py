# SPDX-License-Identifier: Apache-2.0
"""Three brokers: leaders freeze and die, all are restarted one by one, while senders send."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from kafka_notify.broker import Cluster
from tests.faults.conftest import Report
from tests.faults.judge import judge
from tests.faults.scene import SETTLE_AFTER_OUTAGE_S, Scene, pause
from tests.scenarios.conftest import BRISK_MEMBER
from tests.scenarios.topics import ANSWER_S
from tests.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

RATE = 300
LEADERS_KILLED = 2
FREEZE_S = 15.0  # longer than brokers and groups wait for a sign of life


def leader(cluster: Cluster, topic: str, besides: int = -1) -> int:
    """Return who leads partition 0, once that is somebody else."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})

    def found() -> list[int]:
        known = admin.list_topics(topic, timeout=ANSWER_S).topics[topic].partitions
        return [known[0].leader] if known[0].leader not in {-1, besides} else []

    return eventually(found, ANSWER_S, f"a leader of {topic}")[0]


def whole(cluster: Cluster, topic: str) -> None:
    """Wait until every partition is on all three again: only then may the next one go."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})

    def in_sync() -> bool:
        topics = admin.list_topics(timeout=ANSWER_S).topics
        return all(
            len(one.isrs) == 3
            for name in (topic, "__consumer_offsets")
            for one in topics[name].partitions.values()
        )

    eventually(in_sync, 90, "all replicas in sync")


def freeze_a_leader(cluster: Cluster, scene: Scene, _chance: random.Random) -> None:
    frozen = leader(cluster, scene.log_topic)
    cluster.pause(frozen)
    try:
        pause(FREEZE_S)
    finally:
        cluster.resume(frozen)


def kill_a_leader(cluster: Cluster, scene: Scene, chance: random.Random) -> None:
    for _ in range(LEADERS_KILLED):
        killed = leader(cluster, scene.log_topic)
        cluster.kill(killed)
        pause(chance.uniform(0, 5))
        cluster.start(killed)
        whole(cluster, scene.log_topic)


def rolling_restart(cluster: Cluster, scene: Scene, _chance: random.Random) -> None:
    for node in range(3):
        cluster.stop(node)
        cluster.start(node)
        whole(cluster, scene.log_topic)


@pytest.mark.parametrize("member", BRISK_MEMBER)
@pytest.mark.parametrize("fault", [freeze_a_leader, kill_a_leader, rolling_restart])
def test_brokers(
    fault: Callable[[Cluster, Scene, random.Random], None],
    member: str,
    three: Cluster,
    tmp_path: Path,
    unique: str,
    seed: str,
    report: Report,
) -> None:
    """What is confirmed is on two brokers: none of these loses any of it."""
    chance = random.Random(seed)  # noqa: S311 - the same on every run
    with Scene(
        three.bootstrap, tmp_path / "scene", unique, replicas=3, **BRISK_MEMBER[member]
    ) as scene:
        for _ in range(2):
            scene.listener("--delay", 0.01)
        scene.sender("--rate", RATE)
        scene.wait_received(200)
        fault(three, scene, chance)
        scene.wait_received(200)
        found = scene.settle(SETTLE_AFTER_OUTAGE_S)
    whole(three, scene.log_topic)
    times = LEADERS_KILLED if fault is kill_a_leader else 1
    report(f"{fault.__name__} ({member})", found, times=times)
    judge(found, zombies=True)
