# SPDX-License-Identifier: Apache-2.0
"""The broker is away, and there is no room left for what the outbox is to keep."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from tests.faults.conftest import Report
from tests.faults.judge import judge
from tests.faults.scene import SETTLE_AFTER_OUTAGE_S, SETTLE_S, Scene
from tests.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.fixture(params=["disk", "bound"])
def little_room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, object]]:
    """Yield options: a folder on a disk of 2 MB, which root alone can mount; a bound of ours."""
    folder = tmp_path / "small"
    folder.mkdir()
    if request.param == "bound":
        yield {"spool_dir": folder, "outbox_max_bytes": 1 << 20}
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield {"spool_dir": folder / "spool"}
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("outbox", ["always", "on_failure"])
def test_no_room(
    outbox: str,
    little_room: dict[str, object],
    single: Cluster,
    tmp_path: Path,
    unique: str,
    report: Report,
    request: pytest.FixtureRequest,
) -> None:
    """info() raises, naming the folder, while there is no room; all that it took arrives."""
    kind = request.node.callspec.params["little_room"]
    with Scene(
        single.bootstrap,
        tmp_path / "scene",
        unique,
        delivery="report",
        delivery_timeout=2,
        outbox=outbox,
        send_buffer_bytes=65_536,
        send_block_timeout=0.5,
        **little_room,
    ) as scene:
        scene.listener()
        sender = scene.sender("--rate", 400, "--large-every", 1, "--size", 500)
        scene.wait_received(100)
        single.kill(0)
        try:
            eventually(lambda: len(scene.journal.numbers("failed")) > 20, SETTLE_S, "errors")
        finally:
            single.start(0)
        scene.wait_received(100)
        taken = len(scene.journal.numbers("confirmed"))
        eventually(lambda: len(scene.journal.numbers("confirmed")) > taken + 300, SETTLE_S, "more")
        scene.end(sender)
        scene.sender("--rate", 1)  # sends what the other may have left behind
        scene.wait_stored()
        errors = scene.journal.errors()
        found = scene.settle(SETTLE_AFTER_OUTAGE_S)
    report(f"no room ({kind}), outbox {outbox}", found)
    judge(found)
    assert all(str(little_room["spool_dir"]) in one for one in errors), errors[-1]
