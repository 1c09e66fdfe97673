# SPDX-License-Identifier: Apache-2.0
"""The time of day jumps by an hour, forwards and back: of the clients, of the broker, of both."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from tests.faults.conftest import Report
from tests.faults.judge import judge
from tests.faults.scene import BEFORE, SETTLE_AFTER_OUTAGE_S, Scene, pause
from tests.scenarios.conftest import BRISK, BRISK_MEMBER

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

HOUR_S = 3600
JUMPS = (HOUR_S, 0, -HOUR_S, 0)


class Clock:
    """The time of day of all processes that have ``env``."""

    def __init__(self, library: Path, file: Path) -> None:
        self.env = {"LD_PRELOAD": str(library), "CLOCK_SHIFT_FILE": str(file)}
        self._file = file
        self._file.write_bytes(struct.pack("q", 0))

    def shift(self, seconds: int) -> None:
        """Let it be so many seconds later; no process sees half of a number."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("q", seconds))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build what moves a process's clock."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build clock.c with, and nothing else moves a clock")
    built = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", built, source, "-ldl"], check=True)
    return built


@pytest.fixture
def elsewhere(library: Path, tmp_path: Path) -> Iterator[tuple[Cluster, Clock]]:
    """Yield a broker that has a clock of its own; one whose clock has jumped is not used again."""
    clock = Clock(library, tmp_path / "broker")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in clock.env.items():
            patch.setenv(name, value)
        cluster = Cluster(nodes=1, properties=BRISK)
        cluster.open()
    yield cluster, clock
    cluster.close()


@pytest.mark.parametrize("member", BRISK_MEMBER)
@pytest.mark.parametrize("whose", ["clients", "broker", "both"])
def test_jumps(
    whose: str,
    member: str,
    elsewhere: tuple[Cluster, Clock],
    library: Path,
    tmp_path: Path,
    unique: str,
    report: Report,
) -> None:
    """Nothing is lost, nothing comes twice, no order changes: what is waited for is measured."""
    cluster, broker = elsewhere
    clients = Clock(library, tmp_path / "clients")
    moved = {"clients": [clients], "broker": [broker], "both": [clients, broker]}[whose]
    with Scene(
        cluster.bootstrap, tmp_path / "scene", unique, env=clients.env, **BRISK_MEMBER[member]
    ) as scene:
        for _ in range(2):
            scene.listener("--delay", 0.01)
        scene.sender("--rate", 300)
        for seconds in JUMPS:
            scene.wait_received(100)
            for clock in moved:
                clock.shift(seconds)
            pause(2)
        scene.wait_received(100)
        found = scene.settle(SETTLE_AFTER_OUTAGE_S)
        times_s = [one.timestamp()[1] / 1000 for one in scene.bare.read_raw(scene.log_topic)]
    report(f"clock jumps, {whose} ({member})", found, times=len(JUMPS))
    if clients in moved:
        assert max(times_s) - min(times_s) > HOUR_S, "their clock has not jumped"
    assert broker.env["LD_PRELOAD"] in Path(f"/proc/{cluster.pid(0)}/maps").read_text()
    judge(found)
    assert found[BEFORE].lost == 0
