# SPDX-License-Identifier: Apache-2.0
"""At least once, by a model: whatever ends, goes away or crashes, in any order.

Two members share three partitions. The model knows what was finished when the commit that Kafka
has stored was made; who gets the partition next must be handed all the rest, and nothing else.
Whoever runs a record, and whatever was repeated meanwhile, the earlier ones of its key are done.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kafka_notify.core import offsets
from kafka_notify.core.lanes import Lanes, Unit
from kafka_notify.core.message import Partition, Record
from kafka_notify.core.offsets import OffsetTracker

pytestmark = pytest.mark.timeout(1200)  # half a minute of computing, on a machine that has others

TOPIC = "t"
PARTITIONS = [Partition(TOPIC, number) for number in range(3)]
KEYS = [None, b"a", b"b", b"c"]
partitions = st.sampled_from(PARTITIONS)
members = st.integers(0, 1)
picks = st.integers(0, 99)  # an index into whatever is there
# Key, and the gap before it: markers of transactions leave some.
arriving = st.tuples(st.sampled_from(KEYS), st.sampled_from([0, 0, 0, 0, 1, 3]))


class Stored:
    """What Kafka has for a partition: the last commit, and what was finished by then."""

    def __init__(self) -> None:
        self.offset: int | None = None
        self.note = ""
        self.settled: frozenset[int] = frozenset()


class Member:
    """A listener: its tracker and lanes, and the units that are in its hands."""

    def __init__(self) -> None:
        self.tracker = OffsetTracker()
        self.lanes = Lanes()
        self.ready: list[Unit] = []  # may run, or run already
        self.waiting: list[Unit] = []
        self.positions: dict[Partition, int] = {}
        # Of each of its partitions: what is settled, and what it finished since.
        self.finished: dict[Partition, set[int]] = {}
        self.commit: dict[Partition, tuple[int, str]] = {}
        self.commit_settles: dict[Partition, frozenset[int]] = {}


class AtLeastOnce(RuleBasedStateMachine):
    """Members take, finish, commit, lose partitions and crash; a partition has one of them."""

    truncates = False

    def __init__(self) -> None:
        super().__init__()
        self.members = [Member(), Member()]
        self.log: dict[Partition, list[Record]] = {one: [] for one in PARTITIONS}
        self.ends = dict.fromkeys(PARTITIONS, 0)
        self.stored = {one: Stored() for one in PARTITIONS}
        self.done: dict[Partition, set[int]] = {one: set() for one in PARTITIONS}
        # By partition and key: what is in the log, and nobody has finished yet.
        self.undone: defaultdict[tuple[Partition, Any], set[int]] = defaultdict(set)

    @initialize(begins=st.lists(st.integers(0, 2**40), min_size=3, max_size=3), shared=partitions)
    def begin_anywhere(self, begins: list[int], shared: Partition) -> None:
        """Offsets need not begin at 0: older records are gone."""
        self.ends.update(zip(PARTITIONS, begins, strict=True))
        self.assign(self.members[0], [shared])
        self.assign(self.members[1], [one for one in PARTITIONS if one != shared])

    # --- records come, are read, and are gone

    @rule(where=partitions, count=st.integers(1, 12), size=st.integers(1, 3))
    def read(self, where: Partition, count: int, size: int) -> None:
        """Its member reads on: what was not finished is handed out, and nothing else."""
        member = self.owner(where)
        begin = member.positions[where]
        records = [one for one in self.log[where] if one.offset >= begin][:count]
        wanted = member.tracker.take(records)
        must = [one for one in records if one.offset not in member.finished[where]]
        if self.truncates:
            assert set(must) <= set(wanted), "skipped"
        else:
            assert wanted == must
        if records:
            member.positions[where] = records[-1].offset + 1
        units = [Unit(tuple(wanted[at : at + size])) for at in range(0, len(wanted), size)]
        for unit in units:
            unit.epoch = member.tracker.epoch
        self.now_ready(member, units, member.lanes.add(units))

    @rule(
        where=partitions,
        records=st.lists(arriving, min_size=1, max_size=12),
        size=st.integers(1, 3),
    )
    def arrive_and_read(self, where: Partition, records: list[tuple[Any, int]], size: int) -> None:
        """Records arrive, and some of them are read at once."""
        for key, gap in records:
            offset = self.ends[where] + gap
            self.log[where].append(Record(TOPIC, where.number, offset, key, b""))
            self.undone[where, key].add(offset)
            self.ends[where] = offset + 1
        self.read(where, 8, size)

    @rule(where=partitions, pick=picks, which=st.sampled_from(["one", "all before", "undone"]))
    def remove(self, where: Partition, pick: int, which: str) -> None:
        """Compaction takes one record, or all that nobody has finished; retention the oldest."""
        log = self.log[where]
        if which == "undone":
            log[:] = [one for one in log if one.offset in self.done[where]]
        elif log:
            at = pick % len(log)
            del log[0 if which == "all before" else at : at + 1]
        for key in KEYS:
            self.undone[where, key] &= {one.offset for one in log}

    # --- a member at work

    def owner(self, where: Partition) -> Member:
        return next(one for one in self.members if where in one.positions)

    def now_ready(self, member: Member, new: list[Unit], ready: list[Unit]) -> None:
        member.waiting += new
        for unit in ready:
            member.waiting.remove(unit)
            for other in member.ready:
                assert not set(unit.keys).intersection(other.keys), "two of one key side by side"
            member.ready.append(unit)
            mine = {(one.where, one.offset) for one in unit.records}
            for record in unit.records:
                if record.key is not None:
                    for offset in self.undone[record.where, record.key]:
                        before = offset < record.offset and (record.where, offset) not in mine
                        assert not before, "an earlier one of its key is not done"

    @rule(which=members, choices=st.lists(picks, min_size=1, max_size=6))
    def finish(self, which: int, choices: list[int]) -> None:
        """Any units that may run end, whether their partitions are still there or not."""
        for pick in choices:
            self.finish_one(self.members[which], pick)

    def finish_one(self, member: Member, pick: int) -> None:
        if not member.ready:
            return
        unit = member.ready.pop(pick % len(member.ready))
        for record in unit.records:
            self.done[record.where].add(record.offset)
            self.undone[record.where, record.key].discard(record.offset)
            if member.tracker.is_current(record.where, unit.epoch):
                member.finished[record.where].add(record.offset)
        member.tracker.finish(unit.records, unit.epoch)
        self.now_ready(member, [], member.lanes.finish(unit))

    @rule(
        which=members,
        choices=st.lists(picks, max_size=6),
        happens=st.sampled_from(["stored", "stored", "on its way", "refused", "unanswered"]),
    )
    def finish_and_commit(self, which: int, choices: list[int], happens: str) -> None:
        """Some end, and a commit is made up, whose end may come while others end."""
        self.finish(which, choices)
        self.make_commit(self.members[which])
        if happens != "on its way":
            self.end_commit(which, happens)

    def make_commit(self, member: Member) -> None:
        member.commit = member.tracker.due()
        member.commit_settles = {one: frozenset(member.finished[one]) for one in member.commit}
        for where, (offset, note) in member.commit.items():
            assert len(note) <= offsets.LONGEST_NOTE
            assert offset >= (self.stored[where].offset or 0)
            passed = {one.offset for one in self.log[where] if one.offset < offset}
            assert passed <= self.done[where], "the commit passed an unfinished record"

    @precondition(lambda self: any(one.commit for one in self.members))
    @rule(which=members, happens=st.sampled_from(["stored", "refused", "unanswered"]))
    def end_commit(self, which: int, happens: str) -> None:
        """It is stored, refused, or stored without an answer."""
        member = self.members[which]
        commit, member.commit = member.commit, {}
        if happens == "refused":
            return
        for where, (offset, note) in commit.items():
            self.stored[where].offset = offset
            self.stored[where].note = note
            self.stored[where].settled = member.commit_settles[where]
        if happens == "stored":
            member.tracker.committed(commit)

    @rule(which=members)
    def rest(self, which: int) -> None:
        """All ends and is committed: then all that ended is known to whoever comes next."""
        member = self.members[which]
        while member.ready:
            self.finish_one(member, 0)
        assert not member.waiting
        self.make_commit(member)
        self.end_commit(which, "stored")
        assert not member.tracker.due()
        assert not member.tracker.has_news
        assert not member.tracker.doubtful(member.positions)
        for where, finished in member.finished.items():
            assert self.stored[where].settled == finished

    # --- partitions come and go

    def assign(self, member: Member, wanted: list[Partition]) -> None:
        stored = {where: self.stored[where] for where in wanted}
        member.tracker.assign({where: (one.offset, one.note) for where, one in stored.items()})
        for where, one in stored.items():
            member.positions[where] = one.offset or 0
            member.finished[where] = set(one.settled)

    @rule(where=partitions, to=members, drops=st.sampled_from([True, False, False]))
    def move(self, where: Partition, to: int, drops: bool) -> None:
        """A partition goes, perhaps to come back; what waits is dropped, or counts no more."""
        member = self.owner(where)
        if drops:
            for unit in (*member.ready, *member.waiting):
                unit.records = tuple(one for one in unit.records if one.where != where)
        uncommitted = member.finished[where] - self.stored[where].settled
        assert member.tracker.doubtful([where]) >= len(uncommitted)
        member.tracker.forget([where])
        del member.positions[where], member.finished[where]
        member.commit.pop(where, None)  # the group refuses it from now on
        self.assign(self.members[to], [where])

    @rule(which=members, stored=st.booleans())
    def crash(self, which: int, stored: bool) -> None:
        """A member is killed, with a commit on its way; another gets all that it had."""
        self.end_commit(which, "unanswered" if stored else "refused")
        lost = sorted(self.members[which].positions)
        self.members[which] = Member()
        self.assign(self.members[1 - which], lost)

    # --- always

    @invariant()
    def nothing_before_a_committed_offset_is_undone(self) -> None:
        for where, stored in self.stored.items():
            before = {one.offset for one in self.log[where] if one.offset < (stored.offset or 0)}
            assert before <= self.done[where]

    def teardown(self) -> None:
        """Wherever it stops, a member that comes after a crash of both brings it to its end."""
        self.crash(0, stored=False)
        self.crash(1, stored=False)
        for where in PARTITIONS:
            self.read(where, 1 << 30, 2)
        self.rest(0)
        for where in PARTITIONS:
            assert {one.offset for one in self.log[where]} <= self.done[where], "skipped"
            if self.log[where]:
                offset, note = self.stored[where].offset or 0, self.stored[where].note
                assert offset > self.log[where][-1].offset
                # Of records that were removed at the end of the log nobody hears any more.
                left = set(offsets.read_note(offset, note).unfinished)
                assert not left & {one.offset for one in self.log[where]}


class AtLeastOnceWithShortNotes(AtLeastOnce):
    """Notes that hold next to nothing: more comes again, and nothing is skipped all the same."""

    truncates = True


SETTINGS = settings(max_examples=max(300, settings.default.max_examples), stateful_step_count=60)


class TestAtLeastOnce(AtLeastOnce.TestCase):  # type: ignore[name-defined]
    settings = SETTINGS


class TestAtLeastOnceWithShortNotes(AtLeastOnceWithShortNotes.TestCase):  # type: ignore[name-defined]
    settings = SETTINGS

    @pytest.fixture(autouse=True)
    def _short_notes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(offsets, "LONGEST_NOTE", 24)
