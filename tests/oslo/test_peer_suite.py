# SPDX-License-Identifier: Apache-2.0
"""oslo.messaging's own functional tests of notifications pass over our URL, unpatched.

They come with its wheel. Each run is a process of its own, since they use the global conf; they
count on a broker that nobody else uses, since all their listeners share one consumer group.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

import pytest

from kafka_notify.broker import Cluster
from tests.oslo.conftest import SCHEME
from tests.scenarios.processes import Process

pytest.importorskip("oslo_messaging")
pytestmark = pytest.mark.functional

Start = Callable[..., Process]
PACKAGE = "oslo_messaging.tests.functional"
NOTIFY = f"{PACKAGE}.test_functional.NotifyTestCase"
LOGGER = f"{PACKAGE}.notify.test_logger"
LONG = "KAFKA_NOTIFY_LONG_TESTS"
LOGGED = 10  # five priorities by two drivers

# One publisher's notifications are to reach both of two listeners, each in the order sent. That
# takes records without a key, and one partition for each listener: Kafka has no order across
# partitions. (The assignor of classic groups shares out each topic by itself.)
SPREAD = "test_multiple_servers"
SPREAD_OPTIONS = "record_key=none&topic_partitions=2&group_protocol=classic"
# A record without a key goes to a partition by chance, so all 8 to the same one in 128 runs.
SPREAD_TRIES = 3
NO_SPREAD = "MismatchError: 0 <= 0"  # what testtools says of a listener without notifications
IN_ORDER = [
    "test_all_categories",
    "test_compression",
    "test_independent_topics",
    "test_multiple_topics",
    "test_simple",
    "test_simple_batch",
]
# By unittest, since it counts what was skipped. Warnings are the suite's own.
RUNNER = ("-W", "ignore")
RUN_S = 240.0

# The suite's own setUp refuses options in the URL that its global conf does not know: ours are
# registered there first, as a service does that lists them. (eventlet has to come before us.)
KNOWING_OURS = f"""
import sys, unittest
import {PACKAGE.rpartition(".")[0]}
from oslo_config import cfg
from kafka_notify import options
options.register(cfg.CONF)
unittest.main(module=None, argv=["unittest", *sys.argv[1:]])
"""

LIST = f"""
import unittest
from {PACKAGE}.test_functional import NotifyTestCase
print(*unittest.TestLoader().getTestCaseNames(NotifyTestCase), sep="\\n")
"""


def outcome(start: Start, url: str, *tests: str, how: Sequence[str]) -> tuple[int, int, str]:
    """Run tests of upstream's; return the exit code, how many ran, and what was said."""
    process = start(*RUNNER, *how, *tests, env={"NOTIFY_TRANSPORT_URL": url})
    code = process.end(RUN_S)
    said = "\n".join(line for line in process.log.splitlines() if " DEBUG [" not in line)
    count = re.search(r"^Ran (\d+) tests? in", said, re.MULTILINE)
    assert count, said
    return code, int(count[1]), said


def run(start: Start, url: str, *tests: str, expected: int) -> None:
    """Run tests of upstream's; fail unless so many ran and none failed or was skipped."""
    code, count, said = outcome(start, url, *tests, how=("-m", "unittest"))
    assert (code, count) == (0, expected), said
    assert said.splitlines()[-1] == "OK", said  # "OK (skipped=1)" is not enough


def run_notify(start: Start, cluster: Cluster) -> None:
    """Run NotifyTestCase whole, each of its tests in the deployment that it is about."""
    url = f"{SCHEME}://{cluster.bootstrap}/"
    run(start, url, *(f"{NOTIFY}.{name}" for name in IN_ORDER), expected=len(IN_ORDER))
    run_spread(start, f"{url}?{SPREAD_OPTIONS}")


def run_spread(start: Start, url: str) -> None:
    """Run the test that wants spread; again where chance was against it, and only there."""
    said = ""
    for _ in range(SPREAD_TRIES):
        _, count, said = outcome(start, url, f"{NOTIFY}.{SPREAD}", how=("-c", KNOWING_OURS))
        assert count == 1, said
        if NO_SPREAD not in said:
            break
    assert said.splitlines()[-1] == "OK", said


def test_all_of_it_is_known(start: Start) -> None:
    """What is run below is what upstream has; a test that it adds is not left out by accident."""
    process = start("-W", "ignore", "-c", LIST)
    assert process.end() == 0, process.log
    assert process.lines("test_") == sorted(
        name.removeprefix("test_") for name in [*IN_ORDER, SPREAD]
    )


def test_notify_on_a_fresh_broker(start: Start) -> None:
    """NotifyTestCase passes at the first run on a broker without topics, and at the second."""
    with Cluster(nodes=1) as cluster:
        run_notify(start, cluster)
        run_notify(start, cluster)


@pytest.mark.timeout(600)  # upstream waits 15 s in each of the tests
def test_logger_on_a_fresh_broker(start: Start) -> None:
    """So does test_logger; the second run is for those who have the time."""
    with Cluster(nodes=1) as cluster:
        for _ in range(2 if LONG in os.environ else 1):
            run(start, f"{SCHEME}://{cluster.bootstrap}/", LOGGER, expected=LOGGED)


@pytest.mark.timeout(600)
@pytest.mark.skipif(
    LONG not in os.environ,
    reason=f"upstream's half seconds are short for three brokers that others run beside; {LONG}=1",
)
def test_on_three_brokers(start: Start) -> None:
    """All of them pass where every topic has three replicas."""
    with Cluster(nodes=3) as cluster:
        run_notify(start, cluster)
        run(start, f"{SCHEME}://{cluster.bootstrap}/", LOGGER, expected=LOGGED)
