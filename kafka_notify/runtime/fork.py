# SPDX-License-Identifier: Apache-2.0
"""What a child of fork must forget: clients whose threads stayed in the parent, and locks.

A Kafka client is dead in the child, and closing it there would close the parent's connections or
wait for ever (librdkafka's INTRODUCTION.md, "Threads and fork"). Whoever owns one registers here.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that owns clients or locks."""

    def after_fork_in_child(self) -> None:
        """Abandon the clients and make new locks; must not block or raise."""


# Process-wide on purpose: os.register_at_fork cannot be undone, so one hook serves all owners.
_owners: weakref.WeakSet[Forkable] = weakref.WeakSet()


def register(owner: Forkable) -> None:
    """Have ``owner.after_fork_in_child()`` called in each child of fork, as long as it lives."""
    _owners.add(owner)


def _in_child() -> None:
    for owner in list(_owners):
        owner.after_fork_in_child()


os.register_at_fork(after_in_child=_in_child)
