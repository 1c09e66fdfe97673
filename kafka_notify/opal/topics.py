# SPDX-License-Identifier: Apache-2.0
"""OPAL's topics and their hierarchy: an update to ``a/b/c`` concerns ``a`` and ``a/b``, too."""

from __future__ import annotations

from collections.abc import Iterable

ALL_TOPICS = "__EventNotifier_ALL_TOPICS__"
"""What a client of fastapi_websocket_pubsub subscribes to that wants everything."""


def with_parents(topic: str) -> list[str]:
    """Return a topic and those above it, from the top down, as OPAL's server spells them.

    What is before the last ':' is a prefix of each: ``p:a/b`` gives ``p:a`` and ``p:a/b``. An
    empty one is left out, as there.
    """
    prefix, _, path = topic.rpartition(":")
    beginning = f"{prefix}:" if prefix else ""
    parts = path.split("/")
    return [f"{beginning}{'/'.join(parts[:length])}" for length in range(1, len(parts) + 1)]


def expand(topics: Iterable[str]) -> list[str]:
    """Return topics and all above them, each once, in order."""
    return list(dict.fromkeys(each for topic in topics for each in with_parents(topic)))
