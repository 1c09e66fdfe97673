# SPDX-License-Identifier: Apache-2.0
"""The numbers that a transport keeps of its work."""

from __future__ import annotations

from kafka_notify.core import events
from kafka_notify.native import threading

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


class Counters:
    """Counts that any thread may add to."""

    def __init__(self) -> None:
        self._fresh()

    def _fresh(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(NAMES, 0)

    def after_fork_in_child(self) -> None:
        """Begin anew: the counts are the parent's, and one of its threads may hold the lock."""
        self._fresh()

    def add(self, name: str, number: int = 1) -> None:
        """Add to one count."""
        with self._lock:
            self._counts[name] += number

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
        """Return all counts as of one moment."""
        with self._lock:
            return dict(self._counts)
