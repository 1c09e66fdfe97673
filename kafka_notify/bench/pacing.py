# SPDX-License-Identifier: Apache-2.0
"""Notifications at a steady rate, each with the time at which it is due."""

from __future__ import annotations

import time
from collections.abc import Iterator

from kafka_notify.bench.child import Task
from kafka_notify.bench.workload import cycle
from kafka_notify.demo.samples import Sample

_RUN_UP_S = 0.2


def at_rate(task: Task) -> Iterator[tuple[Sample, float]]:
    """Yield each notification when it is due, at the task's ``rate``, with that time.

    Who takes longer to send than there is time gets the next ones late, with their due times: a
    delay counts from those, so that what waits to be sent is not left out of it.
    """
    interval_s = 1 / float(task.options["rate"])
    began_s = time.monotonic() + _RUN_UP_S
    for number, one in enumerate(cycle(task.notifications, task.count)):
        due_s = began_s + number * interval_s
        early_s = due_s - time.monotonic()
        if early_s > 0:
            time.sleep(early_s)
        yield one, due_s
