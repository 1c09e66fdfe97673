# SPDX-License-Identifier: Apache-2.0
"""What senders and endpoints wrote into the journal, held against the topic's log."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

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
    """The account of one policy in one case; those of several runs can be added."""

    sent: int = 0
    confirmed: int = 0
    in_log: int = 0
    received: int = 0
    lost: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    # What the figures above are to be read with. ``skipped_ahead``: one of a key was passed over.
    # ``told_*``: how many records the listeners themselves said may come again, or be lost.
    confirmed_not_in_log: int = 0
    log_duplicates: int = 0
    log_out_of_order: int = 0
    skipped_ahead: int = 0
    told_again: int = 0
    unread: int = 0
    told_lost: int = 0
    evictions: int = 0
    told: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Tally) -> Tally:
        """Return both in one account."""
        names = [one.name for one in fields(self)]
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in names})


class Journal:
    """What happened, in its order."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self, *kinds: str) -> list[Line]:
        """Return the lines of some kinds."""
        found = []
        for words in self._words():
            if words[0] in kinds:
                found.append(Line(words[0], words[1], int(words[2]), words[3], int(words[4])))
        return found

    def numbers(self, kind: str, policy: str = "-") -> set[int]:
        """Return which notifications have a line of this kind."""
        return {line.number for line in self.lines(kind) if line.policy == policy}

    def told(self, policy: str) -> list[Told]:
        """Return what listeners with this policy said."""
        return [
            Told(words[2], int(words[3]), words[4] == "True", " ".join(words[5:]))
            for words in self._words()
            if words[0] == "told" and words[1] == policy
        ]

    def _words(self) -> list[list[str]]:
        if not self._path.exists():
            return []
        return [line.split() for line in self._path.read_text().splitlines()]


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
    found.out_of_order, found.skipped_ahead = _order(begun, places)
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


def _places(log: Sequence[Stored]) -> dict[str, dict[int, int]]:
    """Return of each key the place of each number in the log; of one sent twice the first."""
    places: dict[str, dict[int, int]] = defaultdict(dict)
    for stored in log:
        payload = stored.fields["payload"]
        mine = places[payload["key"]]
        mine.setdefault(payload["number"], len(mine))
    return places


def _order(begun: Sequence[Line], places: dict[str, dict[int, int]]) -> tuple[int, int]:
    """Return how many came first behind a later one, and how often one of a key was passed over.

    A repetition goes back, and then on in order: the next is never more than one place ahead.
    """
    last: dict[str, int] = {}
    highest: dict[str, int] = {}
    seen: set[int] = set()
    behind = ahead = 0
    for line in begun:
        place = places[line.key][line.number]
        if line.number not in seen:
            seen.add(line.number)
            if place < highest.get(line.key, -1):
                behind += 1
        ahead += place > last.get(line.key, -1) + 1
        last[line.key] = place
        highest[line.key] = max(place, highest.get(line.key, -1))
    return behind, ahead
