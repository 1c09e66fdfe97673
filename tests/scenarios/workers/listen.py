# SPDX-License-Identifier: Apache-2.0
"""A listener in a process of its own.

Prints ``ready`` when start() has returned and ``got MESSAGE_ID PAYLOAD`` for each notification
that is through its endpoint; the one for the payload of ``--hang-at`` says ``hangs PAYLOAD`` and
never ends. Ends on SIGTERM, or by sys.exit on a line on stdin.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from typing import Any

import kafka_notify


def say(text: str) -> None:
    """Print a line at once and whole, whatever thread and however the process ends."""
    os.write(1, f"{text}\n".encode())


class Endpoint:
    """Takes its time, then says what it got."""

    def __init__(self, delay_s: float, hang_at: str) -> None:
        self._delay_s = delay_s
        self._hang_at = hang_at

    def info(self, _ctxt: Any, _publisher: Any, _event: Any, payload: Any, metadata: Any) -> None:
        """Take one notification."""
        if str(payload) == self._hang_at:
            say(f"hangs {payload}")
            threading.Event().wait()
        threading.Event().wait(self._delay_s)
        say(f"got {metadata['message_id']} {payload}")


def main() -> None:
    """Listen until told otherwise."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("topic")
    parser.add_argument("pool")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--hang-at", default="")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    kafka_notify.exit_cleanly_on()
    transport = kafka_notify.get_notification_transport(url=arguments.url)
    listener = kafka_notify.get_notification_listener(
        transport,
        [kafka_notify.Target(topic=arguments.topic)],
        [Endpoint(arguments.delay, arguments.hang_at)],
        pool=arguments.pool,
    )
    listener.start()
    say("ready")
    sys.stdin.readline()
    sys.exit()


main()
