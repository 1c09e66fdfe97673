# SPDX-License-Identifier: Apache-2.0
"""The notifier: what a service emits with, as oslo.messaging's.

It builds the notification and gives it to notify drivers; how they send is theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from kafka_notify.core.context import UnsafeContext, safe_context
from kafka_notify.core.events import ContextOmitted
from kafka_notify.core.serializers import NoOpSerializer, Serializer
from kafka_notify.errors import ConfigurationError, DriverNotFound
from kafka_notify.runtime.retry import check_retry
from kafka_notify.runtime.stamps import message_id, timestamp
from kafka_notify.runtime.transport import NotificationTransport

NAMESPACE = "kafka_notify.notify_drivers"
DEFAULT_DRIVER = "messagingv2"

_LOG = logging.getLogger("kafka_notify")


class NotifyDriver(Protocol):
    """Where a notification goes: to Kafka, a log, nowhere."""

    def notify(self, ctxt: Any, msg: dict[str, Any], priority: str, retry: int | None) -> None:
        """Pass one notification on."""


class _Unset:
    """The default of arguments for which None means something."""


_UNSET = _Unset()


class Notifier:
    """Emit notifications over a transport. Threads: any; also in a child of fork.

    Each has a message_id, publisher_id, timestamp, priority, event_type and payload. Notifiers
    made by ``prepare`` share everything and cost nothing.

    Unlike oslo.messaging's, its methods raise what goes wrong: SerializationError for a payload
    that JSON cannot hold, DeliveryError when the record was not taken (see the option
    ``delivery`` for what a return means).

    Args:
        transport: From ``get_notification_transport``.
        publisher_id: Such as 'compute.host1'; by default also the record key, which orders.
        driver: 'messagingv2', 'messaging', 'log', 'noop', 'test' or 'routing'; else those of
            ``[oslo_messaging_notifications] driver``, else 'messagingv2'.
        serializer: Turns payloads and contexts into JSON's forms.
        retry: With delivery=confirm: None for the option's value, -1 for ever, 0 no second
            attempt, n further attempts.
        topics: Else those of ``[oslo_messaging_notifications] topics``.

    Raises:
        ConfigurationError: DriverNotFound (lists those installed), a retry below -1, no topics.
    """

    def __init__(
        self,
        transport: NotificationTransport,
        publisher_id: str | None = None,
        driver: str | None = None,
        serializer: Serializer | None = None,
        retry: int | None = None,
        topics: Sequence[str] | None = None,
    ) -> None:
        configured = transport.settings.notifications
        self.transport = transport
        self.publisher_id = publisher_id
        self.retry: int | None = configured.retry if retry is None else retry
        check_retry(self.retry)
        plain = serializer is None or type(serializer) is NoOpSerializer
        self._serializer = None if plain else serializer
        self._topics = _checked_topics(configured.topics if topics is None else topics)
        self._driver_names = _driver_names(driver, configured.driver)
        self._drivers: list[NotifyDriver] = [
            load_notify_driver(name, transport, self._topics) for name in self._driver_names
        ]

    def __repr__(self) -> str:
        """Tell publisher, drivers and topics."""
        return (
            f"<Notifier {self.publisher_id!r} by {', '.join(self._driver_names) or 'no driver'} "
            f"to {', '.join(self._topics)}>"
        )

    def prepare(
        self, publisher_id: str | _Unset | None = _UNSET, retry: int | _Unset | None = _UNSET
    ) -> Notifier:
        """Return a notifier with another publisher_id or retry; everything else is shared.

        ``retry`` is -1 or, as in oslo.messaging, None for ever, 0 no second attempt, n further
        ones.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        if not isinstance(publisher_id, _Unset):
            other.publisher_id = publisher_id
        if not isinstance(retry, _Unset):
            check_retry(retry)
            other.retry = retry
        return other

    def audit(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority audit."""
        self._notify(ctxt, event_type, payload, "AUDIT")

    def debug(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority debug."""
        self._notify(ctxt, event_type, payload, "DEBUG")

    def info(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority info."""
        self._notify(ctxt, event_type, payload, "INFO")

    def warn(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority warn."""
        self._notify(ctxt, event_type, payload, "WARN")

    warning = warn

    def error(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority error."""
        self._notify(ctxt, event_type, payload, "ERROR")

    exception = error

    def critical(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority critical."""
        self._notify(ctxt, event_type, payload, "CRITICAL")

    def sample(self, ctxt: Any, event_type: str, payload: Any) -> None:
        """Emit at priority sample: frequent and small."""
        self._notify(ctxt, event_type, payload, "SAMPLE")

    def is_enabled(self) -> bool:
        """Tell whether notifications go anywhere: false if the only driver is noop."""
        return self._driver_names != ["noop"]

    def _notify(self, ctxt: Any, event_type: str, payload: Any, priority: str) -> None:
        drivers = self._drivers
        if not drivers:
            return
        context, message = self.compose(ctxt, event_type, payload, priority)
        if len(drivers) == 1:
            drivers[0].notify(context, message, priority, self.retry)
        else:
            self._notify_all(context, message, priority)

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that it sends to, without the priority."""
        return self._topics

    def compose(
        self, ctxt: Any, event_type: str, payload: Any, priority: str
    ) -> tuple[Any, dict[str, Any]]:
        """Return the context that may travel, and the fields of a new notification."""
        context = ctxt if type(ctxt) is dict and not ctxt else self._safe(ctxt)
        if self._serializer is not None:
            payload = self._serializer.serialize_entity(ctxt, payload)
            context = self._serializer.serialize_context(context)
        return context, {
            "message_id": message_id(),
            "publisher_id": self.publisher_id,
            "event_type": event_type,
            "priority": priority,
            "payload": payload,
            "timestamp": timestamp(),
        }

    def _notify_all(self, context: Any, message: dict[str, Any], priority: str) -> None:
        """Call every driver, whatever one of them raises; raise the first error at the end."""
        first: Exception | None = None
        for driver in self._drivers:
            try:
                driver.notify(context, message, priority, self.retry)
            except Exception as error:  # noqa: BLE001 - drivers are plug-ins; raised below
                if first is not None:
                    _LOG.error("A further notify driver failed", exc_info=error)
                first = first or error
        if first is not None:
            raise first

    def _safe(self, ctxt: Any) -> Any:
        try:
            return safe_context(ctxt, self.transport.settings.context_fields)
        except UnsafeContext as unsafe:
            self.transport.monitor.emit(ContextOmitted(reason=str(unsafe)))
            return {}


def _driver_names(explicit: str | None, configured: Sequence[str] | None) -> list[str]:
    if explicit is not None:
        return [explicit]
    if configured is None:
        return [DEFAULT_DRIVER]
    if not configured:
        _LOG.warning(
            "[oslo_messaging_notifications] driver is empty: notifications go nowhere. Remove the "
            "option to send them (messagingv2), or set it to noop to say that this is meant."
        )
    return list(configured)


def _checked_topics(topics: Sequence[str]) -> tuple[str, ...]:
    if isinstance(topics, str) or not topics:
        raise ConfigurationError(f"topics {topics!r}: a notifier needs a list of topics")
    return tuple(topics)


def load_notify_driver(
    name: str, transport: NotificationTransport, topics: Sequence[str]
) -> NotifyDriver:
    """Return the notify driver of this name; raise DriverNotFound, which lists those installed."""
    from stevedore import exception, extension
    from stevedore.driver import DriverManager

    try:
        factory: Callable[..., NotifyDriver] = DriverManager(NAMESPACE, name).driver
    except exception.NoMatches as error:
        installed = sorted(extension.ExtensionManager(NAMESPACE).names())
        raise DriverNotFound(
            f"no notify driver named {name!r}; installed are {', '.join(installed)}"
        ) from error
    return factory(transport.conf, topics=topics, transport=transport)
