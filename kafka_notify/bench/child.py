# SPDX-License-Identifier: Apache-2.0
"""One measurement in a process of its own: arguments, clock, and figures as a JSON line."""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kafka_notify.bench.workload import samples, sized
from kafka_notify.demo.samples import Sample

IDLE_S = 10.0
WAIT_S = 120.0
_LOOK_EVERY_S = 0.02
URL_VARIABLE = "KAFKA_NOTIFY_BENCH_URL"
"""Names a transport URL to a measurement: it may hold a password, which no argument may."""

Figures = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to measure, and where.

    Attributes:
        brokers: ``host:port,…``.
        topic: The topic as a notifier names it; records are in ``topic.info``.
        count: How many notifications.
        notifications: What to send, over and over.
        options: What else the measurement needs, by name.
    """

    brokers: str
    topic: str
    count: int
    notifications: Sequence[Sample]
    options: Mapping[str, Any]

    @property
    def log(self) -> str:
        """The name of the topic on Kafka."""
        return f"{self.topic}.info"

    def url(self, **more: object) -> str:
        """Return the transport URL, with the options of the task and ``more`` in its query."""
        url = os.environ.get(URL_VARIABLE) or f"kafka://{self.brokers}/"
        query = urlencode({**self.options.get("url", {}), **more})
        return f"{url}{'&' if '?' in url else '?'}{query}" if query else url

    def since_spawned_s(self) -> float:
        """Return the time since whoever measures began to start this process."""
        return time.monotonic() - float(self.options["spawned_s"])

    def announce(self) -> None:
        """Say that what follows may begin, to whoever measures; nothing if nobody waits for it."""
        if self.options.get("announce"):
            sys.stdout.write("ready\n")
            sys.stdout.flush()


class Stopwatch:
    """Wall and CPU time of this process between ``start`` and ``stop``."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin."""
        self.began_s = time.monotonic()
        self._cpu_s = time.process_time()

    def stop(self, count: int) -> Figures:
        """Return seconds, rate and CPU time of ``count`` notifications."""
        ended_s = time.monotonic()
        seconds = ended_s - self.began_s
        return {
            "seconds": seconds,
            "count": count,
            "rate": count / seconds if seconds else 0.0,
            "cpu_us": (time.process_time() - self._cpu_s) / max(1, count) * 1e6,
            "began_s": self.began_s,
            "ended_s": ended_s,
        }


class Arrivals:
    """Counts what an endpoint gets; its clock runs from the first to the last.

    So what came first, alone or as a batch, is not part of the rate.
    """

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._first = 0
        self._watch: Stopwatch | None = None
        self._lock = threading.Lock()
        self.count = 0
        self._figures: Figures = {}
        self._all = threading.Event()

    def add(self, number: int = 1) -> None:
        """Count some more. Threads: any."""
        with self._lock:
            if self._watch is None:
                self._watch = Stopwatch()
                self._first = number
            self.count += number
            if self.count >= self._expected and not self._all.is_set():
                self._figures = self._now(self._watch)
                self._all.set()

    def _now(self, watch: Stopwatch) -> Figures:
        return watch.stop(self.count - self._first) | {"count": self.count}

    @property
    def complete(self) -> bool:
        """Whether all that is expected came."""
        return self._all.is_set()

    def figures(self) -> Figures:
        """Return the figures of what has come by now."""
        with self._lock:
            if self._all.is_set() or self._watch is None:
                return self._figures or {"count": 0}
            return self._now(self._watch)

    def wait_until_idle(self, idle_s: float) -> Figures:
        """Wait for all of them, or until nothing has come for a while after the first.

        For one of several processes that share what is expected.
        """
        deadline = time.monotonic() + WAIT_S
        last: Figures = {"count": 0}
        while time.monotonic() < min(deadline, last.get("ended_s", deadline) + idle_s):
            if self._all.wait(_LOOK_EVERY_S):
                return self._figures
            with self._lock:
                if self._watch is not None and self.count != last["count"]:
                    last = self._now(self._watch)
        return last

    def wait(self) -> Figures:
        """Wait for all of them; what is missing after a long while is told by ``count``."""
        deadline = time.monotonic() + WAIT_S
        seen = -1
        while not self._all.wait(IDLE_S):
            if (seen == self.count and seen > 0) or time.monotonic() > deadline:
                break
            seen = self.count
        if self._all.is_set():
            return self._figures
        raise SystemExit(f"{self.count} of {self._expected} notifications arrived")


def percentiles(taken_s: Sequence[float]) -> Figures:
    """Return p50, p99 and p99.9 in milliseconds."""
    ordered = sorted(taken_s)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000

    return {
        "p50_ms": statistics.median(ordered) * 1000,
        "p99_ms": at(0.99),
        "p999_ms": at(0.999),
        "count": len(ordered),
    }


def peak_mb() -> float:
    """Return the most memory that this process had.

    ``ru_maxrss`` would count that of the process which started it, where it was larger.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def main(measures: Mapping[str, Callable[[Task], Figures]]) -> None:
    """Measure what the arguments ask for and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("measure", choices=sorted(measures))
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--file")
    parser.add_argument("--options", type=json.loads, default={})
    parsed = parser.parse_args()
    notifications = samples(parsed.file)
    if size := parsed.options.get("record_bytes"):
        notifications = sized(notifications, size)
    task = Task(
        brokers=parsed.brokers,
        topic=parsed.topic,
        count=parsed.count,
        notifications=notifications,
        options=parsed.options,
    )
    figures = measures[parsed.measure](task)
    figures.setdefault("rss_mb", peak_mb())
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()
