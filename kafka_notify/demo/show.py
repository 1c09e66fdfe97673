# SPDX-License-Identifier: Apache-2.0
"""One demo from start to verdict: listeners start, notifications go out at a steady rate.

Latency is taken from before info() to the endpoint, in one process and on one clock.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import kafka_notify
from kafka_notify.demo.samples import Sample, sample_notifications
from kafka_notify.demo.tally import PoolVerdict, Score, Tally

TOPIC = "kafka-notify-demo"
POOLS: Mapping[str, tuple[str, ...]] = {
    "billing": ("billing-1", "billing-2"),
    "audit": ("audit-1",),
}

_MOST_WARM_UP = 100
_STALL_S = 10.0  # without a single arrival: what is missing then is lost
_SURPLUS_S = 0.5  # for a notification that comes twice to come the second time
_POLL_S = 0.05
_SHOW_EVERY = 20


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
    """A demo over one transport, whose cluster has answered.

    Args:
        transport: Where to; only the topics of TOPIC and pools of this run's own are touched.
        count: How many notifications; the first tenth, 100 at most, only warms up.
        rate_per_s: How many per second.
        say: Called with a line of text when something happens.
        show: Called with what is counted, how much is done, and the whole.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        transport: kafka_notify.NotificationTransport,
        *,
        count: int,
        rate_per_s: float,
        say: Callable[[str], None],
        show: Callable[[str, int, int | None], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = transport
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
        listeners = [
            self._new_listener(pool, name) for pool, names in POOLS.items() for name in names
        ]
        began = time.monotonic()
        with ThreadPoolExecutor(len(listeners)) as starters:
            # list: or what a start raises is lost.
            list(starters.map(lambda listener: listener.start(), listeners))
        self._say(
            f"{len(listeners)} listeners in {len(POOLS)} pools are listening, after "
            f"{time.monotonic() - began:.1f} s"
        )
        self._send_all()
        self._await_arrival()
        self._sleep(_SURPLUS_S)
        for listener in listeners:
            listener.stop()
            listener.wait()
        counts = self._transport.stats()
        return Outcome(
            sent=counts["sent"],
            confirmed=counts["confirmed"],
            scores=self._tally.scores(),
            verdicts=self._tally.verdicts(),
        )

    def _new_listener(self, pool: str, name: str) -> kafka_notify.NotificationListener:
        return kafka_notify.get_notification_listener(
            self._transport,
            [kafka_notify.Target(topic=TOPIC)],
            [_Endpoint(self._tally, pool=pool, name=name)],
            pool=f"{TOPIC}-{self._run}-{pool}",
        )

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
        emit = getattr(publisher, sample.priority)
        self._tally.send(
            ident,
            publisher_id=sample.publisher_id,
            priority=sample.priority,
            payload=sample.payload,
            timed=timed,
        )
        emit({"request_id": ident}, sample.event_type, sample.payload)

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


class _Endpoint:
    """Note each notification of the priorities that the samples have."""

    def __init__(self, tally: Tally, *, pool: str, name: str) -> None:
        self._tally = tally
        self._pool = pool
        self._name = name

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
            ctxt.get("request_id", ""),
            pool=self._pool,
            listener=self._name,
            payload=payload,
        )

    error = info
