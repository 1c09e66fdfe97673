# SPDX-License-Identifier: Apache-2.0
"""An embedded cluster that commands in other processes reach by its address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import kafka_notify


@pytest.fixture(scope="module")
def cluster() -> Iterator[kafka_notify.NotificationTransport]:
    """Yield a transport to a cluster in this process; ``.address`` is for other processes."""
    with kafka_notify.get_notification_transport(url="embedded://") as transport:
        transport.check_connection()
        yield transport


@pytest.fixture
def url(cluster: kafka_notify.NotificationTransport) -> str:
    return f"kafka://{cluster.address}/"
