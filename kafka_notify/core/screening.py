# SPDX-License-Identifier: Apache-2.0
"""Which payloads need not be read: those of notifications that no endpoint's filter lets through.

A payload is most of a notification, and reading it most of what a listener does for one that
nobody wants: 4 of 5 microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from kafka_notify.core.filters import NotificationFilter
from kafka_notify.core.wire import Read, Whole, read_payload, read_unread, read_whole

UNREAD = object()
"""The payload of a notification that nobody wants."""


class Screening:
    """A ``wire.Read`` that leaves payloads UNREAD. Threads: any.

    Get it from ``reader_for``.
    """

    def __init__(self, screens: Mapping[str, Sequence[NotificationFilter]]) -> None:
        self._screens = screens

    def __call__(self, text: str | bytes) -> Whole:
        """Read a notification; raise as ``wire.read_whole`` does."""
        found: Whole = read_unread(text)
        found.payload = read_payload(found.payload) if self._is_wanted(found) else UNREAD
        return found

    def _is_wanted(self, found: Whole) -> bool:
        metadata = {"message_id": found.message_id, "timestamp": found.timestamp}
        for screen in self._screens.get(found.priority.lower(), ()):
            if screen.match(found.context, found.publisher_id, found.event_type, metadata, None):
                return True
        return False


def reader_for(screens: Mapping[str, Sequence[Any]]) -> Read:
    """Return what reads for endpoints with these filters, by priority; None is one without.

    As long as one endpoint has none, looks at payloads, or has a filter of the user's own, which
    may, every payload is read.
    """
    for screen in chain(*screens.values()):
        if type(screen) is not NotificationFilter or screen.needs_payload:
            return read_whole
    return Screening(screens)
