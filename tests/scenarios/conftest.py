# SPDX-License-Identifier: Apache-2.0
"""What the scenarios share: processes, transports, bare clients, and a brisk Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import kafka_notify
from kafka_notify.broker import Cluster
from tests.conftest import Kafka
from tests.scenarios.processes import Process
from tests.scenarios.topics import BareClient

PASSWORD = "s3cret+<pw>"
USER = "alice"

BRISK_SESSION_S = 4  # how long a member may be silent before it is taken for dead
_SESSION_MS = str(BRISK_SESSION_S * 1000)
BRISK = {
    # So whatever runs here shows that listeners need nobody to make their topics.
    "auto.create.topics.enable": "false",
    # By default a member of KIP-848 is heard every 5 s, and dead after 45 s of silence.
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.session.timeout.ms": _SESSION_MS,
    "group.consumer.session.timeout.ms": _SESSION_MS,
    "group.min.session.timeout.ms": _SESSION_MS,
    # A broker that was killed is taken for alive for 9 s otherwise, even by its own successor.
    "broker.session.timeout.ms": "5000",
    "broker.heartbeat.interval.ms": "500",
    # Who has logged in may do what is not denied; everybody else anything.
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "allow.everyone.if.no.acl.found": "true",
}


@pytest.fixture(scope="session")
def brisk_cluster() -> Iterator[Cluster]:
    """Yield a Kafka of ours that creates no topics, is quick with groups, and takes logins."""
    with Cluster(nodes=1, properties=BRISK, sasl={USER: PASSWORD}) as cluster:
        yield cluster


@pytest.fixture
def brisk(brisk_cluster: Cluster) -> Kafka:
    """Return the brisk Kafka, as the fixture ``kafka`` returns the usual one."""
    return Kafka(bootstrap=brisk_cluster.bootstrap)


# In the classic protocol the members say how long they may be silent.
BRISK_MEMBER: dict[str, dict[str, Any]] = {
    "classic": {
        "group_protocol": "classic",
        "client_options": f"heartbeat.interval.ms:500,session.timeout.ms:{_SESSION_MS}",
    },
    "consumer": {"group_protocol": "consumer"},
}


@pytest.fixture(params=["classic", "consumer"])
def member(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the URL options of a brisk member, for each protocol by which a group can be kept."""
    return {**BRISK_MEMBER[request.param], "kafka_consumer_timeout": 0.2}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Yield a function that starts a Python process; all of them are ended after the test."""
    with ExitStack() as processes:
        yield lambda *arguments, **options: processes.enter_context(
            Process(*arguments, cwd=tmp_path, **options)
        )


@pytest.fixture
def connect() -> Iterator[Callable[..., kafka_notify.NotificationTransport]]:
    """Yield a function that returns a transport for a URL; all of them are cleaned up."""
    with ExitStack() as transports:

        def transport(url: str, **arguments: Any) -> kafka_notify.NotificationTransport:
            made = kafka_notify.get_notification_transport(url=url, **arguments)
            return transports.enter_context(made)

        yield transport


@pytest.fixture
def bare(kafka: Kafka) -> BareClient:
    """Return a bare client of the usual Kafka."""
    return BareClient(kafka.bootstrap)


@pytest.fixture
def bare_brisk(brisk: Kafka) -> BareClient:
    """Return a bare client of the brisk Kafka."""
    return BareClient(brisk.bootstrap)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Return the folder of an outbox."""
    return tmp_path / "spool"
