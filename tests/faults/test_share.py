# SPDX-License-Identifier: Apache-2.0
"""commit_policy=share under faults: three listeners on one partition, at least once."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from kafka_notify.drivers.confluent_admin import KafkaAdmin
from tests.drivers.bench import TIMEOUT_S, Bench
from tests.drivers.sharing import LOCK_S
from tests.faults.conftest import Lot, Report
from tests.faults.scene import SETTLE_AFTER_OUTAGE_S, WINDOW, Scene, pause
from tests.faults.tally import Tally

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

SHARE = "share"
AT_ONCE = 6
LISTENERS = 3
RATE = 300
SLOW = ("--delay", 0.02)

Fault = Callable[[Scene, random.Random, Cluster], None]


class ShareScene(Scene):
    """A scene of one share group: it has no offsets that could be looked at."""

    def __init__(self, cluster: Cluster, folder: Path, topic: str) -> None:
        """Make its topic, and have what it locks locked for LOCK_S."""
        self.cluster = cluster
        options = {"policies": (SHARE,), "partitions": 1, "start_timeout": 60}
        super().__init__(cluster.bootstrap, folder, topic, **options)
        bench = Bench(f"kafka://{cluster.bootstrap}/")
        assert isinstance(bench.admin, KafkaAdmin)
        lock_ms = str(round(LOCK_S * 1000))
        group = f"{self.group(SHARE)}.share"
        bench.admin.set_group(group, {"share.record.lock.duration.ms": lock_ms}, TIMEOUT_S)
        bench.close()

    def _is_done(self, policy: str, stored: set[int]) -> bool:
        return stored <= self.journal.numbers("out", policy)

    def _lag(self, _policy: str) -> int:
        return 0


def kill_a_listener(scene: Scene, chance: random.Random, _cluster: Cluster) -> None:
    scene.kill(chance.choice(scene.listeners))
    scene.listener(*SLOW, wait=chance.random() < 0.7)


def freeze_a_listener(scene: Scene, chance: random.Random, _cluster: Cluster) -> None:
    frozen = chance.choice(scene.listeners)
    frozen.signal(signal.SIGSTOP)
    pause(LOCK_S * chance.uniform(1.2, 2))
    frozen.signal(signal.SIGCONT)


def kill_the_broker(_scene: Scene, chance: random.Random, cluster: Cluster) -> None:
    cluster.kill(0)
    pause(chance.uniform(0, 1))
    cluster.start(0)


def restart_the_broker(_scene: Scene, chance: random.Random, cluster: Cluster) -> None:
    cluster.stop(0)
    pause(chance.uniform(0, 1))
    cluster.start(0)


def freeze_the_broker(_scene: Scene, chance: random.Random, cluster: Cluster) -> None:
    cluster.pause(0)
    try:
        pause(LOCK_S * chance.uniform(0.5, 3))
    finally:
        cluster.resume(0)


def come_and_go(scene: Scene, chance: random.Random, _cluster: Cluster) -> None:
    scene.listener(*SLOW, wait=chance.random() < 0.7)
    scene.leave(chance.choice(scene.listeners))


@pytest.mark.parametrize("fault", [kill_a_listener, kill_the_broker])
def test_kill_9(
    fault: Fault,
    lot: Lot,
    single: Cluster,
    tmp_path: Path,
    unique: str,
    seed: str,
    report: Report,
) -> None:
    """kill -9 again and again, at moments chosen by chance, while a sender sends."""
    run(fault, lot.kills, ShareScene(single, tmp_path / "scene", unique), seed, report)


@pytest.mark.parametrize(
    "fault", [freeze_a_listener, restart_the_broker, freeze_the_broker, come_and_go]
)
def test_other_faults(
    fault: Fault, single: Cluster, tmp_path: Path, unique: str, seed: str, report: Report
) -> None:
    """The same with what is less than a kill."""
    run(fault, AT_ONCE, ShareScene(single, tmp_path / "scene", unique), seed, report)


def run(fault: Fault, times: int, share_scene: ShareScene, seed: str, report: Report) -> None:
    """Let a fault happen so many times, and judge."""
    chance = random.Random(seed)  # noqa: S311 - the same on every run
    with share_scene as scene:
        for _ in range(LISTENERS):
            scene.listener(*SLOW)
        scene.sender("--rate", RATE)
        for _ in range(times):
            pause(chance.uniform(0.1, 2))
            fault(scene, chance, share_scene.cluster)
        scene.wait_received(100)
        found = scene.settle(SETTLE_AFTER_OUTAGE_S)
    report(f"{fault.__name__} ({LISTENERS} on one partition)", found, times=times)
    judge(found[SHARE], killed=times if fault is kill_a_listener else 0)


def judge(found: Tally, *, killed: int) -> None:
    """Assert that nothing is lost, and nothing repeated but what was told or a kill had."""
    assert found.confirmed_not_in_log == 0, found
    assert found.lost == 0, found
    assert found.duplicates <= found.told_again + killed * 2 * WINDOW, found
