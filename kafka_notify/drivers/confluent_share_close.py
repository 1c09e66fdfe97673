# SPDX-License-Identifier: Apache-2.0
"""Closing a share consumer in bounded time.

librdkafka's own close now and then never returns although the member has left its group: once in
some hundred times when others join or leave at that moment. So it runs in a thread of its own,
which is given up then, together with the client.
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
