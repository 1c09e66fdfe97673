# SPDX-License-Identifier: Apache-2.0
"""The files of the outbox that this process has: its own, and those it has adopted."""

from __future__ import annotations

from collections.abc import Iterator

from kafka_notify.core.events import Monitor, OutboxAdopted, OutboxProblem
from kafka_notify.errors import ClosedError, OutboxError
from kafka_notify.native import threading, time
from kafka_notify.runtime.counters import Counters
from kafka_notify.runtime.outbox.backlog import Backlog, adoptable
from kafka_notify.runtime.outbox.folder import Claim, Folder
from kafka_notify.runtime.outbox.rows import Row

_SCAN_S = 30.0
_MOST_ADOPTED = 8  # at a time; the next come when these are done


class Files:
    """``own`` and ``count`` are for any thread, the rest for the pump's."""

    def __init__(
        self,
        folder: Folder,
        *,
        max_bytes: int,
        numbers: Iterator[int],
        monitor: Monitor,
        counters: Counters,
    ) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._numbers = numbers
        self._monitor = monitor
        self._counters = counters
        self._lock = threading.Lock()
        self._closed = False
        self._own: Backlog | None = None
        self._adopted: list[Backlog] = []
        self._next_scan_s = 0.0
        self.looked_at_all = False
        """Whether all that was abandoned at the last look is adopted; else more is to come."""
        self._told: set[str] = set()

    def own(self) -> Backlog:
        """Return the process's own file, a new one at first. Raises OutboxError, ClosedError."""
        own = self._own
        if own is not None:
            return own
        with self._lock:
            if self._closed:
                raise ClosedError("this transport is closed; get a new one")
            if self._own is None:
                self.folder.prepare()
                self._own = self._open(self.folder.new())
            return self._own

    def _open(self, claim: Claim) -> Backlog:
        try:
            return Backlog(
                self.folder,
                claim,
                max_bytes=self._max_bytes,
                numbers=self._numbers,
                monitor=self._monitor,
            )
        except BaseException:
            claim.let_go()
            raise

    def count(self) -> int:
        """Return how many records wait in all of them."""
        own = self._own
        count = own.count if own is not None else 0
        return count + sum(backlog.count for backlog in list(self._adopted))

    # --- what was abandoned

    def has_abandoned(self) -> bool:
        """Tell whether there is a file that could be adopted."""
        for claim in self.folder.abandoned():
            claim.let_go()
            return True
        return False

    def adopt(self) -> None:
        """Take over what was abandoned, now and then; the oldest first. Raises OutboxError."""
        now = time.monotonic()
        if now < self._next_scan_s or self._closed:
            return
        self._next_scan_s = now + _SCAN_S
        more = False
        try:
            for claim in self.folder.abandoned():
                more = len(self._adopted) >= _MOST_ADOPTED
                if more:
                    claim.let_go()
                    return
                self._try_to_take_over(claim)
        finally:
            self.looked_at_all = not more

    def _try_to_take_over(self, claim: Claim) -> None:
        try:
            self._take_over(claim)
        except OutboxError as error:
            if str(claim.path) not in self._told:
                self._told.add(str(claim.path))
                self._monitor.emit(OutboxProblem(error=error))

    def _take_over(self, claim: Claim) -> None:
        try:
            claim = adoptable(self.folder, claim)
        except OutboxError:
            claim.let_go()
            raise
        backlog = self._open(claim)
        count = backlog.count
        if not count:
            backlog.close()
            return
        self._adopted.append(backlog)
        self._counters.add("outbox_records", count)
        self._monitor.emit(OutboxAdopted(path=str(backlog.path), records=count))

    # --- what is next

    def next_unread(self, mark: int) -> Backlog | None:
        """Return the file to read on in, None if there is none now: adopted ones come first."""
        for backlog in self._adopted:
            if backlog.has_unread(0):
                return backlog
        own = self._own
        if own is None or not self.looked_at_all:
            return None
        return own if own.has_unread(mark) else None

    def nearly_read(self, mark: int, near: int) -> bool:
        """Tell whether nothing is unread, but for a little in the process's own file."""
        if not self.looked_at_all:
            return False
        backlog = self.next_unread(mark)
        return backlog is None or (backlog is self._own and not backlog.has_unread(mark, near))

    def read(self, backlog: Backlog, mark: int, *, limit: int, max_bytes: int) -> list[Row]:
        """Return the next rows of a file; of the own one those beyond ``mark``.

        Raises OutboxError; an adopted file is let go then, and looked at again a while later.
        """
        try:
            beyond = mark if backlog is self._own else 0
            return backlog.read(beyond, limit=limit, max_bytes=max_bytes)
        except OutboxError:
            if backlog in self._adopted:
                self._let_go(backlog)
            raise

    def settle(self) -> None:
        """Delete what is done, and the adopted files in which nothing is left."""
        if self._own is not None:
            self._own.settle()
        for backlog in list(self._adopted):
            backlog.settle()
            if not backlog.count:
                self._let_go(backlog)

    def _let_go(self, backlog: Backlog) -> None:
        self._adopted.remove(backlog)
        self._counters.add("outbox_records", -backlog.close())
        if len(self._adopted) == _MOST_ADOPTED - 1:
            self._next_scan_s = 0.0

    # --- the end

    def close(self) -> tuple[int, str]:
        """Let go of all; return how many records they keep, and where."""
        with self._lock:
            self._closed = True
        backlogs = [*self._adopted, *([self._own] if self._own is not None else [])]
        kept = {str(backlog.path): backlog.close() for backlog in backlogs}
        where = [path for path, count in kept.items() if count]
        return sum(kept.values()), where[0] if len(where) == 1 else str(self.folder.path)

    def abandon(self) -> None:
        """Forget the files in a child of fork: they are the parent's."""
        for backlog in (*self._adopted, *([self._own] if self._own is not None else [])):
            backlog.abandon()
