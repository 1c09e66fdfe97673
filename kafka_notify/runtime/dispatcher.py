# SPDX-License-Identifier: Apache-2.0
"""Notifications to endpoints: filter, call. Whether they are committed is not its business."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kafka_notify.core.events import EndpointFailed, Monitor
from kafka_notify.core.filters import NotificationFilter
from kafka_notify.core.lanes import Unit
from kafka_notify.core.message import PRIORITIES, Notification, Record
from kafka_notify.core.serializers import NoOpSerializer, Serializer
from kafka_notify.errors import InvalidEndpoint
from kafka_notify.runtime.counters import Counters
from kafka_notify.runtime.decoder import Decoder

_Call = tuple["NotificationFilter | None", Callable[..., Any]]


class Dispatcher:
    """Call the endpoints of one listener. Threads: any; errors of endpoints are told, not raised.

    Raises InvalidEndpoint for an endpoint without a method named after a priority.
    """

    def __init__(
        self,
        endpoints: Sequence[Any],
        serializer: Serializer | None,
        *,
        monitor: Monitor,
        counters: Counters,
    ) -> None:
        self._serializer = serializer or NoOpSerializer()
        self._monitor = monitor
        self._counters = counters
        self._decoder = Decoder(monitor=monitor, counters=counters)
        self._calls = _calls_by_priority(endpoints)

    @property
    def priorities(self) -> tuple[str, ...]:
        """The priorities that any endpoint wants."""
        return tuple(self._calls)

    def run(self, unit: Unit) -> None:
        """Dispatch the one record of a unit."""
        record = unit.records[0]
        message = self._decode(record)
        if message is not None:
            for screen, call in self._calls.get(message.priority, ()):
                if self._wanted(screen, call, message):
                    self._call(call, (message,), _arguments(message))
            self._counters.add("dispatched")

    def _decode(self, record: Record) -> Notification | None:
        message = self._decoder.decode(record)
        if message is None:
            return None
        try:
            ctxt = self._serializer.deserialize_context(message.ctxt)
            payload = self._serializer.deserialize_entity(ctxt, message.payload)
        except Exception as error:  # noqa: BLE001 - user code
            self._decoder.skip(record, f"its serializer raised {error!r}")
            return None
        return message._replace(ctxt=ctxt, payload=payload)

    def _call(
        self, call: Callable[..., Any], messages: Sequence[Notification], arguments: Sequence[Any]
    ) -> None:
        try:
            call(*arguments)
        except BaseException as error:  # noqa: BLE001 - user code; sys.exit ends no worker
            self._tell_failed(call, messages, error)

    def _wanted(
        self, screen: NotificationFilter | None, call: Callable[..., Any], message: Notification
    ) -> bool:
        """Tell whether an endpoint's filter lets a notification through."""
        if screen is None:
            return True
        try:
            return screen.match(
                message.ctxt,
                message.publisher_id,
                message.event_type,
                _metadata(message),
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
                endpoint=getattr(call, "__qualname__", repr(call)),
                message_ids=[message.message_id for message in messages],
                error=error,
            )
        )


class BatchDispatcher(Dispatcher):
    """Same as Dispatcher, but each endpoint is called with a list of its notifications.

    The list's items are upstream's: dicts of ctxt, publisher_id, event_type, payload, metadata.
    """

    def run(self, unit: Unit) -> None:
        """Dispatch a batch: one call per priority and endpoint that wants some of it."""
        by_priority: dict[str, list[Notification]] = {}
        for record in unit.records:
            message = self._decode(record)
            if message is not None:
                by_priority.setdefault(message.priority, []).append(message)
        for priority, messages in by_priority.items():
            for screen, call in self._calls.get(priority, ()):
                wanted = [one for one in messages if self._wanted(screen, call, one)]
                if wanted:
                    self._call(call, wanted, ([_as_dict(message) for message in wanted],))
            self._counters.add("dispatched", len(messages))


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


def _metadata(message: Notification) -> dict[str, Any]:
    return {"message_id": message.message_id, "timestamp": message.timestamp}


def _arguments(message: Notification) -> tuple[Any, ...]:
    return (
        message.ctxt,
        message.publisher_id,
        message.event_type,
        message.payload,
        _metadata(message),
    )


def _as_dict(message: Notification) -> dict[str, Any]:
    names = ("ctxt", "publisher_id", "event_type", "payload", "metadata")
    return dict(zip(names, _arguments(message), strict=True))
