# SPDX-License-Identifier: Apache-2.0
"""The numbers that a transport keeps of its work."""

from __future__ import annotations

import itertools
import operator
import sys
from collections.abc import Callable

from kafka_notify.core import events
from kafka_notify.native import threading

_get_ident = threading.get_ident

NAMES = (
    "sent",
    "confirmed",
    "failed",
    "received",
    "dispatched",
    "undecodable",
    "endpoint_errors",
    "requeued",
    "dead_lettered",
    "dead_letters_failed",
    "duplicates",
    "evictions",
    "may_be_lost",
    "may_come_again",
    "spooled",
    "replayed",
    "resent",
    "outbox_records",
)
"""sent: handed to the client · confirmed, failed: by delivery report · received: taken for
dispatch · dispatched: through their endpoints · undecodable: no notification · endpoint_errors:
raised · requeued: parked to come again · dead_lettered, dead_letters_failed: written to a
dead-letter topic, or not yet · duplicates: skipped, since their message_id had come before ·
evictions: how often a group took a listener for dead · may_be_lost: committed, and dispatched by
nobody, unless an endpoint still ends or the commit without an answer was not stored ·
may_come_again: may be dispatched twice, by after_dispatch or share · spooled: stored in the
outbox · replayed: delivered from it · resent: given to a new client, having been with one before ·
outbox_records: how many wait in it now, the adopted ones included."""


_ONE_BY_ONE = ("sent", "dispatched")


class Counters:
    """Counts that any thread may add to.

    Each thread has counts of its own, so that none waits for another's lock: a hundred of them
    that count each notification did. What a thread has counted stays when it ends, and goes on
    with the next one that is given its ident. What is sent, and dispatched, one by one is counted
    by a call in C, which takes a fifth of the time and lets no other thread in.

    Attributes:
        count_sent: Does what ``add("sent")`` does.
        count_dispatched: Does what ``add("dispatched")`` does.
    """

    count_sent: Callable[[], object]
    count_dispatched: Callable[[], object]

    def __init__(self) -> None:
        self._fresh()

    def _fresh(self) -> None:
        self._counts: dict[int, dict[str, int]] = {}  # by thread
        # Each tells how many are left.
        self._left = {name: itertools.repeat(None, sys.maxsize) for name in _ONE_BY_ONE}
        self.count_sent, self.count_dispatched = (left.__next__ for left in self._left.values())

    def after_fork_in_child(self) -> None:
        """Begin anew: the counts are the parent's."""
        self._fresh()

    def add(self, name: str, number: int = 1) -> None:
        """Add to one count."""
        ident = _get_ident()
        counts = self._counts.get(ident)
        if counts is None:
            counts = self._counts[ident] = dict.fromkeys(NAMES, 0)
        counts[name] += number

    def heard(self, event: events.Event) -> None:
        """Count what puts a notification in doubt."""
        match event:
            case events.PartitionsLost():
                self.add("evictions")
            case events.LeftBehind() | events.CommitAbandoned(unknown=True):
                self.add("may_be_lost", event.records)
            case events.ComesAgain():
                self.add("may_come_again", event.records)

    def snapshot(self) -> dict[str, int]:
        """Return all counts, as of some moment during the call."""
        found = list(self._counts.values())
        total = {name: sum([counts[name] for counts in found]) for name in NAMES}
        for name, left in self._left.items():
            total[name] += sys.maxsize - operator.length_hint(left)
        return total
