# SPDX-License-Identifier: Apache-2.0
"""Reading what is left of a damaged file of the outbox."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from kafka_notify.runtime.outbox import rows
from kafka_notify.runtime.outbox.rows import Row
from kafka_notify.runtime.outbox.store import PAGE_BYTES, Store

_CHUNK = 500
_LEAST_ROW_BYTES = 32
_MOST_PAGES = 1 << 24  # what is more was no number of pages
_MOST_MISSES = 1_000_000  # some ten seconds
_NO_LIMIT = -1
_SELECT = f"SELECT {rows.COLUMNS} FROM records WHERE seq >= ? ORDER BY seq LIMIT ?"  # noqa: S608


def salvage(path: Path, into: Store) -> tuple[int, int]:
    """Copy every row that can be read and is as it was stored, in order.

    Returns how many there were, and about how many more. Raises OutboxError when ``into`` takes
    them not; what is at ``path`` may be repaired a little meanwhile.
    """
    into.write_back()
    file_bytes = _size(path)
    _repair_header(path, like=into.path)
    saved = lost = saved_bytes = 0
    chunk: list[Row] = []
    for row in _readable(path):
        if row is None:
            lost += 1
            continue
        chunk.append(row)
        saved_bytes += row.record.size
        if len(chunk) >= _CHUNK:
            into.add(chunk)
            saved += len(chunk)
            chunk = []
    if chunk:
        into.add(chunk)
        saved += len(chunk)
    if saved_bytes:
        # Where the ends are damaged their numbers are not known, but what fits into the file is.
        lost = min(lost, max(0, file_bytes * saved // saved_bytes - saved))
    return saved, lost


def _size(path: Path) -> int:
    """Return how large the file is, or was: its head tells if something was cut off."""
    parts = (path, Path(f"{path}-wal"))
    size = sum(part.stat().st_size for part in parts if part.exists())
    with path.open("rb") as file:
        pages = int.from_bytes(file.read(32)[28:], "big")
    return max(size, min(pages, _MOST_PAGES) * PAGE_BYTES)


def _readable(path: Path) -> Iterator[Row | None]:
    """Yield the rows; None for each place where one may have been."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
        with suppress(sqlite3.Error):
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
        begin, last = _bounds(db, path)
        misses = 0
        while misses < _MOST_MISSES and begin <= last + 1:
            try:
                for columns in db.execute(_SELECT, (begin, _NO_LIMIT)):
                    begin = columns[0] + 1
                    yield rows.row(columns)
                return
            except (sqlite3.Error, TypeError):
                # The row before the error was read ahead of and is hidden by it.
                columns = _one(db, begin)
            if columns is None:
                begin += 1
                misses += 1
                yield None
            else:
                begin = columns[0] + 1
                yield rows.row(columns)


def _one(db: sqlite3.Connection, begin: int) -> tuple[Any, ...] | None:
    with suppress(sqlite3.Error, TypeError):
        for columns in db.execute(_SELECT, (begin, 1)):
            return tuple(columns)
    return None


def _bounds(db: sqlite3.Connection, path: Path) -> tuple[int, int]:
    """Return the number of the first row, and one that no row is beyond."""
    first = last = None
    with suppress(sqlite3.Error, TypeError):
        first = int(db.execute("SELECT min(seq) FROM records").fetchone()[0])
    with suppress(sqlite3.Error, TypeError):
        last = int(db.execute("SELECT max(seq) FROM records").fetchone()[0])
    most = path.stat().st_size // _LEAST_ROW_BYTES
    if first is None:
        first = 1 if last is None else max(1, last - most)
    return first, first + most if last is None else last


def _repair_header(path: Path, *, like: Path) -> None:
    """Put the first page back if sqlite3 does not know the file by it; it is always the same."""
    with closing(sqlite3.connect(path, timeout=0)) as db, suppress(sqlite3.Error):
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'records'").fetchall():
            return
    with path.open("r+b") as file, like.open("rb") as sound:
        model = bytearray(sound.read(PAGE_BYTES))
        # Bytes 28 to 40: the file's size in pages, and no list of free ones.
        model[28:40] = (path.stat().st_size // PAGE_BYTES).to_bytes(4, "big") + bytes(8)
        file.write(model)
