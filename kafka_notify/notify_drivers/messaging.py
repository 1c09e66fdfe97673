# SPDX-License-Identifier: Apache-2.0
"""Notify drivers that send over the transport. Over Kafka both write the 2.0 envelope."""

from __future__ import annotations

from typing import Any

from kafka_notify.notify_drivers.base import Driver


class MessagingDriver(Driver):
    """Send to ``topic.priority`` of each topic."""

    def notify(self, ctxt: Any, msg: dict[str, Any], priority: str, retry: int | None) -> None:
        """Send one notification; see ``NotificationTransport.send``."""
        self.transport.send(self.topics, priority=priority, ctxt=ctxt, message=msg, retry=retry)


class MessagingV2Driver(MessagingDriver):
    """Same as MessagingDriver; the name that services configure."""
