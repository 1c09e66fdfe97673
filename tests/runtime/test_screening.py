# SPDX-License-Identifier: Apache-2.0
"""Endpoints with filters: what they get, and what is counted of what nobody wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import kafka_notify
from kafka_notify.core.events import RecordUndecodable
from kafka_notify.core.serializers import NoOpSerializer
from tests.runtime.conftest import BOUND_S, Recorder
from tests.waiting import eventually

BATCHES = pytest.mark.parametrize("batch", [{}, {"batch_size": 1}], ids=["single", "batch"])


def payloads(recorder: Recorder) -> list[Any]:
    """Return what came, of an endpoint as of a batch endpoint."""
    return [
        item["payload"] if len(arguments) == 1 else arguments[3]
        for _, arguments in list(recorder.calls)
        for item in (arguments[0] if len(arguments) == 1 else [None])
    ]


def append(cluster: Any, value: bytes) -> None:
    """Write a record as another program would."""
    with cluster.changed:
        cluster.append("notifications.info", value, key=b"k", headers=())
        cluster.changed.notify_all()


@pytest.fixture
def computes(recorder: Recorder) -> Recorder:
    recorder.filter_rule = kafka_notify.NotificationFilter(publisher_id="compute")
    return recorder


def dispatched(transport: Any, count: int) -> None:
    eventually(lambda: transport.stats()["dispatched"] == count, BOUND_S, f"{count} dispatched")


@BATCHES
def test_only_what_is_wanted_comes_and_comes_whole(
    transport: Any, computes: Recorder, listen: Callable[..., Any], batch: dict[str, int]
) -> None:
    """The others are done, too: they count as dispatched, and as nothing else."""
    listen(transport, computes, **batch)
    notifier = kafka_notify.Notifier(transport)
    notifier.prepare(publisher_id="network.h1").info({}, "e", {"big": 2**70})
    notifier.prepare(publisher_id="compute.h1").info({}, "e", {"big": 2**70, "half": "\ud800"})
    dispatched(transport, 2)
    assert payloads(computes) == [{"big": 2**70, "half": "\ud800"}]
    assert transport.stats()["undecodable"] == transport.stats()["endpoint_errors"] == 0


@BATCHES
def test_a_malformed_payload_that_nobody_wants_is_told(
    transport: Any, cluster: Any, computes: Recorder, listen: Callable[..., Any], batch: Any
) -> None:
    """It is undecodable for this listener as for every other; the next one comes."""
    listen(transport, computes, **batch)
    append(cluster, b'{"priority":"info","publisher_id":"network.h1","payload":{"a":]}}')
    kafka_notify.Notifier(transport, "compute.h1").info({}, "e", "good")
    dispatched(transport, 1)
    [told] = eventually(
        lambda: [event for event in transport.events if isinstance(event, RecordUndecodable)],
        BOUND_S,
        "one told",
    )
    assert "not JSON" in told.reason
    assert payloads(computes) == ["good"]


def test_a_filter_of_the_users_own_gets_the_payload(
    transport: Any, computes: Recorder, listen: Callable[..., Any], unique: str
) -> None:
    """Whatever the other endpoints' filters look at."""
    own = Recorder()

    class LargeOnes:
        def match(
            self, ctxt: Any, publisher_id: Any, event_type: Any, metadata: Any, payload: Any
        ):
            return payload["size"] > 1

    own.filter_rule = LargeOnes()
    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic="notifications")], [computes, own], pool=unique
    )
    listener.start()
    notifier = kafka_notify.Notifier(transport, "network.h1")
    notifier.info({}, "e", {"size": 1})
    notifier.info({}, "e", {"size": 2})
    dispatched(transport, 2)
    listener.stop()
    listener.wait()
    assert payloads(own) == [{"size": 2}]
    assert payloads(computes) == []


def test_a_serializer_gets_every_payload(
    transport: Any, computes: Recorder, listen: Callable[..., Any]
) -> None:
    """Also of what no filter lets through: it may be what tells that a record is bad."""
    seen = []

    class Watching(NoOpSerializer):
        def deserialize_entity(self, ctxt: Any, entity: Any) -> Any:
            seen.append(entity)
            return entity

    listen(transport, computes, serializer=Watching())
    kafka_notify.Notifier(transport, "network.h1").info({}, "e", {"x": 1})
    dispatched(transport, 1)
    assert seen == [{"x": 1}]


@BATCHES
def test_duplicates_of_what_nobody_wants_are_counted(
    connect: Callable[..., Any], cluster: Any, computes: Recorder, listen: Any, batch: Any
) -> None:
    """By their message_id, as all others."""
    transport = connect("deduplicate=10")
    listen(transport, computes, **batch)
    for _ in range(2):
        append(cluster, b'{"priority":"info","publisher_id":"n","message_id":"m","payload":1}')
    eventually(lambda: transport.stats()["duplicates"] == 1, BOUND_S, "one duplicate")
    dispatched(transport, 1)
