# SPDX-License-Identifier: Apache-2.0
"""Which payloads need not be read: those of notifications that no endpoint's filter lets through.

Of the text of a notification of 2 kB all but the payload takes 1.7 us, all at once 5.3, and one
after the other 6.9. Compiled code reads all of such a record in less: see ``envelope.decode``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from kafka_notify.core.filters import NotificationFilter
from kafka_notify.core.wire import Read, Whole, read_payload, read_unread, read_whole

UNREAD = object()
"""The payload of a notification that nobody wants."""


_MOST = (
    0.7  # of all notifications: if more than these are wanted, it is quicker to read all of each
)
_MEMORY = 64  # notifications, over which the share is taken


class Screening:
    """A ``wire.Read`` that leaves payloads UNREAD. Threads: any.

    Get it from ``reader_for``.
    """

    def __init__(self, screens: Mapping[str, Sequence[NotificationFilter]]) -> None:
        self._screens = screens
        self._wanted = 0.0  # share; threads may lose a change of one another, which does no harm

    def __call__(self, text: str | bytes) -> Whole:
        """Read a notification; raise as ``wire.read_whole`` does."""
        read = read_whole if self._wanted > _MOST else read_unread
        found: Whole = read(text)
        is_wanted = self._is_wanted(found)
        self._wanted += (is_wanted - self._wanted) / _MEMORY
        if not is_wanted:
            found.payload = UNREAD
        elif read is read_unread:
            found.payload = read_payload(found.payload)
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
