# SPDX-License-Identifier: Apache-2.0
"""Transports, notifiers and listeners for our measurements, made from their tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kafka_notify
from kafka_notify.bench.child import Task


def open_transport(task: Task, **more: object) -> kafka_notify.NotificationTransport:
    """Return a transport with the task's options, and ``more``."""
    return kafka_notify.get_notification_transport(url=task.url(**more))


def notifiers_of(
    transport: kafka_notify.NotificationTransport, task: Task
) -> dict[str, kafka_notify.Notifier]:
    """Return a notifier for each publisher, which services have one of."""
    base = kafka_notify.Notifier(transport, topics=[task.topic])
    publishers = {one.publisher_id for one in task.notifications}
    return {one: base.prepare(publisher_id=one) for one in publishers}


def listen(
    transport: kafka_notify.NotificationTransport, task: Task, endpoints: Sequence[Any]
) -> kafka_notify.NotificationListener:
    """Return a listener that has started.

    Options of the task: ``pool``; ``batch``, for a listener in batches; ``topics``, how many.
    """
    count = int(task.options.get("topics", 0))
    names = [f"{task.topic}-{number}" for number in range(count)] or [task.topic]
    targets = [kafka_notify.Target(topic=name) for name in names]
    pool = task.options.get("pool", task.topic)
    batch = task.options.get("batch")
    if batch:
        listener = kafka_notify.get_batch_notification_listener(
            transport, targets, endpoints, pool=pool, batch_size=batch
        )
    else:
        listener = kafka_notify.get_notification_listener(transport, targets, endpoints, pool=pool)
    listener.start()
    return listener
