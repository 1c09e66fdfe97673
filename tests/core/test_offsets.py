# SPDX-License-Identifier: Apache-2.0
"""What may be committed, and what a note tells of the rest."""

from __future__ import annotations

import random

import pytest

from kafka_notify.core.message import Partition, Record
from kafka_notify.core.offsets import LONGEST_NOTE, Beyond, OffsetTracker, read_note, write_note

WHERE = Partition("t", 0)


def records(*offsets: int) -> list[Record]:
    """Return records of one partition."""
    return [Record("t", 0, offset, None, b"") for offset in offsets]


def tracker(offset: int | None = 0, note: str = "") -> OffsetTracker:
    """Return a tracker that was just assigned the partition."""
    made = OffsetTracker()
    made.assign({WHERE: (offset, note)})
    return made


def offsets(found: list[Record]) -> list[int]:
    return [record.offset for record in found]


class TestNotes:
    """What is written is read again; what does not fit comes again."""

    @pytest.mark.parametrize(
        ("first", "top", "unfinished"),
        [
            (0, 10, (0,)),
            (5, 1_000_000, (5, 7, 999_999)),
            (2**40, 2**40 + 3, (2**40, 2**40 + 1)),
        ],
    )
    def test_round_trip(self, first: int, top: int, unfinished: tuple[int, ...]) -> None:
        """Offsets of any size."""
        note = write_note(first, Beyond(top, unfinished))
        assert read_note(first, note) == Beyond(top, unfinished)

    def test_nothing_to_tell(self) -> None:
        """Without a gap there is no note."""
        assert write_note(5, Beyond(8, (5, 6, 7))) == ""
        assert write_note(5, Beyond(5, ())) == ""

    def test_too_much_is_cut_from_the_top(self) -> None:
        """What is told is true; what is left out counts as not read."""
        chosen = random.Random(1).sample(range(1, 10**9), 20_000)  # noqa: S311 - no secret
        unfinished = (0, *sorted(chosen))
        note = write_note(0, Beyond(10**9, unfinished))
        assert 3000 < len(note) <= LONGEST_NOTE
        found = read_note(0, note)
        kept = len(found.unfinished)
        assert found.unfinished == unfinished[:kept]
        assert found.top == unfinished[kept]

    @pytest.mark.parametrize(
        "note", ["", "somebody else's", "kn1:", "kn1:###", "kn1:" + "0" * 50, "kn1:é"]
    )
    def test_a_note_that_is_not_ours(self, note: str) -> None:
        """It tells nothing, and harms nothing."""
        assert read_note(3, note) == Beyond(3, ())

    @pytest.mark.parametrize("count", [15, 1500])
    def test_a_note_that_was_cut_off_or_extended(self, count: int) -> None:
        """It tells nothing: what it has lost might be unfinished."""
        chosen = random.Random(1).sample(range(1, 3 * count), count)  # noqa: S311 - no secret
        note = write_note(0, Beyond(3 * count, (0, *sorted(chosen))))
        for end in range(len(note)):
            assert read_note(0, note[:end]) == Beyond(0, ()), end
        assert read_note(0, f"{note}0") == Beyond(0, ())


class TestTracker:
    """The committed offset never passes an unfinished record."""

    def test_in_order(self) -> None:
        """Everything finished: the offset after the last."""
        made = tracker()
        found = made.take(records(0, 1, 2))
        made.finish(found, made.epoch)
        assert made.due() == {WHERE: (3, "")}
        made.committed(made.due())
        assert made.due() == {}

    def test_one_is_late(self) -> None:
        """The offset waits for it, the note has the others; a restart repeats it alone."""
        made = tracker()
        found = made.take(records(0, 1, 2, 3))
        made.finish([found[0], found[2]], made.epoch)
        offset, note = made.due()[WHERE]
        assert offset == 1
        again = tracker(offset, note)
        assert offsets(again.take(records(1, 2, 3, 4))) == [1, 3, 4]

    def test_offsets_with_holes(self) -> None:
        """Compaction and transactions leave holes; they hold nothing up."""
        made = tracker()
        found = made.take(records(0, 5, 9))
        made.finish(found[1:], made.epoch)
        offset, note = made.due()[WHERE]
        assert offset == 0
        # What was unfinished is gone when it is read again.
        again = tracker(offset, note)
        assert offsets(again.take(records(9, 10))) == [10]
        again.finish(records(10), again.epoch)
        assert again.due()[WHERE] == (11, "")

    def test_without_an_offset(self) -> None:
        """A partition that was never committed begins with its first record."""
        made = tracker(None)
        found = made.take(records(7, 8))
        made.finish(found[:1], made.epoch)
        assert made.due() == {WHERE: (8, "")}

    def test_what_was_handed_out_before_a_revocation_no_longer_counts(self) -> None:
        """The partition is gone, or has come back and is read anew."""
        made = tracker()
        early, before = made.take(records(0, 1)), made.epoch
        made.forget([WHERE])
        made.finish(early[:1], before)
        assert made.due() == {}
        made.assign({WHERE: (0, "")})
        late = made.take(records(0, 1))
        made.finish(early, before)
        assert made.due() == {}
        made.finish(late, made.epoch)
        assert made.due() == {WHERE: (2, "")}

    def test_a_log_that_begins_anew(self) -> None:
        """Its topic was made anew, or its end cut off: no record is taken for an older one."""
        made = tracker()
        early, before = made.take(records(0, 1, 2, 3)), made.epoch
        made.finish([early[0], early[2], early[3]], before)
        made.committed(made.due())
        found = made.take(records(0, 1, 2))
        assert offsets(found) == [0, 1, 2]
        made.finish(early, before)  # of the log that was
        assert made.due() == {}
        made.finish(found[1:], made.epoch)
        assert offsets(tracker(*made.due()[WHERE]).take(records(0, 1, 2, 3))) == [0, 3]
        made.finish(found[:1], made.epoch)
        assert made.due() == {WHERE: (3, "")}

    def test_a_log_that_ends_before_what_was_committed(self) -> None:
        """What a note tells of the log that was does not make the new one's records skipped."""
        note = write_note(5, Beyond(9, (5, 7)))
        made = tracker(5, note)
        assert offsets(made.take(records(3, 4, 5, 6, 7, 8))) == [3, 4, 5, 6, 7, 8]

    def test_records_of_a_partition_that_is_not_ours(self) -> None:
        """They are not to be done."""
        made = tracker()
        made.forget([WHERE])
        assert made.take(records(0)) == []
