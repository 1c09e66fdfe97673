# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402 - eventlet has to come first
"""A launcher in the manner of oslo.service under eventlet; it listens before it forks, and after.

It forks two workers; SIGTERM stops a worker. Arguments: URL, topic to send to, topic that workers
listen on. Prints ``worker PID`` when one is up, ``got PAYLOAD`` in whichever worker gets it,
``heard PAYLOAD`` in the launcher, which listens to what is sent, ``ended CODE`` for each worker,
and what ``Ticker.counted`` does.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import logging
import os
import signal
import sys
from typing import Any

import oslo_messaging
from eventlet import hubs, tpool
from oslo_config import cfg
from ticker import Ticker

url, topic, heard_topic = sys.argv[1:]
conf = cfg.ConfigOpts()
conf([])
logging.basicConfig(level=logging.DEBUG, format="%(process)d %(name)s %(message)s")


def say(text: str) -> None:
    """Print a line at once and whole."""
    os.write(1, f"{text}\n".encode())


class Endpoint:
    """Says what it gets."""

    def __init__(self, word: str) -> None:
        self._word = word

    def info(self, _c: Any, _publisher: Any, _event: Any, payload: Any, _metadata: Any) -> None:
        """Take one notification."""
        say(f"{self._word} {payload}")


class Service:
    """Notifies and listens over a transport that the launcher has used before it forked."""

    def __init__(self) -> None:
        self.transport = oslo_messaging.get_notification_transport(conf, url)
        self.notifier = oslo_messaging.Notifier(
            self.transport, "launcher", driver="messagingv2", topics=[topic]
        )

    def listen(self, heard: str, *, pool: str, word: str) -> Any:
        """Return a listener that runs."""
        listener = oslo_messaging.get_notification_listener(
            self.transport,
            [oslo_messaging.Target(topic=heard)],
            [Endpoint(word)],
            executor="eventlet",
            pool=pool,
        )
        listener.start()
        return listener

    def end(self, listener: Any) -> None:
        """Leave."""
        listener.stop()
        listener.wait()
        self.transport.cleanup()


def work(service: Service) -> None:
    """Run the service until SIGTERM; never return."""
    hubs.use_hub()  # as oslo.service does: the old one's descriptors are the parent's
    code = 1
    try:
        stopped: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
        ticker = Ticker()
        with ticker.counted("start"):
            listener = service.listen(heard_topic, pool=heard_topic, word="got")
        service.notifier.info({}, "service", f"started in {os.getpid()}")
        say(f"worker {os.getpid()}")
        while not stopped:
            eventlet.sleep(0.02)
        service.notifier.info({}, "service", f"stopped in {os.getpid()}")
        with ticker.counted("end"):
            service.end(listener)
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    """Launch two workers, stop them on a line on stdin, and end after them."""
    service = Service()
    listener = service.listen(topic, pool=f"{topic}-launcher", word="heard")
    service.notifier.info({}, "launcher", "before the fork")
    workers = []
    for _ in range(2):
        pid = os.fork()
        if not pid:
            work(service)
        workers.append(pid)
    service.notifier.info({}, "launcher", "after the fork")
    tpool.execute(sys.stdin.readline)
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    for pid in workers:
        say(f"ended {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}")
    service.notifier.info({}, "launcher", "after the workers")
    tpool.execute(sys.stdin.readline)
    service.end(listener)


main()
