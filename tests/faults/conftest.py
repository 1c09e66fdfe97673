# SPDX-License-Identifier: Apache-2.0
"""The fault suite: nothing of it runs unless it is asked for (tox -e faults)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from kafka_notify.broker import Cluster
from tests.faults.tally import Tally
from tests.scenarios.conftest import BRISK

ROUNDS_VARIABLE = "KAFKA_NOTIFY_FAULT_ROUNDS"
SEED_VARIABLE = "KAFKA_NOTIFY_FAULT_SEED"
RESULTS_VARIABLE = "KAFKA_NOTIFY_FAULT_RESULTS"
Report = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rounds",
        type=int,
        default=int(os.environ.get(ROUNDS_VARIABLE, "30")),
        help="how often something is killed",
    )
    parser.addoption(
        "--seed", default=os.environ.get(SEED_VARIABLE, "1"), help="chooses the moments"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the suite out of every other run."""
    asked = "faults" in config.option.markexpr or any("tests/faults" in one for one in config.args)
    return None if asked else True


@pytest.fixture(scope="session")
def rounds(pytestconfig: pytest.Config) -> int:
    """Return how often something is killed."""
    return int(pytestconfig.getoption("--rounds"))


@pytest.fixture
def seed(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> str:
    """Return what chooses this test's moments."""
    return f"{pytestconfig.getoption('--seed')} {request.node.name}"


@pytest.fixture(scope="session")
def single() -> Iterator[Cluster]:
    """Yield one broker, quick to notice the dead."""
    with Cluster(nodes=1, properties=BRISK) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    """Yield three brokers: every topic on all of them, two must have a record."""
    with Cluster(nodes=3, properties=BRISK) as cluster:
        yield cluster


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Return what prints a case's line, and keeps it in the file that a variable names."""

    def tell(fault: str, policy: str, found: Tally, **more: object) -> None:
        figures = {one.name: getattr(found, one.name) for one in fields(found)}
        line = json.dumps({"fault": fault, "policy": policy, **figures, **more})
        with capsys.disabled():
            os.write(1, f"\n{line}\n".encode())
        if os.environ.get(RESULTS_VARIABLE):
            with Path(os.environ[RESULTS_VARIABLE]).open("a") as file:
                file.write(f"{line}\n")

    return tell
