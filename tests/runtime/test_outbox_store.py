# SPDX-License-Identifier: Apache-2.0
"""One file of the outbox: what was stored is there, whole and in order, and nothing else."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kafka_notify.errors import OutboxError, OutboxFull
from kafka_notify.runtime.outbox import rows
from kafka_notify.runtime.outbox.rows import Row
from kafka_notify.runtime.outbox.salvage import salvage
from kafka_notify.runtime.outbox.store import (
    PAGE_BYTES,
    SIDECARS,
    Store,
    StoreBusy,
    StoreCorrupt,
)
from kafka_notify.runtime.outgoing import Outgoing

PLENTY = 1 << 30
FEWER = hypothesis.settings.default.max_examples // 2  # each makes files
ALL = {"limit": 1_000_000, "max_bytes": PLENTY}

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
records = st.builds(
    Outgoing,
    topic=text,
    key=st.none() | st.binary(max_size=20),
    value=st.binary(max_size=100),
    message_id=st.none() | text,
    headers=st.lists(st.tuples(text, st.binary(max_size=20)), max_size=3).map(tuple),
)


def record(number: int, size: int = 100) -> Outgoing:
    """Return a record that holds its number."""
    return Outgoing(
        topic="t.info", key=b"k", value=b"%d" % number + bytes(size), message_id=f"id-{number}"
    )


def bytes_of(path: Path) -> int:
    """Return what a store takes of its disk."""
    names = (path, *(Path(f"{path}{end}") for end in SIDECARS))
    return sum(name.stat().st_size for name in names if name.exists())


@given(seq=st.integers(1, 2**62), outgoing=records)
def test_a_record_comes_back_as_it_was(seq, outgoing):
    """Topic, key or none, value, message_id or none, headers and their order."""
    assert rows.row(rows.values(Row(seq, outgoing))) == Row(seq, outgoing)


@given(outgoing=records, data=st.data())
def test_a_changed_row_is_noticed(outgoing, data):
    """Any other value in any column."""
    stored = list(rows.values(Row(7, outgoing)))
    column = data.draw(st.integers(0, len(stored) - 1))
    other = data.draw(st.none() | st.integers() | st.binary(max_size=5) | text)
    if other != stored[column]:
        stored[column] = other
        assert rows.row(tuple(stored)) is None


class StoreMachine(RuleBasedStateMachine):
    """A store and a dict do the same; closing, opening and writing back change nothing."""

    root: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.root))
        self.store = Store(self.folder / "a.sqlite3", max_bytes=PLENTY)
        self.model: dict[int, Outgoing] = {}
        self.last = 0

    @rule(new=st.lists(st.tuples(st.integers(1, 3), records), min_size=1, max_size=5))
    def add(self, new):
        added = []
        for step, outgoing in new:
            self.last += step
            added.append(Row(self.last, outgoing))
        self.store.add(added)
        self.model.update(added)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data):
        some = data.draw(st.lists(st.integers(0, self.last + 1), max_size=5))
        self.store.remove(some)
        for seq in some:
            self.model.pop(seq, None)

    @rule(after=st.integers(0, 100), limit=st.integers(1, 5), size=st.integers(1, 200))
    def read(self, after, limit, size):
        found = self.store.read(after, limit=limit, max_bytes=size)
        expected = [Row(seq, self.model[seq]) for seq in sorted(self.model) if seq > after]
        assert found == expected[: len(found)]
        assert bool(found) == bool(expected)
        if len(found) < min(limit, len(expected)):
            assert sum(row.record.size for row in found) >= size

    @rule()
    def write_back(self):
        self.store.write_back()

    @rule()
    def reopen(self):
        path = self.store.path
        assert self.store.close() == len(self.model)
        assert path.exists() == bool(self.model)
        self.store = Store(path, max_bytes=PLENTY)

    @rule(most=st.integers(0, 3))
    def empty(self, most):
        few = len(self.model) <= most
        assert self.store.empty(if_no_more_than=most) == few
        if few:
            self.model = {}

    @invariant()
    def counts(self):
        assert self.store.count == len(self.model)

    def teardown(self):
        found = self.store.read(0, **ALL)
        assert found == [Row(seq, self.model[seq]) for seq in sorted(self.model)]
        self.store.close()


def test_a_store_does_what_a_dict_does(quick_disk):
    """Any adding, removing, reading, closing and opening again."""
    machine = type("Machine", (StoreMachine,), {"root": quick_disk})
    run_state_machine_as_test(machine, settings=hypothesis.settings(max_examples=FEWER))


def fill(store: Store) -> int:
    """Add rows until there is no room; return how many there are."""
    for number in range(1, 10_000):
        try:
            store.add([Row(number, record(number, 2000))])
        except OutboxFull:
            return number - 1
        assert bytes_of(store.path) <= 1_000_000
    raise AssertionError("it took more than its bound")


def test_a_full_file_takes_nothing_and_stays_within_its_bound(tmp_path):
    """OutboxFull names file and option; all that was taken is there; deleting makes room."""
    store = Store(tmp_path / "a.sqlite3", max_bytes=1_000_000)
    taken = fill(store)
    assert taken > 200
    with pytest.raises(OutboxFull, match=r"a\.sqlite3: .*full.*1000000 \(outbox_max_bytes\)"):
        store.add([Row(taken + 1, record(taken + 1, 2000))])
    with pytest.raises(OutboxFull):
        store.add([Row(taken + more, record(taken + more, 2000)) for more in range(1, 10)])
    assert [row.seq for row in store.read(0, **ALL)] == list(range(1, taken + 1))
    assert store.count == taken
    store.remove(range(1, 101))
    for more in range(1, 80):
        store.add([Row(taken + more, record(taken + more, 2000))])
    assert bytes_of(store.path) <= 1_000_000
    assert store.close() == taken - 100 + 79


def test_a_file_that_is_used_for_long_does_not_grow(tmp_path):
    """Ten times its bound passes through: stored, read, deleted."""
    store = Store(tmp_path / "a.sqlite3", max_bytes=1_000_000)
    for number in range(1, 5001):
        store.add([Row(number, record(number, 2000))])
        if number % 50 == 0:
            store.remove(range(number - 49, number + 1))
    assert bytes_of(store.path) <= 1_000_000
    store.close()
    assert os.listdir(tmp_path) == []


def test_a_large_file_that_gets_empty_gives_its_room_back(tmp_path):
    """20 MB are stored and deleted: the file is small again."""
    store = Store(tmp_path / "a.sqlite3", max_bytes=PLENTY)
    store.add([Row(number, record(number, 1_000_000)) for number in range(1, 21)])
    store.write_back()
    assert bytes_of(store.path) > 20_000_000
    store.remove(range(1, 21))
    assert bytes_of(store.path) < 100_000
    store.add([Row(21, record(21))])
    assert store.read(0, **ALL) == [Row(21, record(21))]
    store.close()


def test_only_its_user_may_read_it(tmp_path):
    """The file, and what sqlite3 keeps beside it: mode 0600."""
    store = Store(tmp_path / "a.sqlite3", max_bytes=PLENTY)
    store.add([Row(1, record(1))])
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in os.listdir(tmp_path)}
    assert modes == {"a.sqlite3": 0o600, "a.sqlite3-wal": 0o600}
    store.close()


def test_nobody_else_gets_in(tmp_path):
    """A second one that opens the file is told that it is in use, as is a shell of sqlite3."""
    store = Store(tmp_path / "a.sqlite3", max_bytes=PLENTY)
    with pytest.raises(StoreBusy, match="locked"):
        Store(tmp_path / "a.sqlite3", max_bytes=PLENTY)
    store.close()


def test_the_file_of_a_later_release_is_left_alone(tmp_path):
    """It is refused, whole, with what to do."""
    store = Store(tmp_path / "a.sqlite3", max_bytes=PLENTY)
    store.add([Row(1, record(1))])
    store.close()
    with sqlite3.connect(tmp_path / "a.sqlite3") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(OutboxError, match="format 99"):
        Store(tmp_path / "a.sqlite3", max_bytes=PLENTY)


def test_a_closed_store_says_so(tmp_path):
    """Closing again is no error; using it is."""
    store = Store(tmp_path / "a.sqlite3", max_bytes=PLENTY)
    store.close()
    store.close()
    with pytest.raises(OutboxError, match="closed"):
        store.add([Row(1, record(1))])


# --- damage


def filled(path: Path, count: int, *, wal: bool) -> list[Row]:
    """Make a file with so many rows; ``wal`` leaves the later half beside it, as a kill does."""
    store = Store(path, max_bytes=PLENTY)
    stored = [Row(number, record(number, 1500)) for number in range(1, count + 1)]
    store.add(stored[: count // 2])
    store.write_back()
    store.add(stored[count // 2 :])
    if wal:
        kept = {end: Path(f"{path}{end}").read_bytes() for end in ("", "-wal")}
    store.close()
    if wal:
        for end, content in kept.items():
            Path(f"{path}{end}").write_bytes(content)
    return stored


def saved_of(path: Path) -> tuple[list[Row], int]:
    """Return what can be salvaged, and how many are said to be lost."""
    into = Store(path.with_name("into.sqlite3"), max_bytes=PLENTY)
    saved, lost = salvage(path, into=into)
    found = into.read(0, **ALL)
    into.remove(row.seq for row in found)
    into.close()
    assert saved == len(found)
    return found, lost


def is_part(found: list[Row], stored: list[Row]) -> bool:
    """Tell whether what was found was stored so, in this order."""
    whole = dict(stored)
    return all(whole[seq] == outgoing for seq, outgoing in found) and found == sorted(found)


@pytest.mark.parametrize("wal", [False, True])
@hypothesis.settings(max_examples=FEWER)
@given(data=st.data())
def test_what_is_not_damaged_is_saved(quick_disk, wal, data):
    """Any pages but the first two are overwritten: only rows that lay on them are lost."""
    path = Path(tempfile.mkdtemp(dir=quick_disk)) / "a.sqlite3"
    stored = filled(path, 120, wal=wal)
    pages = path.stat().st_size // PAGE_BYTES
    damaged = data.draw(st.sets(st.integers(2, pages - 1), min_size=1, max_size=4))
    with path.open("r+b") as file:
        for page in damaged:
            file.seek(page * PAGE_BYTES)
            file.write(data.draw(st.sampled_from([bytes(PAGE_BYTES), b"\xff" * PAGE_BYTES])))
    found, lost = saved_of(path)
    assert is_part(found, stored)
    assert len(stored) - len(found) <= lost <= 150
    # Five rows share a page.
    assert len(found) >= len(stored) - 5 * len(damaged)


@given(at=st.integers(0, 8191), garbage=st.binary(min_size=1, max_size=200))
def test_a_damaged_head_costs_no_row(quick_disk, at, garbage):
    """Whatever is written over the first page: every row is saved."""
    path = Path(tempfile.mkdtemp(dir=quick_disk)) / "a.sqlite3"
    stored = filled(path, 20, wal=False)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(garbage[: PAGE_BYTES - at])
    found, _ = saved_of(path)
    assert is_part(found, stored)
    assert len(found) == len(stored)


def test_a_file_that_was_cut_off_gives_its_beginning(tmp_path):
    """The pages that are there are read."""
    path = tmp_path / "a.sqlite3"
    stored = filled(path, 200, wal=False)
    os.truncate(path, path.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES)
    found, lost = saved_of(path)
    assert is_part(found, stored[: len(found)])
    assert len(found) >= 80
    assert lost >= len(stored) - len(found)


@pytest.mark.parametrize("content", [b"", b"no database at all", os.urandom(100_000)])
def test_a_file_that_is_none_gives_nothing(tmp_path, content):
    """Salvaging ends."""
    path = tmp_path / "a.sqlite3"
    path.write_bytes(content)
    found, _ = saved_of(path)
    assert found == []


def test_a_flipped_bit_is_noticed_when_the_row_is_read(tmp_path):
    """sqlite3 would return the changed value as it is."""
    path = tmp_path / "a.sqlite3"
    stored = filled(path, 20, wal=False)
    content = bytearray(path.read_bytes())
    at = content.index(b"10" + bytes(1500)) + 700
    content[at] ^= 1
    path.write_bytes(bytes(content))
    store = Store(path, max_bytes=PLENTY)
    with pytest.raises(StoreCorrupt, match="row 10 is damaged"):
        store.read(0, **ALL)
    store.close()
    found, lost = saved_of(path)
    assert is_part(found, stored)
    assert [row.seq for row in found] == [row.seq for row in stored if row.seq != 10]
    assert lost == 1
