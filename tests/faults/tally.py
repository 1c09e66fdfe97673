# SPDX-License-Identifier: Apache-2.0
"""What senders and endpoints wrote into the journal, held against the topic's log."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from tests.scenarios.topics import Stored


class Line(NamedTuple):
    """One line of the journal: what happened to which notification of which key, in whom."""

    what: str
    policy: str
    number: int
    key: str
    pid: int


class Told(NamedTuple):
    """What a listener said of records that are, or may be, lost or repeated."""

    event: str
    records: int
    unknown: bool
    text: str


@dataclass(slots=True)
class Tally:
    """The account of one policy in one case."""

    sent: int = 0
    confirmed: int = 0
    in_log: int = 0
    received: int = 0
    lost: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    # What the figures above are to be read with. ``failed``: info() has raised. ``uncommitted``:
    # how far the group's offsets are from the ends of the log, in the end, in either direction.
    # ``skipped_ahead``: one of a key was passed over. ``overlapped``: a member went on where it
    # was, while another was behind it. ``told_*``: how many records the listeners themselves
    # said may come again, or be lost.
    failed: int = 0
    uncommitted: int = 0
    confirmed_not_in_log: int = 0
    log_duplicates: int = 0
    log_out_of_order: int = 0
    skipped_ahead: int = 0
    overlapped: int = 0
    told_again: int = 0
    unread: int = 0
    told_lost: int = 0
    evictions: int = 0
    told: Counter[str] = field(default_factory=Counter)

    def reported(self, count: int) -> None:
        """Note that so many failed after info() had returned, as their delivery reports said."""
        self.failed += count
        self.confirmed -= count
        self.confirmed_not_in_log -= count
        self.lost -= count

    def figures(self) -> dict[str, Any]:
        """Return them by name, as JSON has them."""
        figures = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**figures, "told": dict(self.told)}


class Journal:
    """What happened, in its order. Only what is new is read, so looking often costs little."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._lines: list[Line] = []
        self._told: list[tuple[str, Told]] = []
        self._numbers: dict[tuple[str, str], set[int]] = defaultdict(set)

    def lines(self, *kinds: str) -> list[Line]:
        """Return the lines of some kinds."""
        self._read_on()
        return [line for line in self._lines if line.what in kinds]

    def numbers(self, kind: str, policy: str = "-") -> frozenset[int]:
        """Return which notifications have a line of this kind."""
        self._read_on()
        return frozenset(self._numbers[kind, policy])

    def told(self, policy: str) -> list[Told]:
        """Return what listeners with this policy said."""
        self._read_on()
        return [told for whose, told in self._told if whose == policy]

    def errors(self) -> list[str]:
        """Return what info() has raised, with the words before it."""
        kept = self._path.read_text().splitlines()
        return [line for line in kept if line.startswith("failed ")]

    def _read_on(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            new, end, _ = file.read().rpartition(b"\n")
        self._read += len(new) + len(end)
        for words in map(str.split, new.decode().split("\n") if new else ()):
            if words[0] == "told":
                unknown, text = words[4] == "True", " ".join(words[5:])
                self._told.append((words[1], Told(words[2], int(words[3]), unknown, text)))
            else:
                line = Line(words[0], words[1], int(words[2]), words[3], int(words[4]))
                self._lines.append(line)
                self._numbers[line.what, line.policy].add(line.number)


def tally(journal: Journal, log: Sequence[Stored], policy: str) -> Tally:
    """Return the account of one policy."""
    confirmed = journal.numbers("confirmed")
    counts = Counter(stored.fields["payload"]["number"] for stored in log)
    begun = [line for line in journal.lines("in") if line.policy == policy]
    done = journal.numbers("out", policy)
    entries = Counter(line.number for line in begun)
    found = Tally(
        sent=len(journal.numbers("sent")),
        confirmed=len(confirmed),
        failed=len(journal.numbers("failed")),
        in_log=len(counts),
        received=len(done),
        lost=len((confirmed | counts.keys()) - done),
        duplicates=sum(max(0, many - counts[one]) for one, many in entries.items()),
        confirmed_not_in_log=len(confirmed - counts.keys()),
        log_duplicates=sum(counts.values()) - len(counts),
    )
    places = _places(log)
    found.log_out_of_order = sum(
        earlier > later
        for numbers in places.values()
        for earlier, later in zip(numbers, list(numbers)[1:], strict=False)
    )
    found.out_of_order = _behind(begun, places)
    found.skipped_ahead, found.overlapped = _ahead(begun, places)
    for told in journal.told(policy):
        found.told[told.event] += 1
        if told.event == "ComesAgain":
            found.told_again += told.records
            found.unread += not told.records  # what was finished is not known: all may come again
        elif told.event == "LeftBehind" or told.unknown:
            found.told_lost += told.records
        elif told.event == "PartitionsLost":
            found.evictions += 1
    return found


def _places(log: Sequence[Stored]) -> dict[str, dict[int, list[int]]]:
    """Return for each key where in its part of the log each number is; its first place first."""
    places: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    sizes: Counter[str] = Counter()
    for stored in log:
        payload = stored.fields["payload"]
        key = payload["key"]
        places[key][payload["number"]].append(sizes[key])
        sizes[key] += 1
    return places


def _behind(begun: Sequence[Line], places: dict[str, dict[int, list[int]]]) -> int:
    """Return how many were handed out first behind a later one of their key."""
    highest: dict[str, int] = {}
    seen: set[int] = set()
    behind = 0
    for line in begun:
        place = places[line.key][line.number][0]
        if line.number not in seen:
            seen.add(line.number)
            behind += place < highest.get(line.key, -1)
        highest[line.key] = max(place, highest.get(line.key, -1))
    return behind


def _ahead(begun: Sequence[Line], places: dict[str, dict[int, list[int]]]) -> tuple[int, int]:
    """Return how often one of a key was passed over, and how often that was two members at once.

    A repetition goes back, and then on as the log does: the next is never more than one place
    ahead. A member that was taken for dead and does not know it yet goes on from its own last
    one, ahead of the one that has taken over. Of what is in the log twice either may have been
    meant.
    """
    last: dict[str, int] = {}
    own_last: dict[tuple[str, int], int] = {}
    skipped = overlapped = 0
    for line in begun:
        among = places[line.key][line.number]
        own = line.key, line.pid
        near = [place for place in among if place <= last.get(line.key, -1) + 1]
        if not near:
            near = [place for place in among if place <= own_last.get(own, -1) + 1]
            overlapped += bool(near)
            skipped += not near
        last[line.key] = own_last[own] = max(near or among[:1])
    return skipped, overlapped
