# SPDX-License-Identifier: Apache-2.0
"""Read whole topics in a coroutine: in no group, every reader gets everything."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from types import TracebackType

from kafka_notify.aio.calling import LoopBell
from kafka_notify.core.events import RecordsMissed
from kafka_notify.core.message import Partition, Record
from kafka_notify.errors import RecordsGone
from kafka_notify.native import threading
from kafka_notify.runtime.reader import Positions, Reader
from kafka_notify.runtime.transport import NotificationTransport

_MOST_RECORDS = 5_000
_MOST_BYTES = 32 * 1024 * 1024
_ROOM_LOOK_S = 0.5
_AT_A_STRETCH = 32  # records that are taken without the loop's other tasks having their turn


class Reading:
    """Iterate over the records that come to some topics, from now on; resume where it was.

    ::

        async with Reading(transport, ["EventNotifier"]) as records:
            async for record in records:
                print(record.value)

    Entering returns when nothing sent from then on can be missed. An outage, however long, ends
    nothing: what was sent meanwhile comes afterwards. If Kafka has removed records before they
    were read, the iteration raises RecordsGone once; iterating on gives what comes after them.
    What is read and not taken yet is bounded; a reader that is slow holds up only itself.

    It belongs to the loop that entered it. Cancelling an iteration loses no record.

    Args:
        transport: Stays open when this is closed.
        topics: Kafka topics, by their whole names. Those that are missing are made.
        positions: What ``positions`` of an earlier one said; None: from the end.
    """

    def __init__(
        self,
        transport: NotificationTransport,
        topics: Iterable[str],
        *,
        positions: Positions | None = None,
    ) -> None:
        self._transport = transport
        self._topics = tuple(topics)
        self._resumed = positions
        self._reader: Reader | None = None
        self._stream = _Stream()
        self._stretch = 0

    async def __aenter__(self) -> Reading:
        """Start."""
        await self.start()
        return self

    async def start(self) -> None:
        """Return when no record that is sent from now on can be missed; within ``start_timeout``.

        Raises BrokerUnavailable or BrokerRefused.
        """
        self._stream.bell = LoopBell()
        reader = self._reader = Reader(
            self._transport,
            self._topics,
            hand_over=self._stream.put,
            on_missed=self._stream.put_missed,
            positions=self._resumed,
        )
        try:
            await asyncio.to_thread(reader.start)
        except BaseException:
            self._stream.close()
            reader.ask_to_stop()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Read nothing more. Idempotent; cancelling it leaves the rest to a thread."""
        self._stream.close()
        if self._reader is not None:
            await asyncio.to_thread(self._reader.stop)

    def drop(self, dropping: bool) -> None:
        """Say whether what comes from now on is dropped, unseen: nobody wants it. Off at first."""
        self._stream.drop(dropping)

    def problems(self) -> list[str]:
        """Return what keeps it from its work, in words; see ``Reader.problems``."""
        return self._reader.problems() if self._reader is not None else []

    @property
    def positions(self) -> dict[Partition, int]:
        """The next offset of each partition, of what the iteration has given; once closed."""
        positions = self._reader.positions if self._reader is not None else {}
        positions.update(self._stream.left())
        return positions

    def __aiter__(self) -> Reading:
        """Return itself."""
        return self

    async def __anext__(self) -> Record:
        """Return the next record; StopAsyncIteration once closed."""
        self._stretch += 1
        if self._stretch >= _AT_A_STRETCH:
            self._stretch = 0
            await asyncio.sleep(0)  # here, where a cancellation loses nothing
        bell = self._stream.bell
        while bell is not None:
            bell.silence()
            item = self._stream.take()
            if isinstance(item, RecordsMissed):
                raise RecordsGone(
                    f"Kafka has removed records of {', '.join(map(str, item.found))} that were "
                    "not read yet",
                    partitions=list(item.found),
                )
            if item is not None:
                return item
            if self._stream.closed:
                break
            self._stretch = 0
            await bell.rung()
        raise StopAsyncIteration


class _Stream:
    """Records from the reader's thread to a loop, bounded: ``put`` blocks while it is full."""

    def __init__(self) -> None:
        self.bell: LoopBell | None = None
        self.closed = False
        self._dropping = False
        self._items: deque[Record | RecordsMissed] = deque()
        self._bytes = 0
        self._room = threading.Condition()

    def put(self, records: Sequence[Record]) -> None:
        """Add records; block while there is no room. Threads: the reader's."""
        size = sum(map(_size, records))
        with self._room:
            while self._items and not self.closed and self._is_full(len(records), size):
                self._room.wait(_ROOM_LOOK_S)
            if self._dropping:
                return
            self._items.extend(records)
            self._bytes += size
        self._ring()

    def put_missed(self, missed: RecordsMissed) -> None:
        """Add that records are missing here. Threads: the reader's."""
        with self._room:
            if self._dropping:
                return
            self._items.append(missed)
        self._ring()

    def drop(self, dropping: bool) -> None:
        """Drop all that is here, and all that comes; or no longer."""
        with self._room:
            self._dropping = dropping
            if dropping:
                self._items.clear()
                self._bytes = 0
                self._room.notify_all()

    def _is_full(self, count: int, size: int) -> bool:
        return len(self._items) + count > _MOST_RECORDS or self._bytes + size > _MOST_BYTES

    def _ring(self) -> None:
        if self.bell is not None:
            self.bell.ring()

    def take(self) -> Record | RecordsMissed | None:
        """Return the next one, if there is any. Never waits but for a moment."""
        with self._room:
            if not self._items or self.closed:
                return None
            item = self._items.popleft()
            if isinstance(item, Record):
                self._bytes -= _size(item)
            if len(self._items) == _MOST_RECORDS // 2 or not self._items:
                self._room.notify()
            return item

    def left(self) -> dict[Partition, int]:
        """Return the first offset of each partition that was not taken."""
        first: dict[Partition, int] = {}
        with self._room:
            for item in self._items:
                if isinstance(item, Record):
                    first.setdefault(item.where, item.offset)
        return first

    def close(self) -> None:
        """Give nothing more; whoever waits goes on."""
        with self._room:
            self.closed = True
            self._room.notify_all()
        self._ring()


def _size(record: Record) -> int:
    return len(record.value or b"") + len(record.key or b"")
