# SPDX-License-Identifier: Apache-2.0
"""Sends while it is known that nothing can be delivered raise at once, and only so long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import kafka_notify
from kafka_notify.broker import Cluster
from kafka_notify.errors import DeliveryError, KafkaNotifyError
from tests.conftest import Kafka
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

pytestmark = pytest.mark.functional

Connect = Callable[..., kafka_notify.NotificationTransport]
KNOWN_S = 30.0


def attempt(notifier: kafka_notify.Notifier) -> KafkaNotifyError | None:
    """Return what a send raises."""
    try:
        notifier.info({}, "in.vain", "payload")
    except KafkaNotifyError as error:
        return error
    return None


def test_brokers_that_are_away_for_long(
    connect: Connect, brisk: Kafka, brisk_cluster: Cluster, bare_brisk: BareClient, unique: str
) -> None:
    """After unreachable_timeout sends raise; what was taken before comes, and later ones again."""
    bare_brisk.create(f"{unique}.info", 1)
    transport = connect(brisk.url(unreachable_timeout=1))
    notifier = kafka_notify.Notifier(transport, topics=[unique])
    notifier.info({}, "before", "before")
    assert transport.flush(KNOWN_S) == 0
    brisk_cluster.stop(0)
    try:
        taken = 1

        def refused() -> KafkaNotifyError | None:
            nonlocal taken
            error = attempt(notifier)
            taken += error is None
            return error

        error = eventually(refused, KNOWN_S, "a send that raises")
        assert isinstance(error, DeliveryError)
        assert "unreachable_timeout" in str(error)
    finally:
        brisk_cluster.start(0)
    eventually(lambda: attempt(notifier) is None, KNOWN_S, "a send that is taken")
    assert transport.flush(KNOWN_S) == 0
    assert len(bare_brisk.payloads(f"{unique}.info")) == taken + 1
