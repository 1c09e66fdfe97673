# SPDX-License-Identifier: Apache-2.0
"""No fault at all: beginnings, orderly ends and plain order, where upstream loses something."""

from __future__ import annotations

import signal
from collections import defaultdict
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from tests.faults.conftest import Report
from tests.faults.judge import judge
from tests.faults.scene import AFTER, BEFORE, POLICIES, WINDOW, Scene

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

BACKLOG = 5000
# How an endpoint's speed is kept alike: one call a notification, one worker, 50 a call.
TAKING = {
    "8 workers": ({}, ("--delay", 0.02)),
    "1 worker": ({"workers": 1}, ("--delay", 0.002)),
    "batches of 50": ({}, ("--delay", 0.4, "--batch", 50)),
}


@pytest.mark.parametrize("vhost", ["", "vh"], ids=["none", "vh"])
def test_a_vhost(vhost: str, single: Cluster, tmp_path: Path, unique: str, report: Report) -> None:
    """What is sent over a URL with a vhost is heard over the same URL."""
    with Scene(single.bootstrap, tmp_path / "scene", unique, vhost=vhost) as scene:
        scene.listener()
        scene.send(50)
        found = scene.settle()
    report(f"vhost {vhost or 'none'}", found)
    judge(found)
    for policy in POLICIES:
        assert (found[policy].confirmed, found[policy].received) == (50, 50)


def test_a_fresh_topic(single: Cluster, tmp_path: Path, unique: str, report: Report) -> None:
    """Nobody has made the topic, start() returns, 50 are sent at once: the first is heard."""
    with Scene(single.bootstrap, tmp_path / "scene", unique, partitions=0) as scene:
        scene.listener()
        scene.send(50)
        found = scene.settle()
    report("fresh topic", found)
    judge(found)
    for policy in POLICIES:
        assert (found[policy].confirmed, found[policy].received) == (50, 50)


def test_a_backlog(single: Cluster, tmp_path: Path, unique: str, report: Report) -> None:
    """100 wait in the log when the first listener starts: it gets them all."""
    options = {"delivery": "report", "group_start": "beginning"}
    with Scene(single.bootstrap, tmp_path / "scene", unique, **options) as scene:
        scene.send(100)
        scene.listener()
        found = scene.settle()
    report("backlog of 100", found)
    judge(found)
    for policy in POLICIES:
        assert (found[policy].received, found[policy].duplicates) == (100, 0)


@pytest.mark.parametrize("taking", TAKING)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda one: one.name)
def test_an_end_amid_a_backlog(
    how: signal.Signals,
    taking: str,
    single: Cluster,
    tmp_path: Path,
    unique: str,
    report: Report,
) -> None:
    """A listener ends amid a backlog of 5,000, and another goes on."""
    more, arguments = TAKING[taking]
    options = {"delivery": "report", "group_start": "beginning", **more}
    with Scene(single.bootstrap, tmp_path / "scene", unique, **options) as scene:
        scene.send(BACKLOG)
        listener = scene.listener(*arguments)
        scene.wait_received(1000)
        if how is signal.SIGKILL:
            scene.kill(listener)
        else:
            scene.leave(listener)
        assert len(scene.journal.numbers("out", AFTER)) < BACKLOG, "it was through already"
        scene.listener(*arguments)
        found = scene.settle()
    report(f"{how.name} amid a backlog ({taking})", found)
    judge(found, killed=int(how is signal.SIGKILL))
    assert found[BEFORE].lost <= (WINDOW if how is signal.SIGKILL else 0)


def test_order(single: Cluster, tmp_path: Path, unique: str, report: Report) -> None:
    """5,000 of 20 keys: each key has one partition, and its order is kept to the endpoint."""
    with Scene(single.bootstrap, tmp_path / "scene", unique) as scene:
        scene.listener("--delay", 0.01)
        scene.send(BACKLOG, "--keys", 20, "--rate", 1000)
        found = scene.settle()
        partitions = defaultdict(set)
        for stored in scene.bare.read(scene.log_topic):
            partitions[stored.payload["key"]].add(stored.partition)
    report("order", found, partitions_per_key=max(map(len, partitions.values())))
    judge(found)
    assert {len(one) for one in partitions.values()} == {1}
    for policy in POLICIES:
        assert (found[policy].received, found[policy].duplicates) == (BACKLOG, 0)
