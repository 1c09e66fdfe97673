# SPDX-License-Identifier: Apache-2.0
"""kill -9 of listeners, senders and the broker, at moments chosen by chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from tests.faults.conftest import Lot, Report
from tests.faults.judge import judge
from tests.faults.scene import SETTLE_AFTER_OUTAGE_S, Scene, pause
from tests.scenarios.conftest import BRISK_MEMBER

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

RATE = 400
# What lots take turns in: how members keep their group, and how endpoints take notifications.
MEMBERS = [
    (BRISK_MEMBER[protocol], *batch)
    for batch in ((), ("--batch", 10))
    for protocol in BRISK_MEMBER
]


def kill_a_listener(scene: Scene, chance: random.Random, _cluster: Cluster, *how: object) -> None:
    scene.kill(chance.choice(scene.listeners))
    scene.listener("--delay", 0.02, *how, wait=chance.random() < 0.7)


def kill_the_sender(scene: Scene, _chance: random.Random, _cluster: Cluster, *_: object) -> None:
    scene.kill(scene.senders[0])
    scene.sender("--rate", RATE)


def kill_the_broker(_scene: Scene, chance: random.Random, cluster: Cluster, *_: object) -> None:
    cluster.kill(0)
    pause(chance.uniform(0, 1))
    cluster.start(0)


@pytest.mark.parametrize("kill", [kill_a_listener, kill_the_sender, kill_the_broker])
def test_kill_9(
    kill: Callable[..., None],
    lot: Lot,
    single: Cluster,
    tmp_path: Path,
    unique: str,
    seed: str,
    report: Report,
) -> None:
    """Two listeners of each policy, one sender: one of all is killed, again and again."""
    chance = random.Random(seed)  # noqa: S311 - the same on every run
    options, *how = MEMBERS[lot.number % len(MEMBERS)]
    with Scene(single.bootstrap, tmp_path / "scene", unique, **options) as scene:
        for _ in range(2):
            scene.listener("--delay", 0.02, *how)
        scene.sender("--rate", RATE)
        for _ in range(lot.kills):
            pause(chance.uniform(0.1, 2))
            kill(scene, chance, single, *how)
        scene.wait_received(100)
        found = scene.settle(SETTLE_AFTER_OUTAGE_S)
    report(kill.__name__, found, times=lot.kills)
    judge(
        found,
        killed=lot.kills if kill is kill_a_listener else 0,
        senders_killed=lot.kills if kill is kill_the_sender else 0,
    )


def test_kill_9_of_senders_with_an_outbox(
    lot: Lot, single: Cluster, tmp_path: Path, unique: str, seed: str, report: Report
) -> None:
    """outbox=always, kill -9 of sender after sender: all that info() returned for arrives."""
    chance = random.Random(seed)  # noqa: S311 - the same on every run
    with Scene(
        single.bootstrap,
        tmp_path / "scene",
        unique,
        delivery="report",
        outbox="always",
        spool_dir=tmp_path / "spool",
    ) as scene:
        scene.listener()
        for _ in range(lot.kills):
            sender = scene.sender("--rate", 2000)
            pause(chance.uniform(0.05, 1))
            scene.kill(sender)
        scene.sender("--rate", 1)
        scene.wait_stored()
        found = scene.settle(SETTLE_AFTER_OUTAGE_S)
    report("kill_the_sender, outbox always", found, times=lot.kills)
    judge(found, senders_killed=lot.kills)
