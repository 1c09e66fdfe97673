# SPDX-License-Identifier: Apache-2.0
"""What the suite counts, on accounts made up for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.judge import judge
from tests.faults.scene import AFTER, BEFORE
from tests.faults.tally import Journal, Tally, tally
from tests.scenarios.topics import Stored

pytestmark = pytest.mark.faults


def account(
    folder: Path, log: Sequence[int], handed_out: Sequence[int], by: Sequence[int] = ()
) -> Tally:
    """Return the account of what was confirmed, lies in the log, and was handed out so.

    ``by``: the process of each hand-out, if there was more than one.
    """
    lines = [f"{what} - {one} k 1" for one in sorted(set(log)) for what in ("sent", "confirmed")]
    for one, pid in zip(handed_out, by or [2] * len(handed_out), strict=True):
        lines += [f"{what} {AFTER} {one} k {pid}" for what in ("in", "out")]
    (folder / "journal").write_text("".join(f"{line}\n" for line in lines))
    stored = [
        Stored(
            partition=0, offset=place, key=b"k", fields={"payload": {"number": one, "key": "k"}}
        )
        for place, one in enumerate(log)
    ]
    return tally(Journal(folder / "journal"), stored, AFTER)


@pytest.mark.parametrize(
    ("log", "handed_out", "expected"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], {}),
        ([1, 2, 3, 4], [1, 2, 3], {"lost": 1}),
        ([1, 2, 3, 4], [1, 2, 3, 2, 3, 4], {"duplicates": 2}),
        ([1, 2, 3, 4], [1, 2, 4, 3], {"out_of_order": 1, "skipped_ahead": 1}),
        ([1, 2, 3, 4], [1, 2, 3, 1, 3, 4], {"duplicates": 2, "skipped_ahead": 1}),
        ([1, 2, 3, 1, 2, 4], [1, 2, 3, 1, 2, 4], {"log_duplicates": 2}),
        ([1, 2, 3, 2, 4], [1, 2, 3, 4, 2], {"log_duplicates": 1, "skipped_ahead": 1}),
        ([2, 1], [2, 1], {"log_out_of_order": 1}),
    ],
)
def test_what_is_counted(
    log: list[int], handed_out: list[int], expected: dict[str, int], tmp_path: Path
) -> None:
    """Each kind of fault has its figure, and no other."""
    found = account(tmp_path, log, handed_out).figures()
    counts = {name: found[name] for name in ("lost", "duplicates", "out_of_order")}
    counts |= {
        name: found[name]
        for name in ("skipped_ahead", "overlapped", "log_duplicates", "log_out_of_order")
    }
    assert {name: count for name, count in counts.items() if count} == expected


@pytest.mark.parametrize(
    ("handed_out", "by", "skipped_ahead", "overlapped"),
    [
        ([1, 2, 3, 1, 4, 2, 3, 4], [2, 2, 2, 3, 2, 3, 3, 3], 0, 1),
        ([1, 2, 3, 1, 2, 4, 3, 4], [2, 2, 2, 3, 3, 2, 3, 3], 0, 1),
        ([1, 2, 1, 4, 2, 3, 4], [2, 2, 3, 2, 3, 3, 3], 1, 0),
        ([1, 2, 3, 1, 3, 4], [2, 2, 2, 3, 3, 3], 1, 0),
        ([1, 2, 3, 4], [2, 2, 3, 2], 0, 0),
    ],
)
def test_two_members_at_once(
    handed_out: list[int],
    by: list[int],
    skipped_ahead: int,
    overlapped: int,
    tmp_path: Path,
) -> None:
    """Whoever goes on where it was has passed over nothing, unless it has itself."""
    found = account(tmp_path, [1, 2, 3, 4], handed_out, by)
    assert (found.skipped_ahead, found.overlapped) == (skipped_ahead, overlapped)


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        (AFTER, Tally(lost=1)),
        (AFTER, Tally(duplicates=2, told_again=1)),
        (AFTER, Tally(skipped_ahead=1)),
        (AFTER, Tally(skipped_ahead=1, evictions=1)),
        (AFTER, Tally(overlapped=1)),
        (AFTER, Tally(sent=1)),
        (AFTER, Tally(uncommitted=1)),
        (AFTER, Tally(confirmed_not_in_log=1, sent=1, confirmed=1)),
        (BEFORE, Tally(duplicates=1)),
        (BEFORE, Tally(lost=1)),
        (BEFORE, Tally(out_of_order=1)),
        (BEFORE, Tally(log_out_of_order=1)),
    ],
)
def test_what_is_a_broken_guarantee(policy: str, found: Tally) -> None:
    """Each of these fails a case, without a kill or an eviction."""
    with pytest.raises(AssertionError):
        judge({policy: found})


def test_what_is_none() -> None:
    """What a kill, an eviction or a word of the listener explains does not."""
    judge({AFTER: Tally(duplicates=2, told_again=2), BEFORE: Tally(lost=2, told_lost=2)})
    judge({AFTER: Tally(duplicates=2), BEFORE: Tally(lost=100)}, killed=1)
    judge({AFTER: Tally(overlapped=1, evictions=1), BEFORE: Tally(lost=100, evictions=1)})
