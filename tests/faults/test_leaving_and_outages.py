# SPDX-License-Identifier: Apache-2.0
"""Senders that end without a flush, and a broker that is away while they send."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from tests.faults.conftest import Report
from tests.faults.judge import judge
from tests.faults.scene import POLICIES, SETTLE_AFTER_OUTAGE_S, Scene, pause
from tests.faults.tally import Tally

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]


def test_sys_exit(single: Cluster, tmp_path: Path, unique: str, report: Report) -> None:
    """A process ends right after 1,000 sends that nobody waited for: all arrive."""
    with Scene(single.bootstrap, tmp_path / "scene", unique, delivery="report") as scene:
        scene.listener()
        sender = scene.sender("--count", 1000, "--exit", "sys.exit")
        assert sender.end() == 0, sender.log
        scene.senders.clear()
        found = scene.settle()
    for policy in POLICIES:
        report("sys.exit after 1,000 sends", policy, found[policy])
    for policy in POLICIES:
        judge(policy, found[policy])
        assert (found[policy].received, found[policy].duplicates) == (1000, 0)


def test_os_exit(single: Cluster, tmp_path: Path, unique: str, report: Report) -> None:
    """A process vanishes right after 1,000 sends: its outbox has them, and the next sends them."""
    with Scene(
        single.bootstrap,
        tmp_path / "scene",
        unique,
        delivery="report",
        outbox="always",
        spool_dir=tmp_path / "spool",
    ) as scene:
        scene.listener()
        sender = scene.sender("--count", 1000, "--exit", "os._exit")
        assert sender.end() == 0, sender.log
        scene.senders.clear()
        scene.sender("--rate", 1)
        scene.wait_stored()
        found = scene.settle()
    for policy in POLICIES:
        report("os._exit after 1,000 sends, outbox always", policy, found[policy])
    for policy in POLICIES:
        judge(policy, found[policy])
        assert found[policy].received > 1000


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("outbox", ["off", "on_failure", "always"])
def test_an_outage(
    outbox: str, how: str, single: Cluster, tmp_path: Path, unique: str, report: Report
) -> None:
    """2,000 are sent while the broker is away, longer than a delivery may take with an outbox."""
    options = {} if outbox == "off" else {"delivery_timeout": 5, "spool_dir": tmp_path / "spool"}
    with Scene(
        single.bootstrap,
        tmp_path / "scene",
        unique,
        delivery="report",
        outbox=outbox,
        **options,
    ) as scene:
        scene.listener()
        before = scene.sender("--count", 200)
        assert before.end() == 0
        scene.senders.clear()
        sender = scene.sender("--rate", 400)
        scene.wait_received(100)
        (single.stop if how == "stop" else single.kill)(0)
        try:
            sent = len(scene.journal.numbers("confirmed"))
            pause(12)
        finally:
            single.start(0)
        assert len(scene.journal.numbers("confirmed")) - sent > 2000
        scene.wait_received(100)
        assert sender.log.count("was not delivered") == 0, sender.log
        found = scene.settle(SETTLE_AFTER_OUTAGE_S)
    for policy in POLICIES:
        report(f"broker away ({how}), outbox {outbox}", policy, found[policy])
    for policy in POLICIES:
        judge(policy, found[policy])


def test_kill_9_of_senders_with_an_outbox(
    single: Cluster, tmp_path: Path, unique: str, rounds: int, seed: str, report: Report
) -> None:
    """outbox=always, kill -9 of sender after sender: all that info() returned for arrives."""
    chance = random.Random(seed)  # noqa: S311 - the same on every run
    sums = {policy: Tally() for policy in POLICIES}
    for begin in range(0, rounds, 10):
        kills = min(10, rounds - begin)
        with Scene(
            single.bootstrap,
            tmp_path / str(begin),
            f"{unique}-{begin}",
            delivery="report",
            outbox="always",
            spool_dir=tmp_path / f"spool-{begin}",
        ) as scene:
            scene.listener()
            for _ in range(kills):
                sender = scene.sender("--rate", 2000)
                pause(chance.uniform(0.05, 1))
                scene.kill(sender)
            scene.sender("--rate", 1)
            scene.wait_stored()
            found = scene.settle(SETTLE_AFTER_OUTAGE_S)
        for policy in POLICIES:
            sums[policy] += found[policy]
            judge(policy, found[policy])
    for policy in POLICIES:
        report("kill_the_sender, outbox always", policy, sums[policy], kills=rounds)
