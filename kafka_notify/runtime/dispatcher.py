# SPDX-License-Identifier: Apache-2.0
"""Notifications to endpoints: filter, call, and what they answer. Commits are not its business."""

from __future__ import annotations

import inspect
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

Call = tuple["NotificationFilter | None", Callable[..., Any]]
_Arguments = tuple[Any, ...]


class Dispatcher:
    """Call the endpoints of one listener. Threads: any; errors of endpoints are told, not raised.

    Coroutine functions run on a loop of the listener's own: a thread waits for each, unless all
    endpoints are such and the units are run by ``run_in_loop``. With ``requeues`` an endpoint that
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
        self._has_screens = any(screen is not None for each in screens.values() for screen in each)
        self._decoder = Decoder(
            monitor=monitor,
            counters=counters,
            # A serializer is given every payload.
            read=reader_for(screens) if plain else read_whole,
        )
        # Which of the two is settled here, so that the usual one costs nothing for each record.
        self._decode = self._decoder.decode if plain else self._deserialize
        self._seen = Seen(deduplicate) if deduplicate else None
        self.loop = EndpointLoop("kafka-notify-endpoints")

    @property
    def priorities(self) -> tuple[str, ...]:
        """The priorities that any endpoint wants."""
        return tuple(self._calls)

    @property
    def is_coroutines(self) -> bool:
        """Whether all that endpoints are called by are coroutine functions."""
        return all(
            inspect.iscoroutinefunction(call)
            for calls in self._calls.values()
            for _, call in calls
        )

    def after_fork_in_child(self) -> None:
        """Forget the parent's loop and locks."""
        self.loop.after_fork_in_child()
        if self._seen is not None:
            self._seen.after_fork_in_child()

    def close(self) -> None:
        """End the loop of coroutine endpoints. Idempotent."""
        self.loop.close()

    def run(self, unit: Unit) -> Todo | None:
        """Dispatch the one record of a unit; return what is left to do."""
        begun = self._begin(unit)
        if not isinstance(begun, tuple):
            return begun
        message, calls, arguments = begun
        left = []
        for one in calls:
            asked = self._call(one[1], (message,), arguments)
            if asked:
                left.append((one, asked))
        if left:
            return _again(unit, message, left)
        self._counters.count_dispatched()
        if self._seen is not None:
            self._seen.add(message.message_id)
        return None

    async def run_in_loop(self, unit: Unit) -> Todo | None:
        """Do what ``run`` does, for coroutine functions alone. Threads: the loop's."""
        begun = self._begin(unit)
        if not isinstance(begun, tuple):
            return begun
        message, calls, arguments = begun
        left = []
        for one in calls:
            asked = await self._await(one[1], (message,), arguments)
            if asked:
                left.append((one, asked))
        if left:
            return _again(unit, message, left)
        self._counters.count_dispatched()
        if self._seen is not None:
            self._seen.add(message.message_id)
        return None

    def _begin(self, unit: Unit) -> tuple[Notification, Sequence[Call], _Arguments] | Todo | None:
        """Return whom to call, and with what; or what becomes of the unit without."""
        record = unit.records[0]
        try:
            message = self._decode(record)
        except UndecodableRecord as error:
            return Todo(dead=[(record, 0, str(error))])
        if self._seen is not None and unit.todo is None and self._seen.has(message.message_id):
            self._counters.add("duplicates")
            return None
        priority, publisher_id, event_type, payload, ctxt, message_id, timestamp = message
        if payload is UNREAD:
            return message, (), ()
        calls: Sequence[Call] = unit.todo or self._calls.get(priority, ())
        if self._has_screens:
            calls = [
                one for one in calls if one[0] is None or self._wanted(one[0], one[1], message)
            ]
        metadata = {"message_id": message_id, "timestamp": timestamp}
        return message, calls, (ctxt, publisher_id, event_type, payload, metadata)

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
                result = self.loop.run(result)
        except BaseException as error:  # noqa: BLE001 - user code; sys.exit ends no worker
            return self._failed(call, messages, error)
        return self._asks(call, result)

    async def _await(
        self, call: Callable[..., Any], messages: Sequence[Notification], arguments: Sequence[Any]
    ) -> str:
        """Do what ``_call`` does with a coroutine function, in its loop."""
        try:
            result = await call(*arguments)
        except BaseException as error:
            if not self.loop.is_current():
                raise  # it is cut off: that was not the endpoint's doing
            return self._failed(call, messages, error)
        return self._asks(call, result)

    def _asks(self, call: Callable[..., Any], result: Any) -> str:
        if self._requeues and result == NotificationResult.REQUEUE:
            return f"{_name(call)} asked for it"
        return ""

    def _failed(
        self, call: Callable[..., Any], messages: Sequence[Notification], error: BaseException
    ) -> str:
        self._tell_failed(call, messages, error)
        return f"{_name(call)} raised {error!r}" if self._requeues else ""

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


def _name(call: Callable[..., Any]) -> str:
    return str(getattr(call, "__qualname__", repr(call)))


def _calls_by_priority(endpoints: Sequence[Any]) -> dict[str, list[Call]]:
    if not endpoints:
        raise InvalidEndpoint("a listener needs at least one endpoint")
    calls: dict[str, list[Call]] = {}
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


def _again(unit: Unit, message: Notification, left: Sequence[tuple[Call, str]]) -> Todo:
    """Return what is left to do where endpoints ask to be called again, and why they do."""
    return Todo(
        records=unit.records,
        work=[one for one, _ in left],
        error=left[-1][1],
        message_id=message.message_id,
    )
