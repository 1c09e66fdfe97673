# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402 - eventlet has to come first
"""A process patched by eventlet, whose real threads log: where each line is made and written.

Arguments: URL, topic. Prints ``client N``, lines of librdkafka made by real threads; ``own N``,
the same of threads of this program; ``elsewhere N``, lines not written by the hub's thread;
``missing N``, ``twice N`` and ``disordered N``, lines that were not written as they were made.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import itertools
import logging
import sys
import time
from typing import Any

import oslo_messaging
from eventlet import patcher
from oslo_config import cfg
from ticker import Ticker

real = patcher.original("threading")
url, topic = sys.argv[1:]
OURS = "kafka_notify"
THREADS, LINES = 4, 200
HUB = real.get_ident()
COME_S = 60


class Made(logging.LogRecord):
    """A line that knows which thread of the operating system has made it, and when."""

    count = itertools.count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.number = next(self.count)
        self.made_by = real.get_ident()
        if self.name.split(".")[0] == OURS:
            made.append(self)


class Witness(logging.Handler):
    """Keeps what is written, and by which thread of the operating system."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        if isinstance(record, Made) and record.name.split(".")[0] == OURS:
            written.append((record, real.get_ident()))
        eventlet.sleep(0)  # so that other green threads log while this one writes


made: list[Made] = []
written: list[tuple[Made, int]] = []


def log_from_real_threads() -> None:
    """Have real threads log at once while the hub is busy, and the hub's threads log beside."""
    log = logging.getLogger(f"{OURS}.witnessed")

    def lines() -> None:
        for number in range(LINES):
            log.info("line %d", number)

    threads = [real.Thread(target=lines) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    busy_until = time.monotonic() + 0.3
    while time.monotonic() < busy_until:
        pass
    lines()
    while any(thread.is_alive() for thread in threads):
        eventlet.sleep(0.01)


def work() -> None:
    """Send and listen, so that the client logs."""
    conf = cfg.ConfigOpts()
    conf([])
    transport = oslo_messaging.get_notification_transport(conf, url=url)
    came = eventlet.event.Event()

    class Endpoint:
        def info(self, *_arguments: Any) -> None:
            came.send()

    listener = oslo_messaging.get_notification_listener(
        transport, [oslo_messaging.Target(topic=topic)], [Endpoint()], executor="eventlet"
    )
    listener.start()
    notifier = oslo_messaging.Notifier(transport, "p", driver="messagingv2", topics=[topic])
    notifier.info({}, "event", "payload")
    with eventlet.Timeout(COME_S):
        came.wait()
    log_from_real_threads()
    listener.stop()
    listener.wait()
    transport.cleanup()


def tell() -> None:
    """Print the figures."""
    aside = [record for record in made if record.made_by != HUB]
    print("client", sum(record.name == f"{OURS}.librdkafka" for record in aside))
    print("own", sum(record.name == f"{OURS}.witnessed" for record in aside))
    print("elsewhere", sum(by != HUB for _, by in written))
    numbers = [record.number for record, _ in written]
    print("missing", len({record.number for record in made} - set(numbers)))
    print("twice", len(numbers) - len(set(numbers)))
    last: dict[int, int] = {}
    disordered = 0
    for record, _ in written:
        disordered += record.number < last.get(record.made_by, -1)
        last[record.made_by] = record.number
    print("disordered", disordered, flush=True)


def main() -> None:
    """Work, look, and leave with a last line that no green thread will have the time to write."""
    logging.setLogRecordFactory(Made)
    logging.basicConfig(level=logging.DEBUG)
    logging.getLogger().addHandler(Witness())
    Ticker()
    work()
    with eventlet.Timeout(COME_S, False):
        while len(written) < len(made):
            eventlet.sleep(0.01)
    tell()
    thread = real.Thread(target=logging.getLogger(OURS).warning, args=("the last words",))
    thread.start()
    thread.join()


main()
