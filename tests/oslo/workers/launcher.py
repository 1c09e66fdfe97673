# SPDX-License-Identifier: Apache-2.0
"""A launcher in the manner of oslo.service, whose service uses oslo.messaging.

It forks two workers after its transport was used; SIGTERM stops a worker. Arguments: URL, topic to
send to, topic to listen on. Prints ``worker PID`` when one is up, ``got PAYLOAD`` in whichever
worker gets it, ``ended CODE`` for each.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import oslo_messaging  # type: ignore[import-untyped]
from oslo_config import cfg

url, topic, heard_topic = sys.argv[1:]
conf = cfg.ConfigOpts()
conf([])


def say(text: str) -> None:
    """Print a line at once and whole."""
    os.write(1, f"{text}\n".encode())


class Service:
    """Notifies and listens over a transport that the launcher has used before it forked."""

    def __init__(self) -> None:
        self.transport = oslo_messaging.get_notification_transport(conf, url)
        self.notifier = oslo_messaging.Notifier(
            self.transport, "launcher", driver="messagingv2", topics=[topic]
        )
        self.listener = oslo_messaging.get_notification_listener(
            self.transport, [oslo_messaging.Target(topic=heard_topic)], [self], pool=topic
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
        self.listener.stop()
        self.listener.wait()
        self.transport.cleanup()


def work(service: Service) -> None:
    """Run the service until SIGTERM; never return."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    code = 1
    try:
        service.start()
        say(f"worker {os.getpid()}")
        signal.sigwait([signal.SIGTERM])
        service.stop()
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
    service.transport.cleanup()


main()
