# SPDX-License-Identifier: Apache-2.0
"""The fault suite: nothing of it runs unless it is asked for (tox -e faults)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kafka_notify.broker import Cluster
from tests.drivers.sharing import BRISK as BRISK_SHARES
from tests.faults.tally import Tally
from tests.scenarios.conftest import BRISK, PASSWORD, USER

ROUNDS_VARIABLE = "KAFKA_NOTIFY_FAULT_ROUNDS"
SEED_VARIABLE = "KAFKA_NOTIFY_FAULT_SEED"
RESULTS_VARIABLE = "KAFKA_NOTIFY_FAULT_RESULTS"
LONG_ROUNDS = 300
OUTAGE_S = 12
LONG_OUTAGE_S = 330  # longer than a delivery may take
# Modules whose cases share a cluster of their own.
TOGETHER = {"test_network.py", "test_three_brokers.py"}
Report = Callable[..., None]


class Lot(NamedTuple):
    """So many kills of one topic and its groups; then all is counted."""

    number: int
    kills: int


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rounds",
        type=int,
        default=int(os.environ.get(ROUNDS_VARIABLE, "30")),
        help="how often something is killed; 300 is the long run",
    )
    parser.addoption(
        "--seed", default=os.environ.get(SEED_VARIABLE, "1"), help="chooses the moments"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the suite out of every other run."""
    asked = "faults" in config.option.markexpr or any("tests/faults" in one for one in config.args)
    return None if asked else True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Deal the rounds out in lots, each a test of its own: they can run side by side."""
    rounds = metafunc.config.getoption("--rounds")
    if "lot" in metafunc.fixturenames:
        most = max(6, rounds // 20)
        begins = enumerate(range(0, rounds, most))
        lots = [Lot(number, min(most, rounds - begin)) for number, begin in begins]
        metafunc.parametrize("lot", lots, ids=[one.number for one in lots])
    if "outage_s" in metafunc.fixturenames:
        long = [LONG_OUTAGE_S] if rounds >= LONG_ROUNDS else []
        metafunc.parametrize("outage_s", [OUTAGE_S, *long])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """Keep cases that share a cluster on one worker, and begin with them: they take longest.

    The marker xdist_group is for that, but has no effect with pytest 9 and xdist 3.8.
    """
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return module if Path(module).name in TOGETHER else nodeid

    return Scheduling(config, log)


@pytest.fixture
def seed(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> str:
    """Return what chooses this test's moments."""
    return f"{pytestconfig.getoption('--seed')} {request.node.name}"


@pytest.fixture(scope="session")
def single() -> Iterator[Cluster]:
    """Yield one broker, quick to notice the dead, where locks may be short; a worker's own."""
    properties = {**BRISK_SHARES, **BRISK}
    with Cluster(nodes=1, properties=properties, sasl={USER: PASSWORD}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    """Yield three brokers: every topic on all of them, two must have a record."""
    with Cluster(nodes=3, properties=BRISK) as cluster:
        yield cluster


# --- what was counted: a case's line goes with its test's report, from whichever process ran it


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Return what keeps a case's figures, to be printed when its test is over."""

    def tell(fault: str, accounts: Mapping[str, Tally], **more: object) -> None:
        for policy, found in accounts.items():
            line = {"fault": fault, "policy": policy, **found.figures(), **more}
            request.node.user_properties.append(("fault", line))

    return tell


class Printer:
    """Prints the figures of all cases, and keeps them in the file that a variable names."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what one test has found."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        results = os.environ.get(RESULTS_VARIABLE)
        for name, line in report.user_properties if report.when == "call" else ():
            if name != "fault":
                continue
            terminal.ensure_newline()
            terminal.write_line(readable(line))
            if results:
                kept = json.dumps({**line, "test": report.nodeid, "outcome": report.outcome})
                with Path(results).open("a") as file:
                    file.write(f"{kept}\n")


def readable(line: dict[str, object]) -> str:
    """Return the figures of a case as a person reads them."""
    kept = ("sent", "confirmed", "in_log", "received", "lost", "duplicates", "out_of_order")
    more = [
        f"{name} {value}"
        for name, value in line.items()
        if name not in {"fault", "policy", *kept} and value
    ]
    figures = ", ".join(f"{name.replace('_', ' ')} {line[name]}" for name in kept)
    return f"{line['fault']}, {line['policy']}: {figures} ({', '.join(more)})".replace(" ()", "")


def pytest_configure(config: pytest.Config) -> None:
    """Print where all reports come together: not in the workers of xdist."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Printer(config), "kafka-notify-faults")
