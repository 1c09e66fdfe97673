# SPDX-License-Identifier: Apache-2.0
"""Members of a group come and go, or are taken for dead."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from tests.faults.conftest import Report
from tests.faults.judge import judge
from tests.faults.scene import BEFORE, READY_S, Scene, pause
from tests.scenarios.conftest import BRISK_MEMBER, BRISK_SESSION_S

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

MEMBERS = 6
CHANGES = 20
RATE = 300


@pytest.mark.parametrize("member", BRISK_MEMBER)
def test_a_storm_of_members(
    member: str, single: Cluster, tmp_path: Path, unique: str, seed: str, report: Report
) -> None:
    """Six members: again and again one leaves in an orderly way, and another joins."""
    chance = random.Random(seed)  # noqa: S311 - the same on every run
    with Scene(
        single.bootstrap, tmp_path / "scene", unique, partitions=8, **BRISK_MEMBER[member]
    ) as scene:
        for _ in range(MEMBERS):
            scene.listener("--delay", 0.01, wait=False)
        for listener in scene.listeners:
            listener.wait_for_lines("ready", timeout_s=READY_S)
        scene.sender("--rate", RATE)
        for _ in range(CHANGES):
            pause(chance.uniform(0, 1))
            going = chance.sample(scene.listeners, chance.randint(1, 3))
            for _one in going:
                scene.listener("--delay", 0.01, wait=False)
            scene.leave(*going)
        scene.wait_received(100)
        found = scene.settle()
    report(f"join/leave storm ({member})", found, times=CHANGES)
    judge(found)
    assert found[BEFORE].lost == 0 or found[BEFORE].evictions


@pytest.mark.parametrize("member", BRISK_MEMBER)
def test_a_listener_freezes(
    member: str, single: Cluster, tmp_path: Path, unique: str, seed: str, report: Report
) -> None:
    """SIGSTOP for longer than a member may be silent: it is evicted, and comes back."""
    chance = random.Random(seed)  # noqa: S311 - the same on every run
    freezes = 3
    with Scene(single.bootstrap, tmp_path / "scene", unique, **BRISK_MEMBER[member]) as scene:
        for _ in range(2):
            scene.listener("--delay", 0.02)
        scene.sender("--rate", RATE)
        for _ in range(freezes):
            scene.wait_received(100)
            frozen = chance.choice(scene.listeners)
            frozen.signal(signal.SIGSTOP)
            pause(BRISK_SESSION_S * chance.uniform(1.2, 1.8))
            frozen.signal(signal.SIGCONT)
        scene.wait_received(200)
        found = scene.settle()
    report(f"listener frozen ({member})", found, times=freezes)
    judge(found, zombies=True)
    assert found[BEFORE].lost == 0, "a frozen listener dispatches what is committed"


@pytest.mark.parametrize("member", BRISK_MEMBER)
def test_stopped_while_it_starts(
    member: str, single: Cluster, tmp_path: Path, unique: str, seed: str, report: Report
) -> None:
    """SIGTERM at any moment of a start(): what the new member has in hand by then is finished."""
    chance = random.Random(seed)  # noqa: S311 - the same on every run
    starts = 15
    with Scene(single.bootstrap, tmp_path / "scene", unique, **BRISK_MEMBER[member]) as scene:
        scene.listener("--delay", 0.02)
        scene.sender("--rate", RATE)
        for _ in range(starts):
            late = scene.listener("--delay", 0.02, wait=False)
            late.wait_for_lines("up", timeout_s=READY_S)
            pause(chance.uniform(0, 1.5))
            scene.leave(late)
        scene.wait_received(100)
        found = scene.settle()
    report(f"stopped while it starts ({member})", found, times=starts)
    judge(found)
    assert found[BEFORE].lost == 0 or found[BEFORE].evictions
