# SPDX-License-Identifier: Apache-2.0
"""A child made by multiprocessing that listens and returns while its endpoints are at work.

Arguments: URL, topic. Prints ``got PAYLOAD`` for each notification that is through.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from typing import Any

import kafka_notify

url, topic = sys.argv[1:]
enough = threading.Event()


class Endpoint:
    """Takes its time, then says what it got."""

    def info(self, _ctxt: Any, _publisher: Any, _event: Any, payload: Any, _metadata: Any) -> None:
        """Take one notification."""
        threading.Event().wait(0.01)
        os.write(1, f"got {payload}\n".encode())
        if payload > 20:
            enough.set()


def listen() -> None:
    """Listen for a while, and leave without looking after anything."""
    transport = kafka_notify.get_notification_transport(url=url)
    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic=topic)], [Endpoint()], pool=topic
    )
    listener.start()
    enough.wait(60)


if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=listen)
    child.start()
    child.join()
    sys.exit(child.exitcode)
