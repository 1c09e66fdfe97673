# SPDX-License-Identifier: Apache-2.0
"""Senders that end without a flush, and a broker that is away while they send."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from tests.faults.conftest import Report
from tests.faults.judge import judge
from tests.faults.scene import POLICIES, SETTLE_AFTER_OUTAGE_S, SETTLE_S, Scene, pause
from tests.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

FREEZE_S = 75  # a request waits 60 s for its answer


def test_sys_exit(single: Cluster, tmp_path: Path, unique: str, report: Report) -> None:
    """A process ends right after 1,000 sends that nobody waited for: all arrive."""
    with Scene(single.bootstrap, tmp_path / "scene", unique, delivery="report") as scene:
        scene.listener()
        scene.send(1000, "--exit", "sys.exit")
        found = scene.settle()
    report("sys.exit after 1,000 sends", found)
    judge(found)
    for policy in POLICIES:
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
        scene.send(1000, "--exit", "os._exit")
        scene.sender("--rate", 1)
        scene.wait_stored()
        found = scene.settle()
    report("os._exit after 1,000 sends, outbox always", found)
    judge(found)
    for policy in POLICIES:
        assert found[policy].received > 1000


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("outbox", ["off", "on_failure", "always"])
def test_an_outage(
    outbox: str,
    how: str,
    outage_s: int,
    single: Cluster,
    tmp_path: Path,
    unique: str,
    report: Report,
) -> None:
    """2,000 are sent while the broker is away, longer than a delivery may take with an outbox."""
    options: dict[str, object] = {"delivery_timeout": 5, "spool_dir": tmp_path / "spool"}
    if outbox == "off":
        options = {"delivery_timeout": 600, "unreachable_timeout": 600}
    with Scene(
        single.bootstrap,
        tmp_path / "scene",
        unique,
        delivery="report",
        outbox=outbox,
        **options,
    ) as scene:
        scene.listener()
        scene.send(200)
        sender = scene.sender("--rate", min(400, 6000 / outage_s))
        scene.wait_received(100)
        (single.stop if how == "stop" else single.kill)(0)
        try:
            sent = len(scene.journal.numbers("confirmed"))
            pause(outage_s)
            eventually(
                lambda: len(scene.journal.numbers("confirmed")) - sent > 2000, SETTLE_S, "2,000"
            )
        finally:
            single.start(0)
        scene.wait_received(100)
        assert sender.log.count("was not delivered") == 0, sender.log
        found = scene.settle(SETTLE_AFTER_OUTAGE_S)
    report(f"broker away {outage_s} s ({how}), outbox {outbox}", found)
    judge(found)


def test_a_frozen_broker(single: Cluster, tmp_path: Path, unique: str, report: Report) -> None:
    """SIGSTOP of the only broker, for longer than clients wait for an answer: they ask again."""
    with Scene(single.bootstrap, tmp_path / "scene", unique) as scene:
        for _ in range(2):
            scene.listener("--delay", 0.02)
        scene.sender("--rate", 300)
        scene.wait_received(200)
        single.pause(0)
        try:
            pause(FREEZE_S)
        finally:
            single.resume(0)
        scene.wait_received(200)
        found = scene.settle(SETTLE_AFTER_OUTAGE_S)
    report(f"broker frozen for {FREEZE_S} s", found)
    judge(found, zombies=True)
