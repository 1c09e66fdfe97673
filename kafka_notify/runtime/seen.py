# SPDX-License-Identifier: Apache-2.0
"""Which notifications a listener has handled, by message_id: the newest ones."""

from __future__ import annotations

from kafka_notify.native import threading


class Seen:
    """Remember ``size`` ids; the oldest goes first. Threads: any."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._fresh()

    def _fresh(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[str, None] = {}

    def after_fork_in_child(self) -> None:
        """Begin anew."""
        self._fresh()

    def has(self, message_id: str | None) -> bool:
        """Tell whether a notification of this id was handled."""
        return message_id in self._ids

    def add(self, message_id: str | None) -> None:
        """Remember an id."""
        if message_id is None:
            return
        with self._lock:
            self._ids[message_id] = None
            if len(self._ids) > self._size:
                del self._ids[next(iter(self._ids))]
