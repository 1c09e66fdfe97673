# SPDX-License-Identifier: Apache-2.0
"""What cannot be delivered is said, each time, in time: too large, refused, nobody there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from tests.faults.conftest import Report
from tests.faults.judge import judge
from tests.faults.scene import POLICIES, READY_S, SENDER_THREADS, SETTLE_S, Scene, pause
from tests.scenarios.conftest import PASSWORD, USER

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

FEW = 20
TOO_LARGE = {"for the topic": 20_000, "for our own limit": 1_500_000}


@pytest.fixture
def nobody() -> Iterator[str]:
    """Yield an address where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize("delivery", ["confirm", "report"])
@pytest.mark.parametrize("limit", TOO_LARGE)
def test_too_large(
    limit: str, delivery: str, single: Cluster, tmp_path: Path, unique: str, report: Report
) -> None:
    """20 records among 40 are too large: each is reported on, and costs only itself."""
    with Scene(
        single.bootstrap,
        tmp_path / "scene",
        unique,
        config={"max.message.bytes": "10000"},
        delivery=delivery,
        producer_batch_timeout=0.05,  # so that they share requests
    ) as scene:
        scene.listener()
        sender = scene.send(60, "--large-every", 3, "--size", TOO_LARGE[limit])
        reported = sender.log.count("was not delivered")
        raised = len(scene.journal.errors())
        found = scene.settle()
    for policy in POLICIES:
        found[policy].reported(reported)
    report(f"too large {limit}, {delivery}", found, reported=reported)
    judge(found)
    assert (raised, reported) in {(20, 0), (0, 20)}, sender.log
    for policy in POLICIES:
        assert (found[policy].received, found[policy].failed) == (40, 20)


def test_a_wrong_password(single: Cluster, tmp_path: Path, unique: str, report: Report) -> None:
    """Every confirmed send raises, and so does start(); both say what to check."""
    with Scene(
        single.bootstrap,
        tmp_path / "scene",
        unique,
        at=f"{USER}:not-{PASSWORD[:3]}@{single.sasl_bootstrap}",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        confirm_timeout=5,
    ) as scene:
        listener = scene.listener(wait=False)
        scene.send(FEW, "--retry", 0)
        assert listener.end(READY_S) == 1
        errors = scene.journal.errors()
        found = scene.account()
    report("wrong password", found)
    judge(found)
    assert len(errors) == FEW
    assert all("check user and password" in one for one in errors)
    assert "check user and password" in listener.log


@pytest.mark.parametrize("delivery", ["confirm", "report"])
def test_unreachable(
    delivery: str, nobody: str, single: Cluster, tmp_path: Path, unique: str, report: Report
) -> None:
    """Nobody listens: what is sent raises, or is named at the end, which comes in time."""
    with Scene(
        single.bootstrap,
        tmp_path / "scene",
        unique,
        at=nobody,
        delivery=delivery,
        confirm_timeout=3,
        close_timeout=2,
    ) as scene:
        listener = scene.listener(wait=False)
        sender = scene.send(FEW, "--retry", 0)
        assert listener.end(READY_S) == 1
        found = scene.account()
    if f"{FEW} notifications were not delivered" in sender.log:
        for policy in POLICIES:
            found[policy].reported(FEW)
    report(f"unreachable, {delivery}", found)
    judge(found)
    assert nobody in listener.log
    for policy in POLICIES:
        assert (found[policy].failed, found[policy].in_log) == (FEW, 0), sender.log


@pytest.mark.parametrize("retry", [0, 3, -1])
def test_retry_without_a_broker(
    retry: int, single: Cluster, tmp_path: Path, unique: str, report: Report
) -> None:
    """A number of attempts ends, each with an error; without one all are sent in the end."""
    with Scene(single.bootstrap, tmp_path / "scene", unique, confirm_timeout=2) as scene:
        scene.listener()
        single.kill(0)
        try:
            sender = scene.sender("--count", SENDER_THREADS, "--retry", retry)
            if retry < 0:
                pause(5)
                assert not scene.journal.lines("confirmed", "failed")
            else:
                assert sender.end(SETTLE_S) == 0, sender.log
                assert len(scene.journal.lines("failed")) == SENDER_THREADS
        finally:
            single.start(0)
        assert sender.end(SETTLE_S) == 0, sender.log
        scene.senders.clear()
        found = scene.settle()
    report(f"retry {retry}, no broker", found)
    judge(found)
    for policy in POLICIES:
        assert found[policy].in_log == (SENDER_THREADS if retry < 0 else 0)
