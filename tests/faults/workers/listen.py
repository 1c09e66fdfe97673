# SPDX-License-Identifier: Apache-2.0
"""A member of one group for each commit policy; all it does goes to the journal.

Prints ``up`` when it heeds SIGTERM, ``ready`` when each start() has returned. A line ``go`` on
stdin frees the endpoint that has the notification of --stuck-at.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import threading
from functools import partial
from typing import Any

import kafka_notify
from kafka_notify.core import events

LOSS_OR_REPETITION = (
    events.CommitAbandoned,
    events.ComesAgain,
    events.LeftBehind,
    events.PartitionsLost,
    events.ConsumerReopened,
    events.EndpointStuck,
)


class Journal:
    """Lines of many processes in one file, in the order in which they were written."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, *words: object) -> None:
        """Write a line whole and at once; kill -9 does not take it back."""
        os.write(self._file, f"{' '.join(map(str, words))}\n".encode())


class Endpoint:
    """Says when it gets a notification, takes its time, and says when it is done."""

    def __init__(self, journal: Journal, policy: str, options: argparse.Namespace) -> None:
        self._journal = journal
        self._policy = policy
        self._most_s = options.delay
        self._stuck_at = options.stuck_at
        self.free = threading.Event()

    def info(self, _ctxt: Any, _publisher: Any, _event: Any, payload: Any, _meta: Any) -> None:
        """Take one notification."""
        self._take([payload])

    def _take(self, payloads: list[Any]) -> None:
        taken = [(self._policy, one["number"], one["key"], os.getpid()) for one in payloads]
        for what in taken:
            self._journal.write("in", *what)
        if any(one["number"] == self._stuck_at for one in payloads):
            self.free.wait()
        elif self._most_s:
            threading.Event().wait(random.uniform(0, self._most_s))  # noqa: S311 - no secret
        for what in taken:
            self._journal.write("out", *what)


class BatchEndpoint(Endpoint):
    """The same with several at once."""

    def info(self, messages: list[dict[str, Any]]) -> None:  # type: ignore[override]
        """Take a batch."""
        self._take([one["payload"] for one in messages])


def tell(journal: Journal, policies: dict[str, str], event: events.Event) -> None:
    """Write down what bears on losses and repetitions."""
    if isinstance(event, LOSS_OR_REPETITION):
        records = getattr(event, "records", 0)
        unknown = getattr(event, "unknown", "")
        policy = policies[event.group.removesuffix(".share")]
        text = " ".join(str(event).split())
        journal.write("told", policy, type(event).__name__, records, unknown or "-", text)


def listen(
    transport: kafka_notify.NotificationTransport,
    endpoint: Endpoint,
    options: argparse.Namespace,
    **more: Any,
) -> kafka_notify.NotificationListener:
    """Return a listener that has started; with --batch it takes so many at once."""
    make = kafka_notify.get_notification_listener
    if options.batch:
        make = kafka_notify.get_batch_notification_listener
        more.update(batch_size=options.batch, batch_timeout=0.2)
    listener = make(transport, [kafka_notify.Target(topic=options.topic)], [endpoint], **more)
    listener.start()
    return listener


def main() -> None:
    """Listen until told otherwise."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("topic")
    parser.add_argument("journal")
    parser.add_argument("policies", nargs="+")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--stuck-at", type=int, default=-1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    kafka_notify.exit_cleanly_on()
    print("up", flush=True)
    journal = Journal(options.journal)
    transport = kafka_notify.get_notification_transport(url=options.url)
    groups = {f"{options.topic}-{policy}": policy for policy in options.policies}
    transport.monitor.subscribe(partial(tell, journal, groups))
    endpoints = []
    listeners = []
    for group, policy in groups.items():
        kind = BatchEndpoint if options.batch else Endpoint
        endpoints.append(kind(journal, policy, options))
        listeners.append(
            listen(transport, endpoints[-1], options, pool=group, commit_policy=policy)
        )
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "problems":
            for listener in listeners:
                print("problems", len(listener.problems()), listener.problems(), flush=True)
        elif line.strip() == "go":
            for endpoint in endpoints:
                endpoint.free.set()
    sys.exit()


main()
