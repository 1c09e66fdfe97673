# SPDX-License-Identifier: Apache-2.0
"""What happens at a fork, and in which order: waits, then locks; in the child, what it forgets.

A Kafka client is dead in the child, and closing it there would close the parent's connections or
wait for ever (librdkafka's INTRODUCTION.md, "Threads and fork"). Whoever owns one registers here.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import NamedTuple, Protocol

from kafka_notify.native import threading


class Forkable(Protocol):
    """Something that owns clients or locks."""

    def after_fork_in_child(self) -> None:
        """Abandon the clients and make new locks; must not block or raise."""


class _Hold(NamedTuple):
    """What keeps other threads from a place while this one forks."""

    take: Callable[[], object]
    let_go: Callable[[], object]
    in_child: Callable[[], object]


# Process-wide on purpose: os.register_at_fork cannot be undone, so one hook serves all owners.
_owners: weakref.WeakSet[Forkable] = weakref.WeakSet()
_waits: list[Callable[[], object]] = []
_forking = threading.Lock()  # of two threads that fork, one at a time gets to the holds
_holds = [_Hold(_forking.acquire, _forking.release, _forking.release)]
_held: list[_Hold] = []


def register(owner: Forkable) -> None:
    """Have ``owner.after_fork_in_child()`` called in each child of fork, as long as it lives."""
    _owners.add(owner)


def register_wait(wait: Callable[[], object]) -> None:
    """Have ``wait()`` called before each fork while no lock is held yet; it must be bounded."""
    _waits.append(wait)


def register_hold(
    take: Callable[[], object],
    let_go: Callable[[], object],
    *,
    in_child: Callable[[], object] | None = None,
) -> None:
    """Have ``take()`` called right before each fork, ``let_go()`` after it on both sides.

    ``in_child`` is called in the child instead.
    """
    _holds.append(_Hold(take, let_go, in_child or let_go))


def _before() -> None:
    try:
        for wait in _waits:
            wait()
    finally:  # a signal's handler may raise in a wait
        for hold in _holds:
            hold.take()
            _held.append(hold)


def _no_longer_held() -> list[_Hold]:
    """Return what this thread holds, the last first; the next one to fork begins with none."""
    held = _held[::-1]
    _held.clear()
    return held


def _in_parent() -> None:
    for hold in _no_longer_held():
        hold.let_go()


def _in_child() -> None:
    for hold in _no_longer_held():
        hold.in_child()
    for owner in list(_owners):
        owner.after_fork_in_child()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
