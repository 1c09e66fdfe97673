# SPDX-License-Identifier: Apache-2.0
"""Handlers of Python's logging that send log records as notifications, as upstream's."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from kafka_notify.core.serializers import Serializer
from kafka_notify.runtime.notifier import Notifier
from kafka_notify.runtime.transport import get_notification_transport

_OWN_LOGGER = "kafka_notify"


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell whether we wrote it: what we say of a failed delivery must not be sent in turn."""
    return record.name == _OWN_LOGGER or record.name.startswith(_OWN_LOGGER + ".")


def _process_conf() -> Any:
    """Return oslo.config's object of this process, None if the process does not use it."""
    loaded = sys.modules.get("oslo_config.cfg")
    return None if loaded is None else loaded.CONF


class LoggingNotificationHandler(logging.Handler):
    """Send each log record as a notification of its level's priority.

    For a logging configuration: ``class=kafka_notify.LoggingNotificationHandler``,
    ``args=('kafka://host:9092',)``. ``CONF`` is the oslo.config object used; None means that of
    the process if oslo.config is loaded. Errors of sending go to ``handleError``.
    """

    CONF: Any = None

    def __init__(
        self,
        url: str,
        publisher_id: str | None = None,
        driver: str | None = None,
        topic: str | list[str] | None = None,
        serializer: Callable[[], Serializer] | None = None,
    ) -> None:
        self.notifier = Notifier(
            get_notification_transport(self.CONF or _process_conf(), url),
            publisher_id,
            driver,
            serializer() if serializer else None,
            topics=[topic] if isinstance(topic, str) else topic,
        )
        super().__init__()

    def emit(self, record: logging.LogRecord) -> None:
        """Send one log record; levels that are no priority are left out."""
        method = getattr(self.notifier, record.levelname.lower(), None)
        if method is None or _is_ours(record):
            return
        try:
            method(None, "logrecord", _fields(record))
        except Exception:  # noqa: BLE001 - logging's contract: a handler never raises
            self.handleError(record)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    trace = None
    if record.exc_info:
        trace = logging.Formatter().formatException(record.exc_info)
    return {
        "name": record.name,
        "levelno": record.levelno,
        "levelname": record.levelname,
        "exc_info": trace,
        "pathname": record.pathname,
        "lineno": record.lineno,
        "msg": record.getMessage(),
        "funcName": record.funcName,
        "thread": record.thread,
        "processName": record.processName,
        "process": record.process,
        "extra": getattr(record, "extra", None),
    }


class LoggingErrorNotificationHandler(logging.Handler):
    """Send each log record as an error notification of publisher 'error.publisher'.

    Uses the process's oslo.config object. With the notify driver 'log' it sends nothing: that
    would log, and so on for ever.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from oslo_config import cfg

        super().__init__(*args, **kwargs)
        self._notifier = Notifier(get_notification_transport(cfg.CONF), "error.publisher")

    def emit(self, record: logging.LogRecord) -> None:
        """Send one log record."""
        drivers = self._notifier.transport.settings.notifications.driver or ()
        if "log" in drivers or _is_ours(record):
            return
        try:
            self._notifier.error({}, "error_notification", {"error": record.getMessage()})
        except Exception:  # noqa: BLE001 - logging's contract: a handler never raises
            self.handleError(record)


PublishErrorsHandler = LoggingErrorNotificationHandler
