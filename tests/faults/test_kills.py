# SPDX-License-Identifier: Apache-2.0
"""kill -9 of listeners, senders and the broker, at moments chosen by chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from tests.faults.conftest import Report
from tests.faults.judge import judge
from tests.faults.scene import POLICIES, SETTLE_AFTER_OUTAGE_S, Scene, pause
from tests.faults.tally import Tally
from tests.scenarios.conftest import BRISK_MEMBER

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]

AT_ONCE = 6  # kills of one topic and its groups; then all is counted
RATE = 400


def kill_a_listener(scene: Scene, chance: random.Random, _cluster: Cluster) -> None:
    scene.kill(chance.choice(scene.listeners))
    scene.listener("--delay", 0.02, wait=chance.random() < 0.7)


def kill_the_sender(scene: Scene, _chance: random.Random, _cluster: Cluster) -> None:
    scene.kill(scene.senders[0])
    scene.sender("--rate", RATE)


def kill_the_broker(_scene: Scene, chance: random.Random, cluster: Cluster) -> None:
    cluster.kill(0)
    pause(chance.uniform(0, 1))
    cluster.start(0)


@pytest.mark.parametrize("kill", [kill_a_listener, kill_the_sender, kill_the_broker])
def test_kill_9(
    kill: Callable[[Scene, random.Random, Cluster], None],
    single: Cluster,
    tmp_path: Path,
    unique: str,
    rounds: int,
    seed: str,
    report: Report,
) -> None:
    """Two listeners of each policy, one sender: one of all is killed, again and again."""
    chance = random.Random(seed)  # noqa: S311 - the same on every run
    sums = {policy: Tally() for policy in POLICIES}
    for begin in range(0, rounds, AT_ONCE):
        kills = min(AT_ONCE, rounds - begin)
        member = list(BRISK_MEMBER)[begin // AT_ONCE % 2]
        with Scene(
            single.bootstrap,
            tmp_path / str(begin),
            f"{unique}-{begin}",
            **BRISK_MEMBER[member],
        ) as scene:
            for _ in range(2):
                scene.listener("--delay", 0.02)
            scene.sender("--rate", RATE)
            for _ in range(kills):
                pause(chance.uniform(0.1, 2))
                kill(scene, chance, single)
            scene.wait_received(100)
            found = scene.settle(SETTLE_AFTER_OUTAGE_S)
        for policy in POLICIES:
            sums[policy] += found[policy]
            listeners_killed = kills if kill is kill_a_listener else 0
            try:
                judge(policy, found[policy], killed=listeners_killed)
            except AssertionError:
                report(kill.__name__, policy, found[policy], member=member, failed=begin)
                raise
    for policy in POLICIES:
        report(kill.__name__, policy, sums[policy], kills=rounds)
