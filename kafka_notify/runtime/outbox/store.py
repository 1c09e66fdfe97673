# SPDX-License-Identifier: Apache-2.0
"""One file of the outbox: rows on disk, in the order of sending. Only this process opens it.

sqlite3 in WAL mode with synchronous=NORMAL: what ``add`` has returned for survives the process,
however it ends. After a power failure the file is sound, and what was stored last may be missing.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path

from kafka_notify import fork
from kafka_notify.errors import OutboxError, OutboxFull
from kafka_notify.native import threading
from kafka_notify.runtime.outbox import rows
from kafka_notify.runtime.outbox.rows import Row

VERSION = 1
PAGE_BYTES = 8192
SIDECARS = ("-wal", "-shm", "-journal")
"""What sqlite3 may keep beside a file, under the file's name and this."""

_WAL_BYTES = 33_554_432  # beyond this it is written back into the file, which takes some 50 ms
_WAL_SHARE = 4  # of a small outbox, the WAL may be one in so many bytes
_SPARE_PAGES = 4  # which a row takes beside it
_LEAST_PAGES = 4
_SHRINK_BYTES = 16_777_216  # an empty file that was larger is made anew

_SETUP = (
    f"PRAGMA page_size={PAGE_BYTES}",
    # Before the WAL is touched: then there is no shared memory, and nobody else gets in.
    "PRAGMA locking_mode=EXCLUSIVE",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA wal_autocheckpoint=0",
)
_TABLE = (
    "CREATE TABLE records (seq INTEGER PRIMARY KEY, topic TEXT, message_id TEXT, headers BLOB, "
    "key BLOB, crc INTEGER, value BLOB)"
)
_INSERT = f"INSERT INTO records ({rows.COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_SELECT = f"SELECT {rows.COLUMNS} FROM records WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608


class StoreCorrupt(OutboxError):
    """Raised when a file, or a part of it, cannot be read as what was stored."""


class StoreBusy(OutboxError):
    """Raised when somebody else has the file open, such as a shell of sqlite3."""


class Store:
    """The rows of one file. Threads: any; a call waits for the one before it.

    Raises OutboxFull when ``max_bytes`` or the disk leave no room (nothing is stored then),
    StoreCorrupt, StoreBusy, or OutboxError for everything else that the disk may say.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self.count = 0
        self.last = 0
        with _opening, self._translating():
            self._open()
            _stores.add(self)

    def _open(self) -> None:
        # Private: what waits here may be anything that a notification holds.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        db = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            for statement in _SETUP:
                db.execute(statement).fetchall()
            self._wal_bytes = min(_WAL_BYTES, self._max_bytes // _WAL_SHARE)
            pages = (self._max_bytes - self._wal_bytes) // PAGE_BYTES - _SPARE_PAGES
            pages = max(_LEAST_PAGES, pages)
            db.execute(f"PRAGMA max_page_count={pages}").fetchall()
            db.execute(f"PRAGMA journal_size_limit={self._wal_bytes}").fetchall()
            if not db.execute("SELECT 1 FROM sqlite_master").fetchall():
                db.execute("BEGIN IMMEDIATE")
                db.execute(_TABLE)
                db.execute(f"PRAGMA user_version={VERSION}")
                db.execute("COMMIT")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                raise OutboxError(
                    f"outbox {self.path}: its format {version} is not {VERSION}, the one that "
                    "this release reads; let the release send it that wrote it"
                )
            self.count, last = db.execute("SELECT count(*), max(seq) FROM records").fetchone()
        except BaseException:
            db.close()
            raise
        self.last = last or 0
        self._wal = f"{self.path}-wal"
        self._db = db

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise OutboxError(f"outbox {self.path}: it is closed")
        return self._db

    # --- rows

    def add(self, new: Sequence[Row]) -> None:
        """Store all of these rows, or none.

        Blocks for one write to the disk's cache, and whenever 32 MB were written for the disk.
        """
        values = [rows.values(row) for row in new]
        with self._lock, self._translating():
            self._make_room()
            db = self._connection
            if len(values) == 1:
                db.execute(_INSERT, values[0])
            else:
                with _transaction(db):
                    db.executemany(_INSERT, values)
            self.count += len(new)
            self.last = max(self.last, *(row.seq for row in new))

    def read(self, after: int, *, limit: int, max_bytes: int) -> list[Row]:
        """Return rows beyond ``after`` in their order, at least one if there is one.

        At most ``limit`` of them, and no more once they have ``max_bytes``.
        """
        found: list[Row] = []
        size = 0
        with self._lock, self._translating():
            for columns in self._connection.execute(_SELECT, (after, limit)):
                row = rows.row(columns)
                if row is None:
                    raise StoreCorrupt(f"outbox {self.path}: row {columns[0]} is damaged")
                found.append(row)
                size += row.record.size
                if size >= max_bytes:
                    break
        return found

    def remove(self, seqs: Iterable[int]) -> None:
        """Delete rows; those that are not there are no error."""
        runs = _runs(sorted(seqs))
        with self._lock, self._translating():
            db = self._connection
            with _transaction(db):
                removed = sum(
                    db.execute("DELETE FROM records WHERE seq BETWEEN ? AND ?", run).rowcount
                    for run in runs
                )
            self.count -= removed
            self._make_room()
            (pages,) = db.execute("PRAGMA page_count").fetchone()
        if not self.count and pages * PAGE_BYTES > _SHRINK_BYTES:
            self.empty(if_no_more_than=0)

    def empty(self, *, if_no_more_than: int) -> bool:
        """Begin anew with an empty file if it has so few rows; tell whether it had.

        Takes no room: for rows that are done and cannot be deleted, since the disk is full.
        """
        with _opening, self._lock, self._translating():
            if self.count > if_no_more_than:
                return False
            _discard(self._connection)
            self._db = None
            self._unlink()
            self._open()
            return True

    def write_back(self) -> None:
        """Write what sqlite3 keeps beside the file back into it, and to the disk itself."""
        with self._lock, self._translating():
            self._write_back()

    def _make_room(self) -> None:
        """Do so now and then, so that the file beside it does not grow."""
        # It is cut to this size whenever it begins anew, and grows only when it is full.
        with suppress(FileNotFoundError):
            if os.stat(self._wal).st_size > self._wal_bytes:
                self._write_back()

    def _write_back(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    # --- the end

    def close(self, *, keep: bool = False) -> int:
        """Close the file, and delete it if it is empty and not to be kept. Return its rows.

        Idempotent. A call after it raises OutboxError.
        """
        with _opening, self._lock:
            db, self._db = self._db, None
            if db is None:
                return self.count
            if self.count or keep:
                with suppress(sqlite3.Error):  # a disk that is full; the WAL keeps what it has
                    db.close()
            else:
                _discard(db)
                self._unlink()
            return self.count

    def _unlink(self) -> None:
        for name in (str(self.path), *(f"{self.path}{end}" for end in SIDECARS)):
            with suppress(OSError):
                os.unlink(name)

    def abandon(self) -> None:
        """Forget the file in a child of fork: it is the parent's.

        Closing a connection of the parent's would write to the parent's file, so it is leaked.
        """
        db, self._db = self._db, None
        if db is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(db))
            with suppress(OSError):
                _inherited.add(_inode(self.path))

    # --- errors

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._meaning(error) from error

    def _meaning(self, error: sqlite3.Error | OSError) -> OutboxError:
        what = f"outbox {self.path}: {error}"
        if isinstance(error, OSError):
            return OutboxError(f"{what}; check the option spool_dir and the disk")
        # Python 3.10 gives no codes: there the class tells damage, the text what else matters.
        if type(error) is sqlite3.DatabaseError:
            return StoreCorrupt(what)
        text = str(error)
        if "full" in text:
            return OutboxFull(f"{what}; {self._why_full()}")
        if "locked" in text:
            return StoreBusy(what)
        return OutboxError(f"{what}; check the disk, and the permissions of its folder")

    def _why_full(self) -> str:
        free = "unknown"
        with suppress(OSError):
            disk = os.statvfs(self.path.parent)
            free = str(disk.f_bavail * disk.f_frsize)
        return (
            f"{self.count} notifications wait in it, {free} bytes of the disk are free, and it "
            f"may take {self._max_bytes} (outbox_max_bytes)"
        )


def _discard(db: sqlite3.Connection) -> None:
    """Close a file that goes, without waiting for the disk to have it."""
    for end in (lambda: db.execute("PRAGMA synchronous=OFF").fetchall(), db.close):
        with suppress(sqlite3.Error):
            end()


def was_inherited(path: Path) -> bool:
    """Tell whether a parent of this process had this file open when it forked."""
    with suppress(OSError):
        return bool(_inherited) and _inode(path) in _inherited
    return False


def _inode(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk has rolled it back already
            db.execute("ROLLBACK")
        raise


def _runs(seqs: Sequence[int]) -> list[tuple[int, int]]:
    """Return first and last of each run of numbers without a gap."""
    runs = []
    for _, group in groupby(enumerate(seqs), key=lambda pair: pair[1] - pair[0]):
        numbers = [seq for _, seq in group]
        runs.append((numbers[0], numbers[-1]))
    return runs


# --- fork: no thread may be inside sqlite3 meanwhile, or its locks stay held in the child for ever

_opening = threading.Lock()
_stores: weakref.WeakSet[Store] = weakref.WeakSet()
_held: list[threading.Lock] = []
_inherited: set[tuple[int, int]] = set()


def _hold() -> None:
    _opening.acquire()
    _held[:] = [_opening]
    for store in list(_stores):
        store._lock.acquire()
        _held.append(store._lock)


def _let_go() -> None:
    for lock in _held:
        lock.release()
    _held.clear()


fork.register_hold(_hold, _let_go)
