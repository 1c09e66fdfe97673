# SPDX-License-Identifier: Apache-2.0
"""How long one notification takes from ``info()`` to its endpoint when nothing else is sent."""

from __future__ import annotations

import threading
import time
from typing import Any

from kafka_notify.bench.child import WAIT_S, Figures, Task, percentiles
from kafka_notify.bench.ours_client import listen, notifiers_of, open_transport
from kafka_notify.bench.workload import cycle

_WARM_UP = 50


class _Clock:
    """An endpoint that notes when one arrives."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.at_s = 0.0

    def info(self, *_notification: Any) -> None:
        """Note the time."""
        self.at_s = time.perf_counter()
        self.arrived.set()


def latency(task: Task) -> Figures:
    """Send one at a time; from before ``info()`` to the endpoint."""
    clock = _Clock()
    taken = []
    with open_transport(task) as transport:
        listener = listen(transport, task, [clock])
        notifiers = notifiers_of(transport, task)
        for one in cycle(task.notifications, task.count + _WARM_UP):
            clock.arrived.clear()
            sent_s = time.perf_counter()
            notifiers[one.publisher_id].info({}, one.event_type, one.payload)
            if not clock.arrived.wait(WAIT_S):
                raise SystemExit("a notification did not arrive")
            taken.append(clock.at_s - sent_s)
        listener.stop()
    return percentiles(taken[_WARM_UP:])
