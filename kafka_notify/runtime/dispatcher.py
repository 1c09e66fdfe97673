# SPDX-License-Identifier: Apache-2.0
"""Notifications to endpoints: filter, call, and what they answer. Commits are not its business."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from kafka_notify.core.events import EndpointFailed, Monitor
from kafka_notify.core.filters import NotificationFilter
from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import PRIORITIES, Notification, NotificationResult, Record
from kafka_notify.core.screening import UNREAD, reader_for
from kafka_notify.core.serializers import NoOpSerializer, Serializer
from kafka_notify.core.wire import read_whole
from kafka_notify.errors import InvalidEndpoint, UndecodableRecord
from kafka_notify.runtime.counters import Counters
from kafka_notify.runtime.decoder import Decoder
from kafka_notify.runtime.endpoint_loop import EndpointLoop
from kafka_notify.runtime.redelivery import Todo
from kafka_notify.runtime.seen import Seen

_Call = tuple["NotificationFilter | None", Callable[..., Any]]
_BatchCall = tuple[_Call, Sequence[Record]]
_Place = tuple[str, int, int]
"""A record's first three fields. The hash of a whole record would read all of its value."""


class Dispatcher:
    """Call the endpoints of one listener. Threads: any; errors of endpoints are told, not raised.

    Coroutine functions run on a loop of the listener's own. With ``requeues`` an endpoint that
    returns REQUEUE, or raises, is called again; those that have handled a notification are not.
    Raises InvalidEndpoint for an endpoint without a method named after a priority.
    """

    def __init__(
        self,
        endpoints: Sequence[Any],
        serializer: Serializer | None,
        *,
        monitor: Monitor,
        counters: Counters,
        requeues: bool = False,
        deduplicate: int = 0,
    ) -> None:
        plain = serializer is None or type(serializer) is NoOpSerializer
        self._serializer = None if plain else serializer
        self._monitor = monitor
        self._counters = counters
        self._requeues = requeues
        self._calls = _calls_by_priority(endpoints)
        screens = {
            priority: [screen for screen, _ in calls] for priority, calls in self._calls.items()
        }
        self._decoder = Decoder(
            monitor=monitor,
            counters=counters,
            # A serializer is given every payload.
            read=reader_for(screens) if plain else read_whole,
        )
        # Which of the two is settled here, so that the usual one costs nothing for each record.
        self._decode = self._decoder.decode if plain else self._deserialize
        self._seen = Seen(deduplicate) if deduplicate else None
        self._loop = EndpointLoop("kafka-notify-endpoints")

    @property
    def priorities(self) -> tuple[str, ...]:
        """The priorities that any endpoint wants."""
        return tuple(self._calls)

    def after_fork_in_child(self) -> None:
        """Forget the parent's loop and locks."""
        self._loop.after_fork_in_child()
        if self._seen is not None:
            self._seen.after_fork_in_child()

    def close(self) -> None:
        """End the loop of coroutine endpoints. Idempotent."""
        self._loop.close()

    def run(self, unit: Unit) -> Todo | None:
        """Dispatch the one record of a unit; return what is left to do."""
        record = unit.records[0]
        try:
            message = self._decode(record)
        except UndecodableRecord as error:
            return Todo(dead=[(record, 0, str(error))])
        if self._seen is not None and unit.todo is None and self._seen.has(message.message_id):
            self._counters.add("duplicates")
            return None
        calls: Sequence[_Call] = ()
        if message.payload is not UNREAD:
            calls = unit.todo or self._calls.get(message.priority, ())
        left: list[_Call] = []
        trouble = ""
        for one in calls:
            screen, call = one
            if screen is None or self._wanted(screen, call, message):
                arguments = (
                    message.ctxt,
                    message.publisher_id,
                    message.event_type,
                    message.payload,
                    {"message_id": message.message_id, "timestamp": message.timestamp},
                )
                asked = self._call(call, (message,), arguments)
                if asked:
                    trouble = asked
                    left.append(one)
        if left:
            return Todo(
                records=unit.records, work=left, error=trouble, message_id=message.message_id
            )
        self._counters.add("dispatched")
        if self._seen is not None:
            self._seen.add(message.message_id)
        return None

    def _deserialize(self, record: Record) -> Notification:
        message = self._decoder.decode(record)
        serializer = cast("Serializer", self._serializer)
        try:
            ctxt = serializer.deserialize_context(message.ctxt)
            payload = serializer.deserialize_entity(ctxt, message.payload)
        except Exception as error:
            reason = f"its serializer raised {error!r}"
            self._decoder.tell(record, reason)
            raise UndecodableRecord(reason) from error
        return message._replace(ctxt=ctxt, payload=payload)

    def _call(
        self, call: Callable[..., Any], messages: Sequence[Notification], arguments: Sequence[Any]
    ) -> str:
        """Return why an endpoint wants to be called again, '' if it does not."""
        try:
            result = call(*arguments)
            if result is None:  # what most return, and quicker told than what is a coroutine
                return ""
            if isinstance(result, Coroutine):
                result = self._loop.run(result)
        except BaseException as error:  # noqa: BLE001 - user code; sys.exit ends no worker
            self._tell_failed(call, messages, error)
            return f"{_name(call)} raised {error!r}" if self._requeues else ""
        if self._requeues and result == NotificationResult.REQUEUE:
            return f"{_name(call)} asked for it"
        return ""

    def _wanted(
        self, screen: NotificationFilter, call: Callable[..., Any], message: Notification
    ) -> bool:
        """Tell whether an endpoint's filter lets a notification through."""
        try:
            return screen.match(
                message.ctxt,
                message.publisher_id,
                message.event_type,
                {"message_id": message.message_id, "timestamp": message.timestamp},
                message.payload,
            )
        except BaseException as error:  # noqa: BLE001 - user code: a filter of his own
            self._tell_failed(call, (message,), error)
            return False

    def _tell_failed(
        self, call: Callable[..., Any], messages: Sequence[Notification], error: BaseException
    ) -> None:
        self._counters.add("endpoint_errors")
        self._monitor.emit(
            EndpointFailed(
                endpoint=_name(call),
                message_ids=[message.message_id for message in messages],
                error=error,
            )
        )


class BatchDispatcher(Dispatcher):
    """Same as Dispatcher, but each endpoint is called with a list of its notifications.

    The list's items are upstream's: dicts of ctxt, publisher_id, event_type, payload, metadata.
    An endpoint that asks to be called again gets its whole list again.
    """

    def run(self, unit: Unit) -> Todo | None:
        """Dispatch a batch: one call per priority and endpoint that wants some of it."""
        todo = Todo()
        messages: dict[_Place, Notification] = {}
        by_priority: dict[str, list[Record]] = {}
        for record in unit.records if unit.todo is None else _left_of(unit):
            try:
                message = self._decode(record)
            except UndecodableRecord as error:
                todo.dead.append((record, 0, str(error)))
                continue
            if self._seen is not None and unit.todo is None and self._seen.has(message.message_id):
                self._counters.add("duplicates")
                continue
            messages[record[:3]] = message
            if message.payload is not UNREAD:
                by_priority.setdefault(message.priority, []).append(record)
        work: list[_BatchCall] = unit.todo or [
            (call, records)
            for priority, records in by_priority.items()
            for call in self._calls.get(priority, ())
        ]
        left = self._call_all(work, messages, todo)
        again = dict.fromkeys(record for _, records in left for record in records)
        if again:
            todo.records, todo.work = tuple(again), left
            todo.message_id = messages[todo.records[0][:3]].message_id
        self._counters.add("dispatched", len(messages) - len(again))
        if self._seen is not None:
            for record in again:
                del messages[record[:3]]
            for message in messages.values():
                self._seen.add(message.message_id)
        return todo if todo.dead or again else None

    def _call_all(
        self, work: Sequence[_BatchCall], messages: dict[_Place, Notification], todo: Todo
    ) -> list[_BatchCall]:
        """Call endpoints with their lists; return those that want theirs again."""
        left: list[_BatchCall] = []
        for one, records in work:
            screen, call = one
            wanted = [
                record
                for record in records
                if record[:3] in messages
                and (screen is None or self._wanted(screen, call, messages[record[:3]]))
            ]
            if wanted:
                found = [messages[record[:3]] for record in wanted]
                asked = self._call(call, found, ([_as_dict(message) for message in found],))
                if asked:
                    todo.error = asked
                    left.append((one, wanted))
        return left


def _left_of(unit: Unit) -> list[Record]:
    """Return the records of a unit's work, but for those whose partition went away meanwhile."""
    asked = dict.fromkeys(record for _, records in unit.todo for record in records)
    return [record for record in asked if record in unit.records]


def _name(call: Callable[..., Any]) -> str:
    return str(getattr(call, "__qualname__", repr(call)))


def _calls_by_priority(endpoints: Sequence[Any]) -> dict[str, list[_Call]]:
    if not endpoints:
        raise InvalidEndpoint("a listener needs at least one endpoint")
    calls: dict[str, list[_Call]] = {}
    for endpoint in endpoints:
        methods = {name: getattr(endpoint, name, None) for name in PRIORITIES}
        if not any(map(callable, methods.values())):
            raise InvalidEndpoint(
                f"endpoint {endpoint!r} can never be called: it has no method named after a "
                f"priority ({', '.join(PRIORITIES)})"
            )
        screen = getattr(endpoint, "filter_rule", None)
        for name, method in methods.items():
            if callable(method):
                calls.setdefault(name, []).append((screen, method))
    return calls


def _as_dict(message: Notification) -> dict[str, Any]:
    return {
        "ctxt": message.ctxt,
        "publisher_id": message.publisher_id,
        "event_type": message.event_type,
        "payload": message.payload,
        "metadata": {"message_id": message.message_id, "timestamp": message.timestamp},
    }
