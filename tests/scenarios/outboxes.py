# SPDX-License-Identifier: Apache-2.0
"""What the tests of the outbox share: a process that sends, and what of it the log holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from tests.scenarios.processes import WORKERS, Process
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

Start = Callable[..., Process]
DELIVERED_S = 60.0


def files(spool: Path) -> list[str]:
    """Return the names of what is in the outbox."""
    return sorted(path.name for path in spool.glob("*/*"))


class Log:
    """What a topic holds, publisher by publisher."""

    def __init__(self, bare: BareClient, topic: str) -> None:
        self.sent: dict[str, list[int]] = defaultdict(list)
        self.message_ids: dict[tuple[str, int], set[str]] = defaultdict(set)
        for stored in bare.read(topic):
            publisher = stored.fields["publisher_id"]
            self.sent[publisher].append(stored.payload)
            self.message_ids[publisher, stored.payload].add(stored.fields["message_id"])

    def first_copies(self, publisher: str) -> list[int]:
        """Return a publisher's numbers, each where it came first."""
        return list(dict.fromkeys(self.sent[publisher]))

    @property
    def copies(self) -> int:
        """Return how many records are in the log a second time."""
        return sum(len(numbers) - len(set(numbers)) for numbers in self.sent.values())

    def check(self, accepted: dict[str, int]) -> None:
        """Check that all which was accepted is there, in order, and copies have one id."""
        for publisher, last in accepted.items():
            first = self.first_copies(publisher)
            # One more may have been stored when the process was killed before info() returned.
            assert first[: last + 1] == list(range(last + 1)), publisher
            assert first == list(range(len(first))), publisher
        assert {len(ids) for ids in self.message_ids.values()} == {1}


def accepted(process: Process) -> dict[str, int]:
    """Return the last number for which each publisher's info() had returned."""
    last: dict[str, int] = {}
    for line in process.lines("sent "):
        publisher, number = line.split()
        last[publisher] = int(number)
    return last


def more(process: Process, count: int) -> None:
    """Wait until so many more were sent."""
    process.wait_for_lines("sent ", len(process.lines("sent ")) + count)


def said(process: Process, text: str, times: int = 1) -> None:
    """Wait until this was logged so often."""
    eventually(lambda: process.log.count(text) >= times, DELIVERED_S, f"{text!r} in the log")


def drain(start: Start, url: str, topic: str) -> Process:
    """Start a process that sends nothing of its own, and let it send what it finds."""
    process = start(WORKERS / "outbox.py", url, topic, 0, 0)
    process.tell(f"flush {DELIVERED_S:g}")
    assert process.wait_for_lines("left ", timeout_s=DELIVERED_S + 10) == ["0"], process.log
    return process


def end(process: Process) -> None:
    """End a process in an orderly way."""
    process.tell("exit")
    assert process.end() == 0, process.log
