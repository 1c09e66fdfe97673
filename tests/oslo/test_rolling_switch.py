# SPDX-License-Identifier: Apache-2.0
"""The way from upstream's ``kafka://`` to ours, and back: listeners first, then senders.

Upstream's listener loses what it holds when it stops or when its group is balanced anew, so nobody
may join or leave beside it before all that was sent is through, as an operator would see by the
lag. Once the listeners are ours they change under load.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Kafka
from tests.interop.upstream import WORKERS as INTEROP_WORKERS
from tests.interop.upstream import payloads
from tests.oslo.conftest import SCHEME, UPSTREAM, url_of
from tests.scenarios.processes import Process
from tests.scenarios.topics import BareClient
from tests.waiting import eventually

pytest.importorskip("oslo_messaging")
pytestmark = pytest.mark.functional

WORKERS = Path(__file__).parent / "workers"
PARTITIONS = 4
EACH = 200  # what each sender sends in one round
SETTLED_S = 60.0


class Deployment:
    """Senders and listeners of one pool, each a process; knows what was sent and what arrived."""

    def __init__(
        self, kafka: Kafka, bare: BareClient, start: Callable[..., Process], unique: str
    ) -> None:
        self._kafka = kafka
        self._bare = bare
        self._start = start
        self._topic = self._pool = unique
        self._numbers = itertools.count(0, EACH)
        self._sent: list[int] = []
        self._listeners: list[Process] = []
        self._ended: list[Process] = []

    # --- listeners

    def join(self, scheme: str) -> Process:
        """Start a listener; return when each listener has partitions and this one hears them."""
        listener = self._start(
            INTEROP_WORKERS / "upstream_listen.py",
            url_of(self._kafka, scheme),
            self._topic,
            self._pool,
        )
        self._listeners.append(listener)
        eventually(lambda: self._heard_warm_up(listener), SETTLED_S, "a listener that hears")
        self._settle()
        self.drain()
        return listener

    def leave(self, listener: Process) -> None:
        """Stop a listener; return when the others have its partitions."""
        listener.tell("end")
        assert listener.end() == 0, listener.log
        self._listeners.remove(listener)
        self._ended.append(listener)
        self._settle()

    def _settle(self) -> None:
        def settled() -> bool:
            shares = self._bare.shares(self._pool)
            counts = (len(shares), sum(shares))
            return counts == (len(self._listeners), PARTITIONS) and all(shares)

        eventually(settled, SETTLED_S, f"{len(self._listeners)} members that share the partitions")

    def _heard_warm_up(self, listener: Process) -> bool:
        for partition in range(PARTITIONS):
            self._bare.send_payloads(f"{self._topic}.info", ["warm-up"], partition=partition)
        return bool(listener.lines("got "))

    # --- senders

    def sender(self, scheme: str) -> Process:
        """Start a sender."""
        return self._start(
            WORKERS / "sender.py", url_of(self._kafka, scheme), self._topic, f"service-{scheme}"
        )

    def send(self, *senders: Process) -> None:
        """Have each sender send its share; return at once."""
        for sender in senders:
            first = next(self._numbers)
            sender.tell(f"{first} {first + EACH}")
            self._sent.extend(range(first, first + EACH))

    def retire(self, sender: Process) -> None:
        """End a sender in good order: what it has sent is in Kafka then."""
        sender.tell("end")
        assert sender.end() == 0, sender.log

    # --- what there is

    def received(self) -> list[Any]:
        """Return all that any listener got so far."""
        return sorted(
            number for one in [*self._ended, *self._listeners] for number in payloads(one)
        )

    def drain(self) -> None:
        """Return when all that was sent is received, each once, and committed."""
        eventually(lambda: len(self.received()) >= len(self._sent), SETTLED_S, "all that was sent")
        assert self.received() == self._sent
        eventually(
            lambda: not self._bare.lag(self._pool, f"{self._topic}.info"), SETTLED_S, "no lag"
        )


def test_listeners_first_then_senders(
    kafka: Kafka, bare: BareClient, start: Callable[..., Process], unique: str
) -> None:
    """All that is sent on the way there and on the way back is received, each once."""
    bare.create(f"{unique}.info", PARTITIONS)
    fleet = Deployment(kafka, bare, start, unique)
    old_listeners = [fleet.join(UPSTREAM), fleet.join(UPSTREAM)]
    old_senders = [fleet.sender(UPSTREAM), fleet.sender(UPSTREAM)]
    fleet.send(*old_senders)
    fleet.drain()

    new_listeners = []
    for listener in old_listeners:
        new_listeners.append(fleet.join(SCHEME))
        fleet.send(*old_senders)
        fleet.drain()
        fleet.leave(listener)
        fleet.send(*old_senders)
        fleet.drain()

    new_senders = [fleet.sender(SCHEME), fleet.sender(SCHEME)]
    for listener in new_listeners:
        # Under load: ours may come and go.
        fleet.send(*old_senders, *new_senders)
        fleet.leave(listener)
        fleet.send(*old_senders, *new_senders)
        fleet.join(SCHEME)
    for sender in old_senders:
        fleet.retire(sender)
    fleet.send(*new_senders)
    fleet.drain()


def test_the_way_back(
    kafka: Kafka, bare: BareClient, start: Callable[..., Process], unique: str
) -> None:
    """Senders first, then listeners: upstream's goes on where ours has stopped."""
    bare.create(f"{unique}.info", PARTITIONS)
    fleet = Deployment(kafka, bare, start, unique)
    listener = fleet.join(SCHEME)
    senders = [fleet.sender(SCHEME), fleet.sender(UPSTREAM)]
    fleet.send(*senders)
    fleet.retire(senders[0])
    fleet.drain()
    fleet.join(UPSTREAM)
    fleet.send(senders[1])
    fleet.drain()
    fleet.leave(listener)
    fleet.send(senders[1])
    fleet.drain()
