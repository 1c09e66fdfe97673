# SPDX-License-Identifier: Apache-2.0
"""A launcher in the manner of oslo.service: it forks workers, and each runs a service.

A worker is stopped by SIGTERM, and ends by os._exit after service.stop() and service.wait().
Arguments: URL, topic to send to, topic to listen on. Prints ``worker PID`` when one is up, ``got
PAYLOAD`` in whichever worker gets it, ``ended CODE`` for each.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import kafka_notify

url, topic, heard_topic = sys.argv[1:]


def say(text: str) -> None:
    """Print a line at once and whole."""
    os.write(1, f"{text}\n".encode())


class Service:
    """Notifies and listens over a transport that the launcher has used before it forked."""

    def __init__(self) -> None:
        self.transport = kafka_notify.get_notification_transport(url=url)
        self.notifier = kafka_notify.Notifier(self.transport, "launcher", topics=[topic])
        self.listener = kafka_notify.get_notification_listener(
            self.transport, [kafka_notify.Target(topic=heard_topic)], [self], pool=topic
        )

    def info(self, _c: Any, _publisher: Any, _event: Any, payload: Any, _metadata: Any) -> None:
        """Take one notification."""
        say(f"got {payload}")

    def start(self) -> None:
        """Begin to work."""
        self.listener.start()
        self.notifier.info({}, "service", f"started in {os.getpid()}")

    def stop(self) -> None:
        """Say so and leave."""
        self.notifier.info({}, "service", f"stopped in {os.getpid()}")
        self.transport.cleanup()

    def wait(self) -> None:
        """Wait for the listener's end."""
        self.listener.wait()


def work(service: Service) -> None:
    """Run the service until SIGTERM; never return."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    code = 1
    try:
        service.start()
        say(f"worker {os.getpid()}")
        signal.sigwait([signal.SIGTERM])
        service.stop()
        service.wait()
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    """Launch two workers, stop them on a line on stdin, and end after them."""
    service = Service()
    service.notifier.info({}, "launcher", "before the fork")
    workers = []
    for _ in range(2):
        pid = os.fork()
        if not pid:
            work(service)
        workers.append(pid)
    service.notifier.info({}, "launcher", "after the fork")
    sys.stdin.readline()
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    for pid in workers:
        say(f"ended {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}")
    service.notifier.info({}, "launcher", "after the workers")


main()
