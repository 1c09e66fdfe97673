# SPDX-License-Identifier: Apache-2.0
"""Children made by multiprocessing, each of which sends and returns.

Arguments: URL, topic, start method. The parent sends before and after them; a child of fork uses
the notifier that its parent has used already.
"""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any

import kafka_notify

url, topic, method = sys.argv[1:]
transport = kafka_notify.get_notification_transport(url=url)
notifier = kafka_notify.Notifier(transport, "publisher", topics=[topic])


def send(numbers: range) -> None:
    """Send these numbers, and leave without looking after anything."""
    for number in numbers:
        notifier.info({}, "children", number)


if __name__ == "__main__":
    context: Any = multiprocessing.get_context(method)
    send(range(100))
    children = [
        context.Process(target=send, args=(range(first, first + 100),)) for first in (100, 200)
    ]
    for child in children:
        child.start()
    send(range(300, 400))
    for child in children:
        child.join(30)
    sys.exit(any(child.exitcode != 0 for child in children))
