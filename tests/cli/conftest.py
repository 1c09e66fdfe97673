# SPDX-License-Identifier: Apache-2.0
"""Clusters that commands in other processes reach by their address."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import kafka_notify
from kafka_notify.core.message import PRIORITIES


@pytest.fixture(scope="module")
def cluster() -> Iterator[kafka_notify.NotificationTransport]:
    """Yield a transport to a cluster in this process; ``.address`` is for other processes."""
    with kafka_notify.get_notification_transport(url="embedded://") as transport:
        transport.check_connection()
        yield transport


@pytest.fixture
def url(cluster: kafka_notify.NotificationTransport) -> str:
    return f"kafka://{cluster.address}/"


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.functional)])
def either_url(request: pytest.FixtureRequest, unique: str) -> str:
    """Return the URL of an embedded cluster, then of a real one; topics ``unique.*`` exist."""
    if request.param == "real":
        return str(request.getfixturevalue("kafka").url())
    cluster = request.getfixturevalue("cluster")
    # Only the embedded driver can do this; for kafka:// the mock refuses it after a time-out.
    cluster.driver.new_admin(on_problem=lambda _: None).create_topics(
        [f"{unique}.{priority}" for priority in PRIORITIES],
        partitions=-1,
        replication_factor=-1,
        timeout_s=10,
    )
    return f"kafka://{cluster.address}/"


@pytest.fixture
def send(either_url: str, unique: str) -> Iterator[Callable[..., None]]:
    """Return a function that sends notifications to the topic ``unique``, confirmed."""
    with kafka_notify.get_notification_transport(
        url=f"{either_url}?delivery=confirm"
    ) as transport:
        notifier = kafka_notify.Notifier(transport, topics=[unique])

        def send_one(
            payload: object,
            *,
            priority: str = "info",
            publisher_id: str = "me",
            event_type: str = "x",
            ctxt: dict[str, str] | None = None,
        ) -> None:
            publisher = notifier.prepare(publisher_id=publisher_id)
            getattr(publisher, priority)(ctxt or {}, event_type, payload)

        yield send_one
