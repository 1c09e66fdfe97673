# SPDX-License-Identifier: Apache-2.0
"""One demo from start to verdict: listeners start, notifications go out at a steady rate.

Latency is taken from before info() to the endpoint, in one process and on one clock.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import kafka_notify
from kafka_notify.core import events
from kafka_notify.demo.samples import Sample, sample_notifications
from kafka_notify.demo.tally import PoolVerdict, Score, Tally

TOPIC = "kafka-notify-demo"
POOLS: Mapping[str, tuple[str, ...]] = {
    "billing": ("1", "2"),
    "audit": ("1",),
}

_MOST_WARM_UP = 100
_STALL_S = 10.0  # without a single arrival: what is missing then is lost
_SURPLUS_S = 0.5  # for a notification that comes twice to come the second time
_POLL_S = 0.05
_SHOW_EVERY = 20
_SETTLE_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a demo found; ``confirmed`` is what Kafka said it has."""

    sent: int
    confirmed: int
    scores: list[Score]
    verdicts: dict[str, PoolVerdict]

    @property
    def ok(self) -> bool:
        """Whether everything was confirmed and each pool got it once, unchanged, in order."""
        return self.confirmed == self.sent and all(one.ok for one in self.verdicts.values())

    def __str__(self) -> str:
        """Say the verdict in a sentence."""
        if self.ok:
            return (
                f"each of {len(self.verdicts)} pools got all {self.sent} notifications exactly "
                "once, unchanged, in the order of their publishers"
            )
        wrong = [
            f"pool {name}: {verdict}" for name, verdict in self.verdicts.items() if not verdict.ok
        ]
        if self.confirmed != self.sent:
            wrong.insert(0, f"{self.sent - self.confirmed} of {self.sent} not confirmed")
        return "; ".join(wrong)


class Demo:
    """A demo on one cluster. Each listener has a transport of its own, as in services.

    Args:
        url: The cluster's transport URL; only the topics of TOPIC and pools of this run's own are
            touched there.
        count: How many notifications; the first tenth, 100 at most, only warms up.
        rate_per_s: How many per second.
        say: Called with a line of text when something happens.
        show: Called with what is counted, how much is done, and the whole.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        count: int,
        rate_per_s: float,
        say: Callable[[str], None],
        show: Callable[[str, int, int | None], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url
        self._transport = kafka_notify.get_notification_transport(url=url)
        self._count = count
        self._rate_per_s = rate_per_s
        self._say = say
        self._show = show
        self._sleep = sleep
        self._run = uuid.uuid4().hex[:8]
        self._tally = Tally(POOLS, clock=time.perf_counter)

    def run(self) -> Outcome:
        """Do all of it. Blocks some seconds plus ``count / rate_per_s``.

        Raises BrokerUnavailable, BrokerRefused or SendBufferFull.
        """
        with ExitStack() as stack:
            stack.enter_context(self._transport)
            self._transport.check_connection()
            members = [
                _Member(self._url, run=self._run, pool=pool, name=name, tally=self._tally)
                for pool, names in POOLS.items()
                for name in names
            ]
            for member in members:
                stack.callback(member.transport.cleanup)
            self._start(members)
            self._send_all()
            self._await_arrival()
            self._sleep(_SURPLUS_S)
        # All transports are closed: every record has its report, no endpoint runs any more.
        counts = self._transport.stats()
        return Outcome(
            sent=counts["sent"],
            confirmed=counts["confirmed"],
            scores=self._tally.scores(),
            verdicts=self._tally.verdicts(),
        )

    def _start(self, members: Sequence[_Member]) -> None:
        """Start all side by side; return when the pools have divided their work.

        Nothing would be lost before, but a pool that is still dividing delivers late.
        """
        self._say(
            f"Starting {len(members)} listeners in {len(POOLS)} pools; a group that divides its "
            "partitions takes some seconds"
        )
        began = time.monotonic()
        with ThreadPoolExecutor(len(members)) as starters:
            # list: or what a start raises is lost.
            list(starters.map(lambda member: member.listener.start(), members))
        while time.monotonic() - began < _SETTLE_S and not _settled(members):
            self._sleep(_POLL_S)
        self._say(f"All are listening after {time.monotonic() - began:.1f} s")

    def _send_all(self) -> None:
        warm_up = min(_MOST_WARM_UP, self._count // 10)
        self._say(
            f"Sending {self._count} notifications like Nova's, {self._rate_per_s:g} per second "
            f"(latency counts after the first {warm_up})"
        )
        notifier = kafka_notify.Notifier(self._transport, driver="messagingv2", topics=[TOPIC])
        due_s = time.monotonic()
        for number, sample in enumerate(sample_notifications(self._count)):
            if number == warm_up:
                self._await_arrival()
                due_s = time.monotonic()
            self._sleep(max(0.0, due_s - time.monotonic()))
            self._send(notifier, number, sample, timed=number >= warm_up)
            due_s += 1 / self._rate_per_s
            if number % _SHOW_EVERY == 0:
                self._show_counts()

    def _send(
        self, notifier: kafka_notify.Notifier, number: int, sample: Sample, *, timed: bool
    ) -> None:
        # A request's id is a field of the context that oslo.context, too, lets travel.
        ident = f"req-{self._run}-{number}"
        publisher = notifier.prepare(publisher_id=sample.publisher_id)
        self._tally.send(
            ident, publisher_id=sample.publisher_id, payload=sample.payload, timed=timed
        )
        # All as info, whatever their own priority: one topic, so that its partitions are shared.
        publisher.info({"request_id": ident}, sample.event_type, sample.payload)

    def _await_arrival(self) -> None:
        """Return when each pool has all that was sent, or nothing has come for _STALL_S."""
        progress = (-1, time.monotonic())
        while True:
            arrived = self._tally.arrived().values()
            self._show_counts()
            total = sum(arrived)
            if total == len(POOLS) * self._tally.sent:
                return
            if total != progress[0]:
                progress = (total, time.monotonic())
            elif time.monotonic() - progress[1] >= _STALL_S:
                return
            self._sleep(_POLL_S)

    def _show_counts(self) -> None:
        counts = self._transport.stats()
        self._show("sent", counts["sent"], self._count)
        self._show("confirmed", counts["confirmed"], self._count)
        for pool, number in self._tally.arrived().items():
            self._show(f"received by {pool}", number, self._count)


class _Member:
    """One listener, and how many partitions it has: its endpoint is itself."""

    def __init__(self, url: str, *, run: str, pool: str, name: str, tally: Tally) -> None:
        self.pool = pool
        self.partitions = 0
        self._name = name
        self._tally = tally
        self.transport = kafka_notify.get_notification_transport(url=url)
        self.transport.monitor.subscribe(self._heed)
        self.listener = kafka_notify.get_notification_listener(
            self.transport,
            [kafka_notify.Target(topic=TOPIC)],
            [self],
            pool=f"{TOPIC}-{run}-{pool}",
        )

    def _heed(self, event: events.Event) -> None:
        if isinstance(event, events.PartitionsAssigned):
            self.partitions += len(event.partitions)
        elif isinstance(event, (events.PartitionsRevoked, events.PartitionsLost)):
            self.partitions -= len(event.partitions)

    def info(
        self,
        ctxt: dict[str, Any],
        publisher_id: str,
        event_type: str,
        payload: Any,
        metadata: dict[str, Any],
    ) -> None:
        """Note it."""
        self._tally.receive(
            ctxt.get("request_id", ""), pool=self.pool, listener=self._name, payload=payload
        )


def _settled(members: Sequence[_Member]) -> bool:
    """Tell whether every pool has all partitions, and every listener some."""
    totals = dict.fromkeys(POOLS, 0)
    for member in members:
        totals[member.pool] += member.partitions
    return len(set(totals.values())) == 1 and all(member.partitions > 0 for member in members)
