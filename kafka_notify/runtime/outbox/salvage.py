# SPDX-License-Identifier: Apache-2.0
"""Reading what is left of a damaged file of the outbox."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from kafka_notify.runtime.outbox import rows
from kafka_notify.runtime.outbox.rows import Row
from kafka_notify.runtime.outbox.store import PAGE_BYTES, Store

_CHUNK = 500
_LEAST_ROW_BYTES = 32
_MOST_MISSES = 1_000_000  # some ten seconds
_SELECT = f"SELECT {rows.COLUMNS} FROM records WHERE seq > ? ORDER BY seq"  # noqa: S608


def salvage(path: Path, into: Store) -> tuple[int, int]:
    """Copy every row that can be read and is as it was stored, in order.

    Returns how many there were, and how many more may have been there. Raises OutboxError when
    ``into`` takes them not; what is at ``path`` may be repaired a little meanwhile.
    """
    into.write_back()
    _repair_header(path, like=into.path)
    saved = lost = 0
    chunk: list[Row] = []
    for row in _readable(path):
        if row is None:
            lost += 1
            continue
        chunk.append(row)
        if len(chunk) >= _CHUNK:
            into.add(chunk)
            saved += len(chunk)
            chunk = []
    if chunk:
        into.add(chunk)
        saved += len(chunk)
    return saved, lost


def _readable(path: Path) -> Iterator[Row | None]:
    """Yield the rows; None for each place where one may have been."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
        with suppress(sqlite3.Error):
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
        at, last = _bounds(db, path)
        misses = 0
        while misses < _MOST_MISSES:
            try:
                for columns in db.execute(_SELECT, (at,)):
                    at = columns[0]
                    yield rows.row(columns)
                return
            except (sqlite3.Error, TypeError):
                if at >= last:
                    return
                # The next one is beyond reach: ask for the one after it.
                at += 1
                misses += 1
                yield None


def _bounds(db: sqlite3.Connection, path: Path) -> tuple[int, int]:
    """Return a number before the first row, and one that no row is beyond."""
    first = last = None
    with suppress(sqlite3.Error, TypeError):
        first = int(db.execute("SELECT min(seq) FROM records").fetchone()[0])
    with suppress(sqlite3.Error, TypeError):
        last = int(db.execute("SELECT max(seq) FROM records").fetchone()[0])
    most = path.stat().st_size // _LEAST_ROW_BYTES
    if first is None:
        first = 1 if last is None else max(1, last - most)
    return first - 1, first + most if last is None else last


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
