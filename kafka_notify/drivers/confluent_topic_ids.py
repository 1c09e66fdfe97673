# SPDX-License-Identifier: Apache-2.0
"""Topics that were deleted and made anew under the same name, while a member was reading them.

Each topic has an id (KIP-516). librdkafka sees that a name has another id by now, and reads on at
the offset that it had in the topic of before: what the new one has below is skipped
(https://github.com/confluentinc/librdkafka/issues/3255). Its only word of it is a line of its log,
which comes in order: after the last record of the old topic, before the first one of the new.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from kafka_notify.core.message import Partition

DEBUG_CONTEXT = "topic"
"""What librdkafka's key ``debug`` has to hold, so that the line is written."""

_CHANGED = re.compile(r"Topic (?P<topic>\S+) changed id from (?P<before>\S+) to (?P<after>\S+)$")
_NONE = frozenset("A=")  # of which the text of no id is made


class TopicIds:
    """Takes a consumer's log lines. Threads: the one that polls the client."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._renewed: set[str] = set()

    def heard(self, text: str) -> None:
        """Take one line of the client's log."""
        found = _CHANGED.search(text)
        # A broker that does not know the topic, or not yet, answers without an id.
        if found is None or _is_none(found["after"]):
            return
        topic, before, after = found.groups()
        known = self._known.get(topic, before)
        self._known[topic] = after
        if not _is_none(known) and known != after:
            self._renewed.add(topic)

    def renewed(self, partitions: Collection[Partition]) -> list[Partition]:
        """Return those of these partitions whose topic was made anew since ``forget``."""
        if not self._renewed:
            return []
        return sorted(one for one in partitions if one.topic in self._renewed)

    def forget(self) -> None:
        """Begin anew: all that was told has been heeded."""
        self._renewed.clear()


def _is_none(topic_id: str) -> bool:
    return _NONE.issuperset(topic_id)
