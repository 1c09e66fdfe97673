# SPDX-License-Identifier: Apache-2.0
"""The notify driver that drops everything, on purpose."""

from __future__ import annotations

from typing import Any

from kafka_notify.notify_drivers.base import Driver


class NoOpDriver(Driver):
    """Send nothing; ``Notifier.is_enabled()`` is false with it."""

    def notify(self, ctxt: Any, msg: dict[str, Any], priority: str, retry: int | None) -> None:
        """Do nothing."""
