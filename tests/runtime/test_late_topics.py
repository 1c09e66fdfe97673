# SPDX-License-Identifier: Apache-2.0
"""Topics that could not be made at a start, as the cluster gave no answer."""

from __future__ import annotations

import pytest

import kafka_notify
from kafka_notify.core.events import TopicsCreated, TopicsMissing
from kafka_notify.errors import BrokerRefused, BrokerUnavailable
from kafka_notify.runtime.late_topics import LateTopics
from tests.waiting import eventually

BOUND_S = 30.0
TOPIC = "notifications.info"


@pytest.fixture
def problems(monkeypatch, cluster):
    """What the cluster says when it is asked for topics; it makes them once this is empty."""
    said = []
    cluster.auto_create = False
    monkeypatch.setattr(cluster, "creation_problem", lambda _topic: said[0] if said else None)
    return said


def test_a_listener_makes_them_once_the_cluster_answers(
    transport, cluster, problems, recorder, listen
):
    """Nobody else has to, and what is sent from then on arrives."""
    problems.append(BrokerUnavailable("no answer"))
    listen(transport, recorder)
    assert [event for event in transport.events if isinstance(event, TopicsMissing)]
    problems.clear()
    eventually(lambda: TOPIC in cluster.topics(), BOUND_S, "the topic")
    kafka_notify.Notifier(transport, "p").info({}, "e", 1)
    recorder.wait_for(1)


def test_it_is_asked_for_less_and_less(transport, problems, cluster):
    """Until there is an answer; then no more."""
    late = LateTopics(transport.driver, transport.settings, transport.monitor)
    problems.append(BrokerUnavailable("no answer"))
    late.want({TOPIC}, 0.0)
    asked = []
    for now_s in range(200):
        before = len(transport.events)
        late.work(float(now_s))
        if len(transport.events) > before:
            asked.append(now_s)
    assert asked == [1, 3, 8, 18, 48, 108, 168]
    problems.clear()
    late.work(1000.0)
    assert TOPIC in cluster.topics()
    made = [event for event in transport.events if isinstance(event, TopicsCreated)]
    assert len(made) == 1


def test_what_is_refused_is_not_asked_for_again(transport, problems, cluster):
    """It is told, and somebody else has to make it."""
    late = LateTopics(transport.driver, transport.settings, transport.monitor)
    problems.append(BrokerRefused("not allowed"))
    late.want({TOPIC}, 0.0)
    late.work(10.0)
    problems.clear()
    late.work(1000.0)
    assert TOPIC not in cluster.topics()
