# SPDX-License-Identifier: Apache-2.0
"""A topic that was deleted and made anew, told from librdkafka's log."""

from __future__ import annotations

import pytest

from kafka_notify.core.message import Partition
from kafka_notify.drivers.confluent_topic_ids import TopicIds

OURS = [Partition("nova.info", 1), Partition("nova.info", 0), Partition("other.info", 0)]
NONE = "AAAAAAAAAAAAAAAAAAAAAA"
FIRST = "b5FdfjWZQxGSb4dj5M0wFw"
SECOND = "Z+/GZxcxR5SgleLQhpM+ig"


def line(topic: str, before: str, after: str = SECOND) -> str:
    """Return what librdkafka writes."""
    return f"[thrd:main]: Topic {topic} changed id from {before} to {after}"


def test_partitions_of_a_topic_with_another_id() -> None:
    """They are told until that is heeded."""
    ids = TopicIds()
    assert ids.renewed(OURS) == []
    ids.heard(line("nova.info", FIRST))
    assert ids.renewed(OURS) == [Partition("nova.info", 0), Partition("nova.info", 1)]
    assert ids.renewed(OURS[2:]) == []
    ids.forget()
    assert ids.renewed(OURS) == []


@pytest.mark.parametrize(
    "text",
    [
        line("nova.info", NONE),
        "[thrd:main]: Topic nova.info [0] Leader 0 Epoch 0",
        "",
    ],
)
def test_other_lines(text: str) -> None:
    """A topic that had no id before is new to the client, and was not read."""
    ids = TopicIds()
    ids.heard(text)
    assert ids.renewed(OURS) == []


def test_a_topic_whose_id_is_not_known_for_a_while() -> None:
    """An answer without the id, from a broker that does not know the topic, changes nothing."""
    ids = TopicIds()
    for before, after in ((NONE, FIRST), (FIRST, NONE), (NONE, FIRST)):
        ids.heard(line("nova.info", before, after))
        assert ids.renewed(OURS) == []


def test_a_topic_that_is_away_in_between() -> None:
    """What has another id when it is back was made anew."""
    ids = TopicIds()
    for before, after in ((NONE, FIRST), (FIRST, NONE), (NONE, SECOND)):
        assert ids.renewed(OURS) == []
        ids.heard(line("nova.info", before, after))
    assert ids.renewed(OURS) == [Partition("nova.info", 0), Partition("nova.info", 1)]
