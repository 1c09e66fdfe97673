# SPDX-License-Identifier: Apache-2.0
"""At least once: which offset may be committed, and what of the records beyond it is finished.

The committed offset never passes an unfinished record. The finished ones beyond it are written
into the commit's note (Kafka calls it metadata), so that whoever reads on repeats only the others.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import sub
from typing import NamedTuple

from kafka_notify.core.message import Partition, Record

LONGEST_NOTE = 4000
"""Characters: what a broker stores by default is 4,096 bytes (offset.metadata.max.bytes)."""

_MARK = "kn1:"
_HIGHEST = 1 << 63
_SMALL = [bytes((number,)) for number in range(0x80)]


class Beyond(NamedTuple):
    """Of the offsets below ``top`` these are unfinished, in order; all others are finished."""

    top: int
    unfinished: Sequence[int]


def write_note(first: int, beyond: Beyond) -> str:
    """Return the note for a commit of ``first``, the lowest unfinished offset.

    '' if nothing beyond it is finished. What does not fit is left out from the top, and comes
    again.
    """
    top, unfinished = beyond
    if top <= first or len(unfinished) >= top - first:
        return ""
    kept = len(unfinished)
    while kept:
        text = _MARK + _pack(_deltas(first, top, unfinished[:kept]))
        if len(text) <= LONGEST_NOTE:
            return text
        # What lies above the first one left out is told as unread.
        kept = kept * LONGEST_NOTE // (len(text) + 1)
        top = unfinished[kept] if kept else first
    return ""


def read_note(first: int, note: str) -> Beyond:
    """Return what a note tells; nothing for one that is not ours, or broken."""
    nothing = Beyond(first, ())
    if not note.startswith(_MARK):
        return nothing
    try:
        deltas = list(_unpack(note[len(_MARK) :]))
    except (ValueError, zlib.error):
        return nothing
    if not deltas:
        return nothing
    unfinished = []
    offset = first
    for delta in deltas[1:]:
        offset += delta
        unfinished.append(offset)
    top = first + deltas[0]
    return Beyond(top, tuple(unfinished)) if offset < top < _HIGHEST else nothing


def _deltas(first: int, top: int, unfinished: Sequence[int]) -> Iterable[int]:
    return chain((top - first,), map(sub, unfinished, chain((first,), unfinished)))


def _pack(numbers: Iterable[int]) -> str:
    """Return numbers as text: seven bits a byte, compressed."""
    # A full window has thousands of them, ten times a second; nearly all are small.
    packed = b"".join([_SMALL[one] if one <= 0x7F else _packed(one) for one in numbers])
    return base64.b85encode(zlib.compress(packed, 6)).decode()


def _packed(number: int) -> bytes:
    packed = bytearray()
    rest = number
    while rest > 0x7F:
        packed.append(rest & 0x7F | 0x80)
        rest >>= 7
    packed.append(rest)
    return bytes(packed)


def _unpack(text: str) -> Iterator[int]:
    number = shift = 0
    # As long as a note may be, no zlib text in it holds more.
    inflating = zlib.decompressobj()
    packed = inflating.decompress(base64.b85decode(text), LONGEST_NOTE * 1100)
    if not inflating.eof or inflating.unused_data:
        raise ValueError("cut off, or more than was written")
    for byte in packed:
        number |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
        else:
            yield number
            number = shift = 0


class _Progress:
    """One partition, from its assignment to its revocation."""

    def __init__(
        self, partition: Partition, epoch: int, *, first: int | None, beyond: Beyond
    ) -> None:
        self.partition = partition
        self.epoch = epoch
        self.committed = (first, "")
        # In the order of offsets: unfinished ones. Those known from the note are not taken yet.
        self.unfinished: dict[int, None] = dict.fromkeys(beyond.unfinished)
        self.untaken = list(reversed(beyond.unfinished))
        self.known_to = beyond.top
        self.top: int | None = first if first is None else max(first, beyond.top)
        self.position = first or 0
        self.finished_since_commit = 0
        self.has_changed = False  # since its state was asked for

    def take(self, offset: int) -> bool:
        """Take the next record; tell whether it is still to be done."""
        self.position = offset + 1
        self.has_changed = True
        while self.untaken and self.untaken[-1] < offset:
            del self.unfinished[self.untaken.pop()]  # retention or compaction has removed it
        if offset < self.known_to:
            if not self.untaken or self.untaken[-1] != offset:
                return False
            self.untaken.pop()
            return True
        self.unfinished[offset] = None
        self.top = offset + 1
        return True

    def state(self) -> tuple[int, str] | None:
        """Return the offset and note to commit; None before anything is known."""
        self.has_changed = False
        if self.top is None:
            return None
        if not self.unfinished:
            return self.top, ""
        offsets = list(self.unfinished)
        return offsets[0], write_note(offsets[0], Beyond(self.top, offsets))


class OffsetTracker:
    """The progress of one listener. Not locked: it belongs to one thread.

    Epochs count assignments: what was handed out before its partition went away, and came back,
    no longer counts.
    """

    def __init__(self) -> None:
        self._progress: dict[Partition, _Progress] = {}
        self._changed: set[Partition] = set()
        self._epoch = 0

    def __repr__(self) -> str:
        """Tell how many partitions are assigned, and how many records are unfinished."""
        return f"<OffsetTracker {len(self._progress)} partitions, {self.unfinished} unfinished>"

    @property
    def epoch(self) -> int:
        """What to remember with records that are handed out now."""
        return self._epoch

    @property
    def partitions(self) -> list[Partition]:
        """What is assigned."""
        return list(self._progress)

    @property
    def unfinished(self) -> int:
        """How many records were taken, or are known from a note, and are not finished."""
        return sum(len(progress.unfinished) for progress in self._progress.values())

    @property
    def has_news(self) -> bool:
        """Whether anything was finished since the last commit."""
        return bool(self._changed)

    def doubtful(self, partitions: Iterable[Partition]) -> int:
        """Return how many finished records of these partitions are not known to be committed."""
        return sum(
            progress.finished_since_commit
            for progress in map(self._progress.get, partitions)
            if progress is not None
        )

    def assign(self, committed: Mapping[Partition, tuple[int | None, str]]) -> None:
        """Begin with partitions at their committed offsets and notes."""
        self._epoch += 1
        for partition, (offset, note) in committed.items():
            beyond = Beyond(0, ()) if offset is None else read_note(offset, note)
            self._progress[partition] = _Progress(
                partition, self._epoch, first=offset, beyond=beyond
            )
            self._changed.discard(partition)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """End with partitions: what of theirs is finished from now on counts no more."""
        for partition in partitions:
            self._progress.pop(partition, None)
            self._changed.discard(partition)

    def take(self, records: Iterable[Record]) -> list[Record]:
        """Take records in the order of their partitions; return those that are to be done."""
        wanted = []
        for record in records:
            # Topic and partition as a plain tuple, which is equal to a Partition and made sooner.
            where = (record.topic, record.partition)
            progress = self._progress.get(where)  # type: ignore[call-overload]
            if progress is None:
                continue
            if record.offset < progress.position:
                # The log was cut off, or its topic made anew: no number means what it did.
                self._epoch += 1
                progress = _Progress(record.where, self._epoch, first=None, beyond=Beyond(0, ()))
                self._progress[record.where] = progress
            if progress.take(record.offset):
                wanted.append(record)
            else:
                self._changed.add(record.where)
        return wanted

    def is_current(self, partition: Partition, epoch: int) -> bool:
        """Tell whether a record of this partition, handed out at ``epoch``, counts."""
        progress = self._progress.get(partition)
        return progress is not None and progress.epoch <= epoch

    def finish(self, records: Iterable[Record], epoch: int) -> None:
        """Note that records, handed out at ``epoch``, are finished."""
        for record in records:
            where = (record.topic, record.partition)
            progress = self._progress.get(where)  # type: ignore[call-overload]
            if progress is None or progress.epoch > epoch:
                continue
            if record.offset in progress.unfinished:
                del progress.unfinished[record.offset]
                progress.finished_since_commit += 1
                progress.has_changed = True
                self._changed.add(progress.partition)

    def due(self) -> dict[Partition, tuple[int, str]]:
        """Return offset and note of each partition that has something new to commit."""
        states = {}
        for partition in list(self._changed):
            progress = self._progress[partition]
            state = progress.state()
            if state is None or state == progress.committed:
                self._changed.discard(partition)
            else:
                states[partition] = state
        return states

    def committed(self, states: Mapping[Partition, tuple[int, str]]) -> None:
        """Note that these, which ``due`` returned last, are stored."""
        for partition, state in states.items():
            progress = self._progress.get(partition)
            if progress is not None:
                progress.committed = state
                if not progress.has_changed:
                    self._changed.discard(partition)
                    progress.finished_since_commit = 0
