# SPDX-License-Identifier: Apache-2.0
"""Whatever happens in whatever order, all that the outbox took arrives, in order per publisher."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

import kafka_notify
from kafka_notify.core.message import DeliveryReport
from kafka_notify.drivers.memory_cluster import MemoryCluster
from kafka_notify.errors import DeliveryRefused, OutboxFull
from kafka_notify.runtime.outbox import deliveries, files, folder, pump
from kafka_notify.runtime.outbox.store import Store

BOUND_S = 20.0
FEWER = hypothesis.settings.default.max_examples // 4  # each takes up to a second
REFUSED = "bad.info"


class Disk:
    """A disk that takes nothing while it is full."""

    full = False

    @classmethod
    def behind(cls, work: Callable[..., None]) -> Callable[..., None]:
        """Return a method of the store that knows of it."""

        def on_disk(store: Store, *arguments: Any) -> None:
            if cls.full:
                raise OutboxFull("full")
            work(store, *arguments)

        return on_disk


class Machine(RuleBasedStateMachine):
    """One process after the other sends: each ends in order, or is killed."""

    mode = ""
    root: Path

    def __init__(self) -> None:
        super().__init__()
        self.name = uuid.uuid4().hex
        self.cluster = MemoryCluster.find(self.name)
        self.cluster.refuse(REFUSED, DeliveryRefused("no such luck", topic=REFUSED))
        self.spool = tempfile.mkdtemp(dir=self.root)
        self.accepted: dict[str, list[int]] = defaultdict(list)
        self.refused = 0
        self.reports: list[DeliveryReport] = []
        self.killed = False
        self.start()

    def start(self) -> None:
        self.transport = kafka_notify.get_notification_transport(
            url=f"memory://{self.name}/?outbox={self.mode}&spool_dir={self.spool}"
            "&close_timeout=0.05&send_buffer_records=20&send_block_timeout=0",
            on_delivery=self.reports.append,
        )

    @property
    def outbox(self) -> Any:
        return self.transport._sender._outbox

    @rule(
        count=st.integers(1, 30),
        publisher=st.sampled_from(["p0", "p1"]),
        bad=st.none() | st.integers(0, 30),
    )
    def send(self, count: int, publisher: str, bad: int | None) -> None:
        """Send so many; Kafka refuses one that goes before the one numbered ``bad``."""
        notifier = kafka_notify.Notifier(self.transport, publisher)
        try:
            for number in range(count):
                if number == bad:
                    kafka_notify.Notifier(self.transport, publisher, topics=["bad"]).info(
                        {}, "e", 0
                    )
                    self.refused += 1
                mine = self.accepted[publisher]
                notifier.info({}, "e", len(mine))
                mine.append(len(mine))
        except OutboxFull:
            assert Disk.full

    @rule(full=st.booleans())
    def fill_the_disk(self, full: bool) -> None:
        Disk.full = full

    @rule()
    def lose_the_brokers(self) -> None:
        self.cluster.unavailable = True

    @rule()
    def find_the_brokers(self) -> None:
        self.cluster.unavailable = False

    @rule(timeout_s=st.sampled_from([0.01, 0.1]))
    def flush(self, timeout_s: float) -> None:
        self.transport.flush(timeout_s)

    @precondition(lambda self: not self.cluster.unavailable and not Disk.full)
    @rule()
    def flush_all(self) -> None:
        assert self.transport.flush(BOUND_S) == 0

    @precondition(lambda self: self.mode == "always" or not Disk.full)
    @rule(away=st.booleans())
    def restart(self, away: bool) -> None:
        self.cluster.unavailable = away
        self.transport.cleanup()
        self.start()

    @precondition(lambda self: self.mode == "always")
    @rule()
    def kill(self) -> None:
        """End without a word: what is not on disk is gone, as are the locks."""
        self.killed = True
        outbox = self.outbox
        if outbox._pump is not None:
            outbox._pump._ended = True
            outbox._pump.wake()
            outbox._pump.thread.join(BOUND_S)
        claims = [backlog._claim._lock for backlog in self.backlogs()]
        outbox.after_fork_in_child()
        for lock in claims:
            folder._release(lock)
        self.start()

    def backlogs(self) -> list[Any]:
        files = self.outbox._files
        return [*files._adopted, *([files._own] if files._own is not None else [])]

    def arrived(self) -> dict[str, list[int]]:
        found = defaultdict(list)
        for record in self.cluster.records("notifications.info"):
            fields = json.loads(json.loads(record.value or b"")["oslo.message"])
            found[fields["publisher_id"]].append(fields["payload"])
        return found

    def teardown(self) -> None:
        try:
            Disk.full = self.cluster.unavailable = False
            assert self.transport.flush(BOUND_S) == 0
            found = self.arrived()
            for publisher, numbers in self.accepted.items():
                assert list(dict.fromkeys(found[publisher])) == numbers, publisher
            self.transport.cleanup()
            assert not list(Path(self.spool).glob("*/*"))
            self.check_reports(sum(map(len, found.values())))
        finally:
            self.transport.cleanup()
            shutil.rmtree(self.spool)

    def check_reports(self, stored: int) -> None:
        """Each record has one; after a kill some were sent, and told of, a second time."""
        failed = [report for report in self.reports if report.error is not None]
        assert {report.topic for report in failed} <= {REFUSED}
        assert len({report.message_id for report in failed}) == self.refused
        if not self.killed:
            assert stored == sum(map(len, self.accepted.values()))
            assert len(self.reports) == stored + self.refused


@pytest.mark.parametrize("mode", ["always", "on_failure"])
def test_what_was_taken_arrives_in_order(mode, monkeypatch, quick_disk):
    """Outages, refusals, full buffers, ends and (with always) kills, in any order.

    Once, but for what a kill left in doubt; what Kafka refuses is told.
    """
    monkeypatch.setattr(pump, "_LATE_S", 0.02)
    monkeypatch.setattr(deliveries, "_MOST_RECORDS", 16)
    monkeypatch.setattr(pump, "_NEAR", 8)
    monkeypatch.setattr(pump, "_RETRY_S", 0.02)
    monkeypatch.setattr(files, "_MOST_ADOPTED", 2)
    for work in ("add", "remove"):
        monkeypatch.setattr(Store, work, Disk.behind(getattr(Store, work)))
    machine = type(f"{mode.title()}Machine", (Machine,), {"mode": mode, "root": quick_disk})
    run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(max_examples=FEWER, stateful_step_count=25),
    )
