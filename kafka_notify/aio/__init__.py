# SPDX-License-Identifier: Apache-2.0
"""The asyncio face: send, listen and read without blocking a loop, and without a thread per call.

Any number of loops in one process may use one transport. Nothing here knows Kafka: it waits in
coroutines for what the runtime's threads do.
"""

from kafka_notify.aio.listener import AsyncListener, Received
from kafka_notify.aio.notifier import AsyncNotifier
from kafka_notify.aio.reading import Reading
from kafka_notify.aio.sending import AsyncSender

__all__ = ["AsyncListener", "AsyncNotifier", "AsyncSender", "Reading", "Received"]
