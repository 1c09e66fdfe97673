# SPDX-License-Identifier: Apache-2.0
"""Fixtures that all tests share: fresh names, and a real Kafka for those marked functional."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import hypothesis
import pytest

from kafka_notify.errors import KafkaNotifyError

BROKERS_VARIABLE = "KAFKA_NOTIFY_TEST_BROKERS"

# ci: the same examples on every run and every machine. long: look for new ones.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.register_profile("long", max_examples=5000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """A running Kafka; ``bootstrap`` is ``host:port[,host:port…]``."""

    bootstrap: str

    def url(self, vhost: str = "", **query: object) -> str:
        """Return a transport URL for this Kafka; query values are written as ``str`` does."""
        options = f"?{urlencode(query)}" if query else ""
        return f"kafka://{self.bootstrap}/{quote(vhost, safe='')}{options}"


def pytest_configure(config: pytest.Config) -> None:
    """Start the Kafka that the workers of xdist share; each of them would start one otherwise."""
    workers = config.getoption("numprocesses", None) and not config.option.collectonly
    functional = config.option.markexpr == "functional"
    if not (workers and functional) or os.environ.get(BROKERS_VARIABLE):
        return
    from kafka_notify.broker import Cluster

    cluster = Cluster(nodes=1)
    try:
        cluster.open()
    except KafkaNotifyError as error:
        raise pytest.UsageError(f"no Kafka for the functional tests: {error}") from error
    config.add_cleanup(cluster.close)
    os.environ[BROKERS_VARIABLE] = cluster.bootstrap


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """Yield the Kafka that KAFKA_NOTIFY_TEST_BROKERS names, else one started for this session."""
    bootstrap = os.environ.get(BROKERS_VARIABLE, "")
    if bootstrap:
        yield Kafka(bootstrap=bootstrap)
        return
    # Here, because only this fixture needs the [broker] extra.
    from kafka_notify.broker import Cluster

    with Cluster(nodes=1) as cluster:
        yield Kafka(bootstrap=cluster.bootstrap)


@pytest.fixture
def unique() -> str:
    """Return a prefix for the names of topics and groups that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"
