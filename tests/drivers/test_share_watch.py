# SPDX-License-Identifier: Apache-2.0
"""What is read from the statistics of a share consumer, and what follows from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kafka_notify.drivers.confluent_health import Health
from kafka_notify.drivers.confluent_share_watch import ShareWatch

MANY = 200


def broker(node: int, *, fetches: int = 0, state: str = "UP") -> Any:
    """Return what the statistics say of a broker."""
    return {"nodeid": node, "state": state, "source": "learned", "req": {"ShareFetch": fetches}}


def statistics(
    *brokers: Any, partitions: int = 2, state: str = "steady", leaders: tuple[int, ...] = (0,)
) -> str:
    """Return a member's statistics, as much as is read of them."""
    found = {
        str(number): {"partition": number, "leader": leader, "fetch_state": "none"}
        for number, leader in enumerate(leaders)
    }
    return json.dumps(
        {
            "brokers": {str(one["nodeid"]): one for one in brokers},
            "cgrp": {"join_state": state, "assignment_size": partitions},
            "topics": {"t": {"topic": "t", "partitions": found}},
        }
    )


@pytest.fixture
def watch() -> ShareWatch:
    """Return a watch over a client that is polled."""
    made = ShareWatch(Health(lambda: None))
    made.is_polled = True
    return made


def test_before_anything_is_heard(watch: ShareWatch) -> None:
    """Nothing is taken for granted."""
    assert not watch.is_assigned
    assert not watch.has_fetched(0)
    assert not watch.knows_no_broker
    assert not watch.has_stopped


def test_a_member_without_partitions(watch: ShareWatch) -> None:
    """Whatever it has asked for, it has no share yet."""
    watch.heard(statistics(broker(0, fetches=9), partitions=4, state="init", leaders=()))
    assert not watch.is_assigned


@pytest.mark.parametrize(
    ("text", "joins"),
    [
        (statistics(broker(0), partitions=0, state="init", leaders=()), True),
        (statistics(broker(0, state="DOWN"), partitions=0, state="init", leaders=()), False),
        (statistics(broker(0)), False),
    ],
)
def test_a_member_that_joins(watch: ShareWatch, text: str, joins: bool) -> None:
    """It has no partitions yet, and there is somebody who could give it some, or may be."""
    assert watch.is_joining
    watch.heard(text)
    assert watch.is_joining is joins


def test_all_leaders_must_have_been_asked(watch: ShareWatch) -> None:
    """The start of a partition is known when its leader has answered."""
    both = (0, 1)
    watch.heard(statistics(broker(0, fetches=9), broker(1, fetches=2), leaders=both))
    assert watch.is_assigned
    assert not watch.has_fetched(2)
    watch.heard(statistics(broker(0, fetches=9), broker(1, fetches=3), leaders=both))
    assert watch.has_fetched(2)


def test_partitions_that_others_have(watch: ShareWatch) -> None:
    """An assignment of less than all counts when it has come to rest."""
    for fetches in range(3, 11):
        watch.heard(statistics(broker(0, fetches=fetches)))
        assert not watch.has_fetched(3)
    watch.heard(statistics(broker(0, fetches=11)))
    assert watch.has_fetched(3)


def test_a_client_that_stopped_asking(watch: ShareWatch) -> None:
    """It is polled, has partitions, their leaders are up, and it asks for nothing."""
    for _ in range(MANY):
        watch.heard(statistics(broker(0, fetches=7)))
    assert watch.has_stopped
    watch.heard(statistics(broker(0, fetches=8)))
    assert not watch.has_stopped


@pytest.mark.parametrize(
    "text",
    [
        statistics(broker(0, fetches=7, state="DOWN")),
        statistics(broker(0, fetches=7), leaders=(0, 1)),
        statistics(broker(0, fetches=7), partitions=0),
        statistics(broker(0, fetches=7), state="init"),
    ],
)
def test_a_client_that_has_nobody_to_ask(watch: ShareWatch, text: str) -> None:
    """A broker that is away, or an assignment of nothing, passes by itself."""
    for _ in range(MANY):
        watch.heard(text)
    assert not watch.has_stopped


def test_a_client_that_is_not_polled(watch: ShareWatch) -> None:
    """While records are in hand it may not ask."""
    watch.is_polled = False
    for _ in range(MANY):
        watch.heard(statistics(broker(0, fetches=7)))
    assert not watch.has_stopped


def test_a_client_without_brokers(watch: ShareWatch) -> None:
    """It will never find one again; asked at the pace of the statistics of other clients."""
    for _ in range(20):
        watch.heard(statistics(leaders=()))
        assert not watch.knows_no_broker
    for _ in range(20):
        watch.heard(statistics(leaders=()))
    assert watch.knows_no_broker
