# SPDX-License-Identifier: Apache-2.0
"""The notify driver that writes to Python's log, secrets masked."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson

from kafka_notify.core.primitive import to_primitive
from kafka_notify.core.url import REDACTED, is_secret
from kafka_notify.notify_drivers.base import Driver

LOGGER_BASE = "oslo.messaging.notification"
"""Upstream's logger; ``LOGGER_BASE.<event_type>`` gets the line, so its configuration holds."""

_LEVELS = {
    "audit": logging.INFO,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "sample": logging.INFO,
}


class LogDriver(Driver):
    """Log each notification as one JSON line at the level of its priority."""

    def notify(self, ctxt: Any, msg: dict[str, Any], priority: str, retry: int | None) -> None:
        """Log one notification."""
        logger = logging.getLogger(f"{LOGGER_BASE}.{msg['event_type']}")
        level = _LEVELS[priority.lower()]
        if logger.isEnabledFor(level):
            line = orjson.dumps(_masked(msg), to_primitive, orjson.OPT_NON_STR_KEYS)
            logger.log(level, "%s", line.decode())


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: REDACTED if is_secret(str(name)) else _masked(part)
            for name, part in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_masked(part) for part in value]
    return value
