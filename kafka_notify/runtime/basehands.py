# SPDX-License-Identifier: Apache-2.0
"""What all hands of a listener have in common (see ``Hands``): an account, and who keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Partition
from kafka_notify.native import threading
from kafka_notify.runtime.inhand import InHand
from kafka_notify.runtime.redelivery import Redelivery
from kafka_notify.runtime.stuck import Stuck


class BaseHands:
    """Answer what is asked about the account of what is in hand. Threads: any."""

    def __init__(self, *, discards: bool, stuck: Stuck | None) -> None:
        """``discards`` tells that what has not begun may be dropped: it is not committed yet."""
        self._stuck = stuck
        self.account = InHand(discards=discards)
        self.on_finished: Callable[[Unit], None] | None = None
        self.redelivery: Redelivery | None = None

    def __repr__(self) -> str:
        """Tell how much is in hand."""
        return f"<{type(self).__name__} {self.account.total} records in hand>"

    def after_fork_in_child(self) -> None:
        """Have locks that no thread of the parent holds, and forget what is the parent's."""
        self.account.after_fork_in_child()
        if self.redelivery is not None:
            self.redelivery.after_fork_in_child()

    @property
    def in_hand(self) -> int:
        """How many records were handed over and are not finished yet, the parked ones included."""
        return self.account.total

    @property
    def busy(self) -> int:
        """How many of them take room; see ``InHand.busy``."""
        return self.account.busy

    def wait_for_room(self, room: Callable[[], int], timeout_s: float) -> bool:
        """Wait until there is ``room``; tell whether that is so."""
        return self.account.wait_for_room(room, timeout_s)

    def drain(self, partitions: Iterable[Partition] | None, timeout_s: float) -> int:
        """Wait until no record of these partitions (None: any) is in hand; return those left."""
        if self.redelivery is not None:
            self.redelivery.hurry(partitions)
        return self.account.drain(partitions, timeout_s)

    def discard(self, partitions: Iterable[Partition] | None) -> int:
        """Drop what has not begun; see ``Hands``."""
        dropped = self.account.discard(partitions)
        if dropped and self.redelivery is not None:
            self.redelivery.drop_discarded()
        return dropped

    @property
    def patience_s(self) -> float:
        """For ever: nothing that may run waits for the intake."""
        return float("inf")

    def spread(self) -> None:
        """Do nothing."""

    def problems(self) -> list[str]:
        """Return what is stuck, in words."""
        return self._stuck.problems() if self._stuck is not None else []

    def tell_stuck(self) -> None:
        """Report the endpoints that take too long."""
        if self._stuck is not None:
            self._stuck.tell()

    def is_mine(self, thread: threading.Thread) -> bool:
        """Tell whether ``thread`` is one that these hands have made, or borrowed."""
        return False

    def close(self, timeout_s: float) -> None:
        """End the thread that looks after what is parked, and its producer. Idempotent."""
        if self.redelivery is not None:
            self.redelivery.close(timeout_s)
