# SPDX-License-Identifier: Apache-2.0
"""A sender: numbered notifications of many keys; each key is one thread's, so it has an order.

Prints ``sending`` when the first is on its way. Ends after --count, or on a line on stdin.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import sys
import threading
import time
from typing import Any

import kafka_notify
from kafka_notify.errors import KafkaNotifyError


class Sender:
    """What the threads share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._file = os.open(options.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._numbers = itertools.count(options.begin)
        self._transport = kafka_notify.get_notification_transport(url=options.url)
        retry = None if options.retry == "default" else int(options.retry)
        self._notifier = kafka_notify.Notifier(
            self._transport, "publisher", topics=[options.topic], retry=retry
        )
        self.done = threading.Event()

    def _write(self, *words: object) -> None:
        line = " ".join(" ".join(map(str, words)).split())
        os.write(self._file, f"{line}\n".encode())

    def run(self, place: int) -> None:
        """Send this thread's share of the keys."""
        options = self._options
        keys = itertools.cycle(range(place, options.keys, options.threads))
        began = time.monotonic()
        for count, key in enumerate(keys, 1):
            number = next(self._numbers)
            if self.done.is_set() or number >= options.begin + options.count:
                return
            payload: dict[str, Any] = {"number": number, "key": f"k{key}"}
            if options.large_every and not number % options.large_every:
                payload["text"] = "x" * options.size
            self._write("sent", "-", number, f"k{key}", os.getpid())
            try:
                self._notifier.info({}, "fault", payload)
            except KafkaNotifyError as error:
                self._write("failed", "-", number, f"k{key}", os.getpid(), error)
            else:
                self._write("confirmed", "-", number, f"k{key}", os.getpid())
            if options.rate:
                due_s = began + count * options.threads / options.rate
                self.done.wait(max(0.0, due_s - time.monotonic()))


def obey(sender: Sender) -> None:
    """Send no more after a line on stdin; end at once when the test that has its other end did."""
    while os.read(0, 100):
        sender.done.set()
    os._exit(1)


def main() -> None:
    """Send until told otherwise."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("topic")
    parser.add_argument("journal")
    parser.add_argument("--begin", type=int, default=0)
    parser.add_argument("--count", type=int, default=1 << 40)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--keys", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--retry", default="default")
    parser.add_argument("--large-every", type=int, default=0)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--exit", choices=["orderly", "sys.exit", "os._exit"], default="orderly")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    sender = Sender(options)
    threads = [threading.Thread(target=sender.run, args=(one,)) for one in range(options.threads)]
    for thread in threads:
        thread.start()
    threading.Thread(target=obey, args=(sender,), daemon=True).start()
    print("sending", flush=True)
    for thread in threads:
        thread.join()
    print("sent", flush=True)
    if options.exit == "os._exit":
        os._exit(0)
    sys.exit()  # nothing is flushed or closed here


main()
