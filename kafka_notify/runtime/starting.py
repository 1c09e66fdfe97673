# SPDX-License-Identifier: Apache-2.0
"""When start() of a listener may return: its thread tells how far it is, start() waits here."""

from __future__ import annotations

import time

from kafka_notify.core import events
from kafka_notify.errors import BrokerUnavailable
from kafka_notify.native import threading
from kafka_notify.runtime import coordinator
from kafka_notify.runtime.transport import NotificationTransport

FAILED_S = 1.0
"""What the thread of a start that has failed may take to end."""


class Starting:
    """One start. Threads: the listener's own tells; the one that starts it waits."""

    def __init__(self, transport: NotificationTransport, group: str) -> None:
        self._transport = transport
        self._group = group
        self._begun = threading.Event()
        self._may_go = threading.Event()
        self._joined = threading.Event()
        self._given_up = threading.Event()
        self._error: Exception | None = None
        self._problem: Exception | None = None
        self._lock = threading.Lock()
        self._over = False
        self._awaits_rest = True

    @property
    def is_on(self) -> bool:
        """Whether somebody waits."""
        return not self._over

    @property
    def may_fail(self) -> bool:
        """Whether an error may still end the listener, as somebody hears of it."""
        return not self._may_go.is_set()

    def needs_no_rest(self) -> None:
        """Tell that there is nothing to share out yet; before ``begun``."""
        self._awaits_rest = False

    def begun(self) -> None:
        """Tell that the group's start is committed, and the group about to be joined."""
        self._begun.set()

    def joined(self) -> None:
        """Tell that the new member was given what is free."""
        self._joined.set()
        self._may_go.set()

    def may_go(self) -> None:
        """Tell that nothing is missed if start() returns: nobody can move the group's start."""
        self._may_go.set()

    def heard(self, problem: Exception) -> None:
        """Take what the client says of its connections, for when nothing begins in time."""
        self._problem = problem

    def fail(self, error: Exception) -> bool:
        """Have start() raise this; tell whether somebody still waits to hear of it."""
        with self._lock:
            waited_for = not self._over
            self._error = error
        if waited_for:
            self.give_up()
        return waited_for

    def give_up(self) -> None:
        """Let start() go: the listener has ended, by an error or since somebody stopped it."""
        self._given_up.set()
        self._begun.set()
        self._may_go.set()

    def wait(self) -> None:
        """Return when the group is at rest with the new member in it; at most ``start_timeout``.

        Raises what ``fail`` was given; BrokerUnavailable when nothing had begun in time.
        """
        bound = self._transport.settings.start_timeout
        deadline = time.monotonic() + bound
        at_rest = self._begun.wait(bound) and self._is_at_rest(deadline)
        with self._lock:
            # From now on nobody waits here for an error, and the thread goes on after any.
            self._over = True
            error = self._error
        self._may_go.set()
        if error is not None:
            raise error
        if not self._begun.is_set():
            heard = f"; heard meanwhile: {self._problem}" if self._problem else ""
            raise BrokerUnavailable(
                f"Kafka at {self._transport.address}: the group {self._group!r} could not be "
                f"started within {bound:g} s (start_timeout){heard}"
            ) from self._problem
        if not at_rest and not self._given_up.is_set():
            self._transport.monitor.emit(events.StartSlow(group=self._group, waited_s=bound))

    def _is_at_rest(self, deadline: float) -> bool:
        """Wait until each member has what is its; where nobody can tell, until this one may go."""
        if self._awaits_rest:
            at_rest = coordinator.await_rest(
                self._transport.driver,
                self._group,
                joined=self._joined,
                given_up=self._given_up,
                deadline=deadline,
                on_problem=self._transport.report_problem,
            )
            if at_rest is False:
                return False
        return self._may_go.wait(max(0.0, deadline - time.monotonic()))
