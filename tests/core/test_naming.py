# SPDX-License-Identifier: Apache-2.0
"""Names of topics and groups: legal for Kafka, one to one within a vhost, faults named."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_notify.core.message import PRIORITIES
from kafka_notify.core.naming import (
    MAX_NAME_LENGTH,
    add_vhost,
    check_priority,
    check_vhost,
    group_name,
    share_group_name,
    topic_name,
)
from kafka_notify.errors import ConfigurationError, InvalidName, InvalidTarget

LEGAL = re.compile(r"[a-zA-Z0-9._-]{1,249}")

names = st.from_regex(r"[a-zA-Z0-9._-]{1,40}", fullmatch=True)
vhosts = st.just("") | st.from_regex(r"[a-zA-Z0-9_-]{1,40}", fullmatch=True)
priorities = st.sampled_from(PRIORITIES)


@given(names, priorities, vhosts)
def test_topic_is_upstreams_string(topic: str, priority: str, vhost: str) -> None:
    """A topic is named as oslo.messaging's sender names it: topic.priority[.vhost]."""
    expected = f"{topic}.{priority}.{vhost}" if vhost else f"{topic}.{priority}"

    assert topic_name(topic, priority, vhost) == expected


@given(names, priorities, vhosts)
def test_priority_in_any_case(topic: str, priority: str, vhost: str) -> None:
    """Senders write priorities in capitals, listeners in small letters; the topic is the same."""
    assert topic_name(topic, priority.upper(), vhost) == topic_name(topic, priority, vhost)


@given(st.tuples(names, priorities), st.tuples(names, priorities), vhosts)
def test_one_to_one_within_a_vhost(
    one: tuple[str, str], other: tuple[str, str], vhost: str
) -> None:
    """Two targets of one vhost never share a topic."""
    assert (one == other) == (topic_name(*one, vhost) == topic_name(*other, vhost))


@given(st.text(max_size=260), priorities, st.text(max_size=10))
def test_legal_or_refused(topic: str, priority: str, vhost: str) -> None:
    """Whatever is asked for, the name is one that Kafka takes, or there is an error."""
    try:
        name = topic_name(topic, priority, vhost)
    except ConfigurationError:
        return

    assert LEGAL.fullmatch(name)


@given(st.text(max_size=10))
def test_add_vhost_is_legal_or_refused(topic: str) -> None:
    """The same holds for names that are complete already."""
    try:
        name = add_vhost(topic, "")
    except InvalidName:
        return

    assert LEGAL.fullmatch(name)
    assert name not in (".", "..")


@pytest.mark.parametrize(
    ("topic", "vhost", "named"),
    [
        ("no tifications", "", ["topic 'no tifications", "' '", "position 3"]),
        ("notificationé", "", ["topic", "'é'", "position 13"]),
        ("notifications", "my/vhost", ["virtual host 'my/vhost'", "'/'", "position 3"]),
        ("notifications", "my.vhost", ["virtual host 'my.vhost'", "dot"]),
        ("n" * 250, "v", ["255", "249", "shorten the topic"]),
        ("n", "v" * 250, ["249", "shorten the virtual host", "(250 characters)"]),
    ],
)
def test_the_offending_part_is_named(topic: str, vhost: str, named: list[str]) -> None:
    """The error says which part Kafka would refuse, and what is wrong with it."""
    with pytest.raises(InvalidName) as caught:
        topic_name(topic, "info", vhost)

    for part in named:
        assert part in str(caught.value)


def test_longest_name() -> None:
    """Kafka's limit itself is legal."""
    topic = "n" * (MAX_NAME_LENGTH - len(".info.v"))

    assert len(topic_name(topic, "info", "v")) == MAX_NAME_LENGTH


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_reserved_names(name: str) -> None:
    """Names that Kafka reserves are refused."""
    with pytest.raises(InvalidName):
        add_vhost(name, "")


@pytest.mark.parametrize("topic", [None, ""])
def test_topic_is_needed(topic: str | None) -> None:
    """A target without a topic is refused with an example."""
    with pytest.raises(InvalidTarget, match=r"Target\(topic='notifications'\)"):
        topic_name(topic, "info")


def test_unknown_priority() -> None:
    """An unknown priority is refused with those that are known."""
    with pytest.raises(ConfigurationError, match=r"'urgent'.*audit.*critical.*sample"):
        check_priority("urgent")


def test_no_vhost() -> None:
    """An empty virtual host stands for none."""
    assert check_vhost("") == ""


def test_group_is_the_pool_else_the_default() -> None:
    """The pool names the group; without one the default does."""
    assert group_name("pool", "group") == "pool"
    assert group_name(None, "group") == "group"
    assert group_name("", "group") == "group"


@pytest.mark.parametrize(
    ("pool", "default", "named"),
    [
        ("a\nb", "g", r"pool 'a\\nb': the character '\\n'"),
        (None, "a\0b", r"consumer_group 'a\\x00b'"),
        (None, "", "consumer_group is empty"),
        ("p" * 250, "g", "pool p+…: 250 characters, 249 at most"),
    ],
)
def test_illegal_groups(pool: str | None, default: str, named: str) -> None:
    """A group id that nobody could type is refused, with its source named."""
    with pytest.raises(InvalidName, match=named):
        group_name(pool, default)


def test_a_share_group_stands_beside_its_group() -> None:
    """An id that consumer groups have used can be no share group's."""
    assert share_group_name("pool") == "pool.share"
    assert len(share_group_name("p" * 243)) == MAX_NAME_LENGTH


def test_a_share_groups_name_can_be_too_long() -> None:
    """The error tells how long a pool's name may be."""
    with pytest.raises(InvalidName, match=r"244 characters.*243 at most"):
        share_group_name("p" * 244)
