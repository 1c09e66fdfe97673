# SPDX-License-Identifier: Apache-2.0
"""What a notify driver is; upstream's contract, so that drivers written for it fit."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafka_notify.runtime.transport import NotificationTransport


class Driver(abc.ABC):
    """Base of notify drivers; found by the entry points ``kafka_notify.notify_drivers``."""

    def __init__(self, conf: Any, topics: Sequence[str], transport: NotificationTransport) -> None:
        self.conf = conf
        self.topics = topics
        self.transport = transport

    @abc.abstractmethod
    def notify(self, ctxt: Any, msg: dict[str, Any], priority: str, retry: int | None) -> None:
        """Pass one notification on; raise what goes wrong. Threads: any."""
