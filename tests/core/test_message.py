# SPDX-License-Identifier: Apache-2.0
"""Targets and the other values that travel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_notify.core.message import PRIORITIES, NotificationResult, Partition, Record, Target

arguments = st.fixed_dictionaries(
    {},
    optional={
        "exchange": st.none() | st.text(),
        "topic": st.none() | st.text(),
        "namespace": st.none() | st.text(),
        "version": st.none() | st.text(),
        "server": st.none() | st.text(),
        "fanout": st.none() | st.booleans(),
    },
)


def test_priorities() -> None:
    """The priorities are those of the notifier's methods."""
    assert set(PRIORITIES) == {"audit", "debug", "info", "warn", "error", "critical", "sample"}


@given(arguments, arguments)
def test_calling_a_target_changes_a_copy(
    first: dict[str, object], changes: dict[str, object]
) -> None:
    """A target called with arguments is a copy with those changed."""
    target = Target(**first)  # type: ignore[arg-type]

    assert target(**changes) == Target(**{**first, **changes})  # type: ignore[arg-type]
    assert target == Target(**first)  # type: ignore[arg-type]
    assert hash(target(**changes)) == hash(Target(**{**first, **changes}))  # type: ignore[arg-type]


def test_target_by_position() -> None:
    """The first two arguments are exchange and topic, as upstream's."""
    assert Target("e", "t") == Target(exchange="e", topic="t")


def test_a_record_knows_where_it_lies() -> None:
    """A record's partition is shown as Kafka's tools show it."""
    record = Record("topic", 2, 7, None, b"")

    assert record.where == Partition("topic", 2)
    assert str(record.where) == "topic-2"


@pytest.mark.functional
@given(arguments, arguments)
def test_targets_are_upstreams(first: dict[str, object], second: dict[str, object]) -> None:
    """Targets take the same arguments, and are equal when upstream's are."""
    upstream = pytest.importorskip("oslo_messaging").Target

    ours = Target(**first) == Target(**second)  # type: ignore[arg-type]

    assert ours is (upstream(**first) == upstream(**second))
    for name in first:
        assert getattr(Target(**first), name) == getattr(upstream(**first), name)  # type: ignore[arg-type]


@pytest.mark.functional
def test_results_are_upstreams() -> None:
    """Endpoints may return upstream's constants."""
    upstream = pytest.importorskip("oslo_messaging").NotificationResult

    assert upstream.HANDLED == NotificationResult.HANDLED
    assert upstream.REQUEUE == NotificationResult.REQUEUE
