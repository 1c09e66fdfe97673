# SPDX-License-Identifier: Apache-2.0
"""The notify driver for users' tests: it keeps what it is given."""

from __future__ import annotations

from typing import Any

from kafka_notify.notify_drivers.base import Driver

NOTIFICATIONS: list[tuple[Any, dict[str, Any], str, int | None]] = []
"""(context, message, priority, retry) of every notification so far, as upstream's test driver."""


def reset() -> None:
    """Forget all notifications."""
    NOTIFICATIONS.clear()


class TestDriver(Driver):
    """Append to NOTIFICATIONS."""

    __test__ = False  # not a test case, whatever pytest makes of its name

    def notify(self, ctxt: Any, msg: dict[str, Any], priority: str, retry: int | None) -> None:
        """Keep one notification."""
        NOTIFICATIONS.append((ctxt, msg, priority, retry))
