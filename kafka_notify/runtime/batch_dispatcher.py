# SPDX-License-Identifier: Apache-2.0
"""Batches of notifications to endpoints, each called with a list of those that it wants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import Notification, Record
from kafka_notify.core.screening import UNREAD
from kafka_notify.errors import UndecodableRecord
from kafka_notify.runtime.dispatcher import Call, Dispatcher
from kafka_notify.runtime.redelivery import Todo

_BatchCall = tuple[Call, Sequence[Record]]


@dataclass(slots=True)
class _Batch:
    """A batch on its way through the endpoints.

    Attributes:
        messages: Its notifications, by the ids of their records, which the unit keeps.
        work: Which endpoint is to be called with which records.
        left: Which asks to be called again.
        todo: What becomes of the unit.
    """

    messages: dict[int, Notification] = field(default_factory=dict)
    work: Sequence[_BatchCall] = ()
    left: list[_BatchCall] = field(default_factory=list)
    todo: Todo = field(default_factory=Todo)

    def answered(self, one: Call, records: Sequence[Record], asked: str) -> None:
        """Note an endpoint's answer: why it wants to be called again, if it does."""
        if asked:
            self.todo.error = asked
            self.left.append((one, records))


class BatchDispatcher(Dispatcher):
    """Same as Dispatcher, but each endpoint is called with a list of its notifications.

    The list's items are upstream's: dicts of ctxt, publisher_id, event_type, payload, metadata.
    An endpoint that asks to be called again gets its whole list again.
    """

    def run(self, unit: Unit) -> Todo | None:
        """Dispatch a batch: one call per priority and endpoint that wants some of it."""
        batch = self._opened(unit)
        for one, records, found in self._lists(batch):
            batch.answered(one, records, self._call(one[1], found, (_as_dicts(found),)))
        return self._closed(batch)

    async def run_in_loop(self, unit: Unit) -> Todo | None:
        """Do what ``run`` does, for coroutine functions alone. Threads: the loop's."""
        batch = self._opened(unit)
        for one, records, found in self._lists(batch):
            batch.answered(one, records, await self._await(one[1], found, (_as_dicts(found),)))
        return self._closed(batch)

    def _opened(self, unit: Unit) -> _Batch:
        batch = _Batch()
        by_priority: dict[str, list[Record]] = {}
        for record in unit.records if unit.todo is None else _left_of(unit):
            try:
                message = self._decode(record)
            except UndecodableRecord as error:
                batch.todo.dead.append((record, 0, str(error)))
                continue
            if self._seen is not None and unit.todo is None and self._seen.has(message.message_id):
                self._counters.add("duplicates")
                continue
            batch.messages[id(record)] = message
            if message.payload is not UNREAD:
                by_priority.setdefault(message.priority, []).append(record)
        batch.work = unit.todo or [
            (call, records)
            for priority, records in by_priority.items()
            for call in self._calls.get(priority, ())
        ]
        return batch

    def _lists(self, batch: _Batch) -> Iterator[tuple[Call, list[Record], list[Notification]]]:
        """Yield which endpoint gets which records, and their notifications."""
        messages = batch.messages
        for one, records in batch.work:
            screen, call = one
            wanted = [
                record
                for record in records
                if id(record) in messages
                and (screen is None or self._wanted(screen, call, messages[id(record)]))
            ]
            if wanted:
                yield one, wanted, [messages[id(record)] for record in wanted]

    def _closed(self, batch: _Batch) -> Todo | None:
        """Return what those endpoints want that ask to be called again."""
        todo, messages = batch.todo, batch.messages
        again = dict.fromkeys(record for _, records in batch.left for record in records)
        if again:
            todo.records, todo.work = tuple(again), batch.left
            todo.message_id = messages[id(todo.records[0])].message_id
        self._counters.add("dispatched", len(messages) - len(again))
        if self._seen is not None:
            for record in again:
                del messages[id(record)]
            for message in messages.values():
                self._seen.add(message.message_id)
        return todo if todo.dead or again else None


def _left_of(unit: Unit) -> list[Record]:
    """Return the records of a unit's work, but for those whose partition went away meanwhile."""
    asked = dict.fromkeys(record for _, records in unit.todo for record in records)
    return [record for record in asked if record in unit.records]


def _as_dicts(messages: Sequence[Notification]) -> list[dict[str, Any]]:
    return [
        {
            "ctxt": message.ctxt,
            "publisher_id": message.publisher_id,
            "event_type": message.event_type,
            "payload": message.payload,
            "metadata": {"message_id": message.message_id, "timestamp": message.timestamp},
        }
        for message in messages
    ]
