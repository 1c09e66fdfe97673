# SPDX-License-Identifier: Apache-2.0
"""A process with an outbox: each of its publishers sends numbers from a thread of its own.

Arguments: URL, topic, how many publishers, the first number. Prints ``sent PUBLISHER NUMBER`` when
info() has returned. Obeys lines on stdin: ``stop`` ends the sending and prints ``stopped``,
``flush SECONDS`` prints ``left COUNT``, ``stats`` prints them, ``exit`` ends the process.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import threading

import kafka_notify

logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
url, topic = sys.argv[1:3]
publishers, first = map(int, sys.argv[3:5])
enough = threading.Event()
transport = kafka_notify.get_notification_transport(url=url)
notifier = kafka_notify.Notifier(transport, topics=[topic])


def say(text: str) -> None:
    """Print a line at once and whole."""
    os.write(1, f"{text}\n".encode())


def send(publisher: str) -> None:
    """Send a publisher's numbers."""
    mine = notifier.prepare(publisher_id=publisher)
    for number in itertools.count(first):
        if enough.is_set():
            return
        mine.info({}, "outbox", number)
        say(f"sent {publisher} {number}")


def main() -> None:
    """Send, and obey."""
    threads = [threading.Thread(target=send, args=(f"p{one}",)) for one in range(publishers)]
    for thread in threads:
        thread.start()
    say("ready")
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "stop":
            enough.set()
            for thread in threads:
                thread.join()
            say("stopped")
        elif command == "flush":
            say(f"left {transport.flush(float(argument))}")
        elif command == "stats":
            say(f"stats {json.dumps(transport.stats())}")
        else:
            break
    enough.set()


main()
