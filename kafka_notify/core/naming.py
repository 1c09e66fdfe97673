# SPDX-License-Identifier: Apache-2.0
"""The one place that names topics and consumer groups; sender and listener both call it.

Topic: ``topic.priority``, plus ``.vhost`` when the transport URL has one: the string that
oslo.messaging's Kafka driver makes on its sender's side. Joined by dots it is not one to one
(``a.b`` + ``c`` is ``a`` + ``b.c``), so a vhost with a dot is refused. The exchange takes no part.
"""

from __future__ import annotations

import re

from kafka_notify.core.message import PRIORITIES
from kafka_notify.errors import ConfigurationError, InvalidName, InvalidTarget

MAX_NAME_LENGTH = 249
"""Kafka's limit on a topic's name (org.apache.kafka.common.internals.Topic)."""

SHARE_SUFFIX = ".share"

_ILLEGAL = re.compile(r"[^a-zA-Z0-9._-]")


def _refuse_illegal(part: str, *, what: str) -> None:
    bad = _ILLEGAL.search(part)
    if bad:
        raise InvalidName(
            f"{what} {part!r}: the character {bad.group()!r} at position {bad.start() + 1} is "
            "illegal in a Kafka topic's name; only a-z, A-Z, 0-9, '.', '_' and '-' are legal"
        )


DEAD_LETTERS = "dlq"
"""What a topic's dead-letter topic has behind its name."""


def dead_letter_topic(kafka_topic: str) -> str:
    """Return the topic for the dead letters of a Kafka topic; raise InvalidName if too long."""
    name = f"{kafka_topic}.{DEAD_LETTERS}"
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidName(
            f"topic {kafka_topic[:40]}…: its dead-letter topic would have {len(name)} characters, "
            f"Kafka allows {MAX_NAME_LENGTH}; shorten it, or set dead_letter=false"
        )
    return name


def check_vhost(vhost: str) -> str:
    """Return ``vhost`` if topics can carry it ('' stands for none), else raise InvalidName."""
    if not vhost:
        return ""
    _refuse_illegal(vhost, what="virtual host")
    if vhost == DEAD_LETTERS:
        raise InvalidName(
            f"virtual host {vhost!r}: its topics would be those of dead letters; take another name"
        )
    if "." in vhost:
        raise InvalidName(
            f"virtual host {vhost!r}: a dot would make its topics' names ambiguous; use '-' or '_'"
        )
    return vhost


def check_priority(priority: str) -> str:
    """Return the lower-case priority, or raise ConfigurationError naming the known ones."""
    lowered = priority.lower()
    if lowered not in PRIORITIES:
        raise ConfigurationError(
            f"priority {priority!r} is unknown; known are {', '.join(PRIORITIES)}"
        )
    return lowered


def add_vhost(topic: str, vhost: str) -> str:
    """Return the Kafka topic for a name that ends with its priority already.

    Raises InvalidName, with the offending part named, for what Kafka would refuse.
    """
    _refuse_illegal(topic, what="topic")
    name = f"{topic}.{check_vhost(vhost)}" if vhost else topic
    if name in ("", ".", ".."):
        raise InvalidName(f"topic {name!r}: Kafka reserves this name")
    if len(name) > MAX_NAME_LENGTH:
        longest = max((topic, "topic"), (vhost, "virtual host"), key=lambda part: len(part[0]))
        raise InvalidName(
            f"topic name {name[:40]}…: {len(name)} characters, Kafka allows {MAX_NAME_LENGTH}; "
            f"shorten the {longest[1]} ({len(longest[0])} characters)"
        )
    return name


def topic_name(topic: str | None, priority: str, vhost: str = "") -> str:
    """Return the Kafka topic of a target's topic, a priority and the URL's vhost.

    Raises InvalidTarget without a topic, ConfigurationError for an unknown priority, InvalidName
    for what Kafka would refuse.
    """
    if not topic:
        raise InvalidTarget(
            "a target needs a topic to send to or to listen on, for example "
            "Target(topic='notifications')"
        )
    return add_vhost(f"{topic}.{check_priority(priority)}", vhost)


def group_name(pool: str | None, default_group: str) -> str:
    """Return the consumer group of a listener: its pool, else the default group.

    Kafka takes almost any group id; refused here are the empty one and control characters,
    which no tool could show or type.
    """
    name = pool or default_group
    what = "pool" if pool else "consumer_group"
    if not name:
        raise InvalidName(
            "consumer_group is empty: Kafka needs a group id; give the listener a pool"
        )
    bad = next((char for char in name if not char.isprintable()), None)
    if bad is not None:
        raise InvalidName(
            f"{what} {name!r}: the character {bad!r} cannot be part of a group's name"
        )
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidName(
            f"{what} {name[:40]}…: {len(name)} characters, {MAX_NAME_LENGTH} at most"
        )
    return name


def share_group_name(group: str) -> str:
    """Return the share group that stands beside a consumer group: ``<group>.share``.

    An id that was ever used by a consumer group can never be that of a share group, nor the other
    way round, so each pool has a name for either. Raises InvalidName when that is too long.
    """
    name = group + SHARE_SUFFIX
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidName(
            f"pool {group[:40]}…: {len(group)} characters, with commit_policy=share "
            f"{MAX_NAME_LENGTH - len(SHARE_SUFFIX)} at most ({SHARE_SUFFIX!r} is added)"
        )
    return name
