# SPDX-License-Identifier: Apache-2.0
"""An endpoint that keeps what it is called with, and waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from kafka_notify.core.filters import NotificationFilter

CALLS_S = 60.0


class Call(NamedTuple):
    """One call of an endpoint."""

    priority: str
    ctxt: Any
    publisher_id: str | None
    event_type: str | None
    payload: Any
    metadata: dict[str, Any]


class Recorder:
    """An endpoint with a method for each priority given; ``on_call`` runs in each call, first."""

    def __init__(
        self,
        *priorities: str,
        on_call: Callable[[Any], object] | None = None,
        screen: NotificationFilter | None = None,
    ) -> None:
        self._on_call = on_call
        self._changed = threading.Condition()
        self._calls: list[Call] = []
        self._seen: set[str] = set()  # of the payloads: many are waited for at every call
        self.filter_rule = screen
        for priority in priorities or ("info",):
            setattr(self, priority, partial(self._record, priority))

    def _record(self, priority: str, *arguments: Any) -> None:
        call = Call(priority, *arguments)
        if self._on_call is not None:
            self._on_call(call.payload)
        with self._changed:
            self._calls.append(call)
            self._seen.add(repr(call.payload))
            self._changed.notify_all()

    @property
    def calls(self) -> list[Call]:
        """All calls so far, in the order of their ends."""
        with self._changed:
            return list(self._calls)

    @property
    def payloads(self) -> list[Any]:
        """The payload of each call so far."""
        return [call.payload for call in self.calls]

    @property
    def ids(self) -> list[str]:
        """The message_id of each call so far."""
        return [call.metadata["message_id"] for call in self.calls]

    def wait(self, count: int, timeout_s: float = CALLS_S) -> list[Call]:
        """Return the calls once there are so many; fail after the time."""
        with self._changed:
            there = self._changed.wait_for(lambda: len(self._calls) >= count, timeout_s)
            assert there, f"{len(self._calls)} of {count} calls after {timeout_s:g} s"
            return list(self._calls)

    def wait_for(self, payloads: Sequence[Any], timeout_s: float = CALLS_S) -> None:
        """Return once each of these payloads was in a call."""
        with self._changed:
            there = self._changed.wait_for(lambda: not self._missing(payloads), timeout_s)
            assert there, f"not within {timeout_s:g} s: {self._missing(payloads)[:20]}"

    def _missing(self, payloads: Sequence[Any]) -> list[Any]:
        return [payload for payload in payloads if repr(payload) not in self._seen]


class BatchRecorder:
    """An endpoint of a batch listener for priority info; keeps the payloads of each batch."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.batches: list[list[Any]] = []

    def info(self, messages: list[dict[str, Any]]) -> None:
        """Keep one batch."""
        with self._changed:
            self.batches.append([message["payload"] for message in messages])
            self._changed.notify_all()

    def wait(self, notifications: int, timeout_s: float = CALLS_S) -> list[list[Any]]:
        """Return the batches once they hold so many notifications."""
        with self._changed:
            there = self._changed.wait_for(
                lambda: sum(map(len, self.batches)) >= notifications, timeout_s
            )
            assert there, f"{self.batches} after {timeout_s:g} s"
            return list(self.batches)
