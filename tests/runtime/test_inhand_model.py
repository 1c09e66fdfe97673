# SPDX-License-Identifier: Apache-2.0
"""What is in hand, by a model: units end, are requeued, buried, discarded, in any order.

The model keeps each unit's state; the account must agree on who may run, how much is in hand, and
what of it takes room; when all has ended nothing is left of it.
"""

from __future__ import annotations

import itertools
from enum import Enum
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Partition, Record
from kafka_notify.runtime.inhand import InHand

PARTITIONS = [Partition("t", number) for number in range(3)]
KEYS = [None, b"a", b"b", b"c"]
arriving = st.lists(
    st.tuples(st.sampled_from(PARTITIONS), st.sampled_from(KEYS)), min_size=1, max_size=3
)
picks = st.integers(0, 99)  # an index into whatever is there
some_partitions = st.sets(st.sampled_from(PARTITIONS), min_size=1)


class State(Enum):
    """Where a unit is."""

    LINED = "in line"
    HEAD = "the one of the line that runs"
    BEHIND = "in its lanes, behind others"
    READY = "handed out, not begun"
    RUNNING = "in its endpoints"
    ASIDE = "requeued, or to be buried"
    BURIED = "its dead letters are being written"


class Accounts(RuleBasedStateMachine):
    """Under before_dispatch: all is committed, and nothing is discarded."""

    discards = False

    def __init__(self) -> None:
        super().__init__()
        self.account = InHand(discards=self.discards)
        self.states: dict[Unit, State] = {}  # in the order of their hand-over
        self.numbers = itertools.count()

    def at(self, *states: State) -> list[Unit]:
        return [unit for unit, state in self.states.items() if state in states]

    def pick(self, state: State, pick: int) -> Unit | None:
        found = self.at(state)
        return found[pick % len(found)] if found else None

    # --- a unit's life

    @initialize(units=st.lists(arriving, min_size=4, max_size=8))
    def begin_with_some(self, units: list[list[tuple[Partition, Any]]]) -> None:
        self.hand_over(units)

    @rule(units=st.lists(arriving, min_size=1, max_size=4))
    def hand_over(self, units: list[list[tuple[Partition, Any]]]) -> None:
        made = self.make(units)
        ready = self.account.add(made)
        self.leave_line()
        self.states.update(dict.fromkeys(made, State.BEHIND))
        self.may_run(ready)

    def make(self, units: list[list[tuple[Partition, Any]]]) -> list[Unit]:
        return [
            Unit([Record(*where, next(self.numbers), key, b"") for where, key in records])
            for records in units
        ]

    def may_run(self, units: list[Unit]) -> None:
        for unit in units:
            assert self.states[unit] is State.BEHIND
            for other in self.states:
                if other is unit:
                    break
                assert not set(unit.keys).intersection(other.keys), "it overtakes one of its key"
            self.states[unit] = State.READY

    # --- one after the other

    @rule(units=st.lists(arriving, min_size=1, max_size=4))
    def line_up(self, units: list[list[tuple[Partition, Any]]]) -> None:
        made = self.make(units)
        taken = self.account.line_up(made)
        assert taken == (not self.at(State.ASIDE, State.BURIED))
        if taken:
            self.states.update(dict.fromkeys(made, State.LINED))

    @rule()
    def go_on_with_the_line(self) -> None:
        done = next(iter(self.at(State.HEAD)), None)
        following = self.account.next_in_line(done)
        if done is not None:
            del self.states[done]
        lined = self.at(State.LINED)
        expected = lined[0] if lined and len(lined) == len(self.states) else None
        assert following is expected
        if following is not None:
            self.states[following] = State.HEAD
        assert self.account.has_line == (len(lined) > (following is not None))

    @rule()
    def spread(self) -> None:
        head = next(iter(self.at(State.HEAD)), None)
        ready = self.account.spread()
        self.leave_line()
        self.may_run(ready)
        if head is not None:
            assert self.account.next_in_line(head) is head, "it is left to be finished"

    def leave_line(self) -> None:
        for unit in self.at(State.LINED):
            self.states[unit] = State.BEHIND
        for unit in self.at(State.HEAD):
            self.states[unit] = State.RUNNING

    @rule(pick=picks)
    def begin(self, pick: int) -> None:
        unit = self.pick(State.READY, pick)
        if unit is None:
            return
        assert self.account.begin(unit) == bool(unit.records)
        if unit.records:
            self.states[unit] = State.RUNNING
        else:
            self.end(unit)

    @rule(pick=picks)
    def finish(self, pick: int) -> None:
        unit = self.pick(State.RUNNING, pick)
        if unit is not None:
            self.end(unit)

    def end(self, unit: Unit) -> None:
        # In one step: those behind it are looked at when it is gone.
        del self.states[unit]
        self.may_run(self.account.finish((unit,)))

    @rule(pick=picks)
    def requeue(self, pick: int) -> None:
        unit = self.pick(State.RUNNING, pick)
        if unit is not None:
            self.account.set_aside(unit)
            self.states[unit] = State.ASIDE

    @rule(pick=picks)
    def hand_out_again(self, pick: int) -> None:
        unit = self.pick(State.ASIDE, pick)
        if unit is None:
            return
        if self.account.begin(unit):
            self.account.take_up(unit)
            self.states[unit] = State.READY
        else:
            assert not unit.records
            self.end(unit)

    @rule(pick=picks)
    def bury(self, pick: int) -> None:
        unit = self.pick(State.ASIDE, pick)
        if unit is None:
            return
        if self.account.begin(unit):
            self.states[unit] = State.BURIED
        else:
            self.end(unit)

    @rule(pick=picks, written=st.booleans())
    def end_burial(self, pick: int, written: bool) -> None:
        unit = self.pick(State.BURIED, pick)
        if unit is None:
            return
        if written:
            self.end(unit)
        else:
            self.account.pause(unit)
            self.states[unit] = State.ASIDE

    @rule(pick=picks)
    def begin_and_requeue(self, pick: int) -> None:
        """Both at once, since much of what may happen happens behind a unit that waits."""
        unit = self.pick(State.READY, pick)
        if unit is not None and self.account.begin(unit):
            self.account.set_aside(unit)
            self.states[unit] = State.ASIDE

    # --- partitions go, or the listener stops

    def begun(self) -> set[Unit]:
        return set(self.at(State.HEAD, State.RUNNING, State.BURIED))

    @rule(going=some_partitions)
    def drain(self, going: set[Partition]) -> None:
        left = self.account.drain(going, 0)
        assert left == sum(
            record.where in going
            for unit in (self.begun() if self.discards else self.states)
            for record in unit.records
        )

    # --- always

    @invariant()
    def all_is_counted(self) -> None:
        total = sum(len(unit.records) for unit in self.states)
        assert self.account.total == total
        held = {key for unit in self.at(State.ASIDE, State.BURIED) for key in unit.keys}
        behind = [unit for unit in self.at(State.BEHIND) if held.intersection(unit.keys)]
        takes_no_room = sum(len(unit.records) for unit in behind) if self.discards else 0
        assert self.account.busy == total - takes_no_room

    def teardown(self) -> None:
        """All that is in hand comes to its end."""
        self.spread()
        while self.states:
            before = len(self.states)
            for unit in self.at(State.ASIDE):
                self.account.take_up(unit)
                self.states[unit] = State.READY
            for unit in self.at(State.READY, State.RUNNING, State.BURIED):
                self.end(unit)
            assert len(self.states) < before, "a unit that never runs"
        assert self.account.total == self.account.busy == 0
        assert self.account.drain(PARTITIONS, 0) == 0


class AccountsOfWhatIsNotCommitted(Accounts):
    """Under after_dispatch: what has not begun is discarded, and comes to somebody else."""

    discards = True

    @rule(going=st.none() | some_partitions)
    def discard(self, going: set[Partition] | None) -> None:
        before = {unit: tuple(unit.records) for unit in self.states}
        dropped = self.account.discard(going)
        assert dropped == sum(map(len, before.values())) - self.account.total
        for unit, records in before.items():
            kept = [
                one
                for one in records
                if unit in self.begun() or (going is not None and one.where not in going)
            ]
            assert list(unit.records) == kept

    @rule()
    def give_back_aside(self) -> None:
        held = {key for unit in self.at(State.ASIDE, State.BURIED) for key in unit.keys}
        self.account.give_back_aside()
        assert not any(unit.records for unit in self.at(State.ASIDE))
        assert not any(
            unit.records for unit in self.at(State.BEHIND) if held.intersection(unit.keys)
        )
        assert all(unit.records for unit in self.at(State.BURIED))

    @rule(pick=picks)
    def give_back(self, pick: int) -> None:
        unit = self.pick(State.RUNNING, pick)
        if unit is not None:
            behind = [
                one for one in self.at(State.BEHIND) if set(one.keys).intersection(unit.keys)
            ]
            self.account.give_back(unit)
            assert not any(one.records for one in (unit, *behind))
            self.end(unit)


SETTINGS = settings(stateful_step_count=30)


class TestAccounts(cast(Any, Accounts).TestCase):  # type: ignore[misc]
    settings = SETTINGS


class TestAccountsOfWhatIsNotCommitted(cast(Any, AccountsOfWhatIsNotCommitted).TestCase):  # type: ignore[misc]
    settings = SETTINGS
