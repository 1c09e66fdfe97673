# SPDX-License-Identifier: Apache-2.0
"""One topic, the processes that send to it and listen on it, and how to end with an account."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.faults.tally import Journal, Tally, tally
from tests.scenarios.processes import Process
from tests.scenarios.topics import ANSWER_S, BareClient
from tests.waiting import eventually

WORKERS = Path(__file__).parent / "workers"
AFTER = "after_dispatch"
BEFORE = "before_dispatch"
POLICIES = (AFTER, BEFORE)
WINDOW = 100
SENDER_THREADS = 4
# These hold on a machine that has much else to do.
READY_S = 90.0
SETTLE_S = 120.0
# A commit that a client without brokers holds is given up after 45 s; statistics, a new join.
SETTLE_AFTER_OUTAGE_S = 240.0

OPTIONS: Mapping[str, Any] = {
    "delivery": "confirm",
    "dispatch_window": WINDOW,
    "kafka_consumer_timeout": 0.2,
    "record_key": "payload/key",
    "start_timeout": 60,
    "connect_timeout": 40,  # a broker that has just come up is nobody's coordinator for a while
    "workers": 8,
}


def pause(seconds: float) -> None:
    """Let time pass: a fault that lasts, a moment chosen by chance."""
    threading.Event().wait(seconds)


class Scene:
    """A context manager that leaves no process behind. Threads: one."""

    def __init__(
        self,
        bootstrap: str,
        folder: Path,
        topic: str,
        *,
        policies: Sequence[str] = POLICIES,
        replicas: int = 1,
        partitions: int = 4,
        config: Mapping[str, str] | None = None,
        at: str = "",
        vhost: str = "",
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        """Make the topic, unless it has 0 ``partitions``: then its first listener does.

        ``config``: the topic's; ``at``: the address in the processes' URL, if it is another;
        ``env``: what their environment has besides; ``options``: the URL's.
        """
        folder.mkdir(exist_ok=True)
        self.bare = BareClient(bootstrap)
        self.topic = topic
        self._vhost = vhost
        self.policies = policies
        self.listeners: list[Process] = []
        self.senders: list[Process] = []
        self.journal = Journal(folder / "journal")
        self._folder = folder
        self._env = env
        self._url = f"kafka://{at or bootstrap}/{vhost}?{urlencode({**OPTIONS, **options})}"
        self._processes = ExitStack()
        self._begin = 0
        if partitions:
            admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
            new = NewTopic(self.log_topic, partitions, replicas, config=dict(config or {}))
            admin.create_topics([new])[self.log_topic].result(ANSWER_S)
            there = f"topic {self.log_topic}"
            eventually(lambda: self.bare.partitions(self.log_topic) == partitions, ANSWER_S, there)

    @property
    def log_topic(self) -> str:
        """Kafka's name of the topic."""
        return f"{self.topic}.info.{self._vhost}" if self._vhost else f"{self.topic}.info"

    def group(self, policy: str) -> str:
        """Return the consumer group that has this policy."""
        return f"{self.topic}-{policy}"

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._processes.close()

    # --- who is there

    def listener(self, *arguments: object, wait: bool = True) -> Process:
        """Start a member of each group; ``wait`` until it has joined."""
        process = self._start("listen.py", *self.policies, *arguments)
        self.listeners.append(process)
        if wait:
            process.wait_for_lines("ready", timeout_s=READY_S)
        return process

    def sender(self, *arguments: object) -> Process:
        """Start a sender, whose numbers are higher than those of the ones before it."""
        sender = ("--begin", self._begin, "--threads", SENDER_THREADS)
        process = self._start("send.py", *sender, *arguments)
        self._begin += 1_000_000
        self.senders.append(process)
        process.wait_for_lines("sending", timeout_s=READY_S)
        return process

    def _start(self, worker: str, *arguments: object) -> Process:
        return self._processes.enter_context(
            Process(
                WORKERS / worker,
                self._url,
                self.topic,
                self._folder / "journal",
                *arguments,
                cwd=self._folder,
                env=self._env,
            )
        )

    def kill(self, process: Process) -> None:
        """Kill -9."""
        process.signal(signal.SIGKILL)
        process.end()
        for those in (self.listeners, self.senders):
            if process in those:
                those.remove(process)

    def leave(self, *going: Process) -> None:
        """Have listeners end in an orderly way, wherever they are in their lives."""
        for process in going:
            process.wait_for_lines("up", timeout_s=READY_S)
            process.signal(signal.SIGTERM)
        for process in going:
            code = process.end(READY_S)
            assert code == 128 + signal.SIGTERM, f"{code}: {process.log}"
            self.listeners.remove(process)

    def send(self, count: int, *arguments: object) -> Process:
        """Send so many, and return when the sender has ended."""
        sender = self.sender("--count", count, *arguments)
        assert sender.end(SETTLE_S) == 0, sender.log
        self.senders.remove(sender)
        return sender

    def end(self, sender: Process) -> None:
        """Have a sender send no more, and wait until it has ended."""
        sender.tell("stop")
        assert sender.end(SETTLE_S) == 0, sender.log
        self.senders.remove(sender)

    # --- how it goes

    def wait_received(self, more: int) -> None:
        """Wait until so many more went through the endpoints of each policy."""
        wanted = {one: len(self.journal.numbers("out", one)) + more for one in self.policies}
        for policy, count in wanted.items():
            eventually(
                lambda p=policy, n=count: len(self.journal.numbers("out", p)) >= n,
                SETTLE_AFTER_OUTAGE_S,
                f"{count} received under {policy}",
            )

    def wait_stored(self) -> None:
        """Wait until all that info() has returned for is in the log."""

        def stored() -> bool:
            confirmed = self.journal.numbers("confirmed")
            if self.bare.size(self.log_topic) < len(confirmed):
                return False
            log = self.bare.read(self.log_topic)
            return confirmed <= {one.fields["payload"]["number"] for one in log}

        eventually(stored, SETTLE_AFTER_OUTAGE_S, "all in the log")

    def settle(self, timeout_s: float = SETTLE_S) -> dict[str, Tally]:
        """End the senders, wait for the listeners, end them; return each policy's account."""
        for sender in list(self.senders):
            self.end(sender)
        log = self.bare.read(self.log_topic)
        stored = {one.fields["payload"]["number"] for one in log}
        for policy in self.policies:
            with suppress(AssertionError):  # the account says what is missing
                eventually(lambda p=policy: self._is_done(p, stored), timeout_s, "the end")
        self.leave(*self.listeners)
        found = self.account()
        for policy in self.policies:
            found[policy].uncommitted = self._lag(policy)
        return found

    def account(self) -> dict[str, Tally]:
        """Return each policy's account as it is now."""
        log = self.bare.read(self.log_topic)
        return {policy: tally(self.journal, log, policy) for policy in self.policies}

    def _is_done(self, policy: str, stored: set[int]) -> bool:
        if policy == AFTER and not stored <= self.journal.numbers("out", policy):
            return False
        return self._lag(policy) == 0

    def _lag(self, policy: str) -> int:
        """Return how far the group is from the ends; -1 while a coordinator has just begun."""
        try:
            return self.bare.lag(self.group(policy), self.log_topic)
        except KafkaException:
            return -1
