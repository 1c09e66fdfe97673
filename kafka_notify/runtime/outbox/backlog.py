# SPDX-License-Identifier: Apache-2.0
"""One file of the outbox in this process's hands: what is stored, what was read, what is done.

A damaged file is put aside and what can be read of it goes into another, without anybody above
having to know.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from kafka_notify.core.events import Monitor, OutboxSalvaged
from kafka_notify.errors import OutboxError, OutboxFull
from kafka_notify.native import threading
from kafka_notify.runtime.outbox.folder import CORRUPT, Claim, Folder
from kafka_notify.runtime.outbox.rows import Row
from kafka_notify.runtime.outbox.salvage import salvage
from kafka_notify.runtime.outbox.store import SIDECARS, Store, StoreCorrupt, was_inherited
from kafka_notify.runtime.outgoing import Outgoing

T = TypeVar("T")


class Backlog:
    """A file with rows that wait for Kafka.

    ``put`` and ``count`` are for any thread, everything else for the one that sends. All raise
    OutboxError, or OutboxFull with nothing stored.
    """

    def __init__(
        self,
        folder: Folder,
        claim: Claim,
        *,
        max_bytes: int,
        numbers: Iterator[int],
        monitor: Monitor,
    ) -> None:
        """``numbers`` gives each record that is put its place in the order of sending."""
        self._folder = folder
        self._claim = claim
        self._max_bytes = max_bytes
        self._numbers = numbers
        self._monitor = monitor
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._done: set[int] = set()
        self._read = 0
        self._with_store(lambda store: store.count)

    @property
    def path(self) -> Path:
        """Its file."""
        return self._claim.path

    @property
    def count(self) -> int:
        """How many records wait in it, those on their way included."""
        store = self._store
        return store.count - len(self._done) if store is not None else 0

    # --- what comes in

    def put(self, record: Outgoing) -> None:
        """Return when the record is stored, as the last one."""
        # The number is taken inside: the order of storing is that of the numbers.
        self._with_store(lambda store: store.add([Row(next(self._numbers), record)]))

    def keep(self, rows: Sequence[Row]) -> None:
        """Store records that have their numbers already, and are on their way already."""
        self._with_store(lambda store: store.add(rows))

    # --- what goes out

    def has_unread(self, beyond: int, near: int = 0) -> bool:
        """Tell whether there is something that ``read`` has not returned, beyond a number.

        ``near`` tells to overlook so many numbers.
        """
        store = self._store
        return store is not None and store.last > max(self._read, beyond) + near

    def read(self, beyond: int, *, limit: int, max_bytes: int) -> list[Row]:
        """Return the next rows in their order, none if all beyond this number were returned."""
        after = max(self._read, beyond)

        def read(store: Store) -> tuple[list[Row], int]:
            found = store.read(after, limit=limit, max_bytes=max_bytes)
            return found, found[-1].seq if found else max(after, store.last)

        rows, self._read = self._with_store(read)
        return rows

    def done(self, seq: int) -> None:
        """Note that a row is delivered, or refused for good; ``settle`` deletes it."""
        self._done.add(seq)

    def settle(self) -> None:
        """Delete the rows that are done. While the disk is full they wait, or all go at once."""
        done = self._done
        if not done:
            return
        try:
            self._with_store(lambda store: store.remove(done))
        except OutboxFull:
            if not self._with_store(lambda store: store.empty(if_no_more_than=len(done))):
                raise
        self._done = set()

    # --- the end

    def close(self) -> int:
        """Let go of the file, which goes if it is empty; return how many records it keeps."""
        with suppress(OutboxError):  # then some may be sent a second time
            self.settle()
        with self._lock:
            left = self._store.close() if self._store is not None else 0
            self._claim.let_go()
        return left

    def abandon(self) -> None:
        """Forget the file in a child of fork: it is the parent's."""
        if self._store is not None:
            self._store.abandon()
        self._claim.abandon()

    # --- damage

    def _with_store(self, use: Callable[[Store], T]) -> T:
        """Use the store; if it turns out to be damaged, use what could be saved of it."""
        event = None
        with self._lock:
            try:
                if self._store is None:
                    self._store = Store(self.path, max_bytes=self._most())
                result = use(self._store)
            except StoreCorrupt as error:
                event = self._save_what_is_left(error)
                result = use(self._store)  # type: ignore[arg-type]
        if event is not None:
            self._monitor.emit(event)
        return result

    def _most(self) -> int:
        """Return what the file may take: one that is adopted was made under another bound."""
        with suppress(OSError):
            size = self.path.stat().st_size
            return max(self._max_bytes, size + size // 4)
        return self._max_bytes

    def _save_what_is_left(self, error: StoreCorrupt) -> OutboxSalvaged:
        old = self.path
        if self._store is not None:
            self._store.close(keep=True)
        claim = self._folder.beside(old)
        store = Store(claim.path, max_bytes=self._most())
        try:
            saved, lost = salvage(old, into=store)
            store.write_back()
        except BaseException:
            with suppress(OutboxError):
                store.empty(if_no_more_than=store.count)
            store.close()
            claim.let_go()
            raise
        # From here on the new file counts. Before, a crash would have left both: sent twice.
        aside = old.with_name(f"{old.name}{CORRUPT}")
        for end in ("", *SIDECARS):
            with suppress(FileNotFoundError):
                os.rename(f"{old}{end}", f"{aside}{end}")
        self._claim.let_go()
        self._claim, self._store = claim, store
        return OutboxSalvaged(
            path=str(store.path), aside=str(aside), saved=saved, lost=lost, error=error
        )


def adoptable(folder: Folder, claim: Claim) -> Claim:
    """Return a claim on the same rows that this process can open; raise OutboxError.

    sqlite3 takes a file that was open at a fork for open still, in the child: that gets a copy.
    """
    if not was_inherited(claim.path):
        return claim
    copy = folder.beside(claim.path)
    try:
        for end in ("-wal", ""):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{claim.path}{end}", f"{copy.path}{end}")
    except OSError as error:
        _unlink(copy.path)
        copy.let_go()
        raise OutboxError(f"outbox {claim.path}: it cannot be copied: {error}") from error
    _unlink(claim.path)
    claim.let_go()
    return copy


def _unlink(path: Path) -> None:
    for end in ("", "-wal"):
        with suppress(OSError):
            os.unlink(f"{path}{end}")
