# SPDX-License-Identifier: Apache-2.0
"""Closing a share consumer in bounded time.

librdkafka's own close has no time-out. From a broker that hangs it takes a request's; of a member
that has not been given its partitions yet it now and then never returns (16 of 1,107 such, none of
608 others), and may leave a member behind. So a member that joins is closed when it has joined,
and closing runs in a thread of its own, which is given up after a while, together with the client.
"""

from __future__ import annotations

from confluent_kafka import KafkaException, ShareConsumer

from kafka_notify.drivers.confluent_client import leak
from kafka_notify.drivers.confluent_errors import Problems
from kafka_notify.native import threading


class Ending:
    """The end of one client. Threads: the one that owned the client."""

    def __init__(self, client: ShareConsumer, *, problems: Problems, what: str) -> None:
        """Take a client to close; ``what`` names group and address."""
        self._client: ShareConsumer | None = client
        self._problems = problems
        self._what = what
        self._over = threading.Event()

    def begin(self) -> None:
        """Close the client; from now on nobody else may hold a reference to it."""
        # A daemon: it must not keep the process from ending.
        threading.Thread(target=self._close, name="kafka-notify-share-close", daemon=True).start()

    def _close(self) -> None:
        try:
            if self._client is not None:
                self._client.close()
        except KafkaException as error:
            self._problems.heard_of(f"leaving share {self._what}", error.args[0])
        finally:
            self._client = None  # which destroys it, here, and may take as long
            self._over.set()

    def wait(self, timeout_s: float) -> bool:
        """Return whether it has ended in time; if not, give it up."""
        if self._over.wait(timeout_s):
            return True
        self.abandon()
        return False

    def abandon(self) -> None:
        """Give the client up, here or in a child of fork."""
        leak(self._client)
