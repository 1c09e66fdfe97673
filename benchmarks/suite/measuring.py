# SPDX-License-Identifier: Apache-2.0
"""Measures one series of a case, or of a curve's point."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from kafka_notify.bench.child import Figures
from kafka_notify.bench.process import LOAD, Measurement, MeasurementFailed, Place, measure
from suite.cases import Case
from suite.curves import Curve
from suite.results import Results
from suite.systems import SYSTEMS, System
from suite.topics import Topics
from suite.workloads import Data, Series, merged

_LOADED_S = 2.0
_SETTLED_S = 4.0
_LEAST_RATE = 200.0
_LEAST_COUNT = 64  # a notification for each of the callers
_SHOW_PEAK = (
    "; import sys; from kafka_notify.bench.child import peak_mb; sys.stdout.write(str(peak_mb()))"
)


class Measuring:
    """What measurements need: topics, the results so far, and how much is asked for.

    ``scale`` multiplies every number of notifications.
    """

    def __init__(self, topics: Topics, results: Results, *, scale: float) -> None:
        self._topics = topics
        self._results = results
        self._scale = scale
        self._pools = 0

    def case(self, case: Case, series: Series) -> Figures:
        """Measure one series of a case; raises MeasurementFailed."""
        system = SYSTEMS[series.system]
        if case.measure == "import":
            return _import(system)
        if case.kind == "loaded":
            return self._loaded(system, series)
        data = series.data or case.data
        if case.kind == "shared" and data is not None:
            return self._shared(system, series, data)
        return self._alone(system.program, case.measure, series, data)

    def point(self, curve: Curve, series: Series) -> Figures:
        """Measure one series at a point of a curve; raises MeasurementFailed."""
        program = curve.program or SYSTEMS[series.system].program
        return self._alone(program, curve.measure, series, series.data)

    def scaled(self, data: Data) -> Data:
        """Return data with the number of records that the scale makes of it."""
        return Data(
            count=self._count(data.count),
            partitions=data.partitions,
            keys=data.keys,
            topics=data.topics,
            record_bytes=data.record_bytes,
            pauses=data.pauses,
        )

    def _count(self, count: int) -> int:
        return max(min(count, _LEAST_COUNT), round(count * self._scale))

    def _alone(
        self, program: Sequence[str], name: str, series: Series, data: Data | None
    ) -> Figures:
        system = SYSTEMS[series.system]
        options = merged(system.options, series.options)
        count = self._count(series.count)
        if system.url:
            place = Place(brokers="none", url=system.url, file=self._topics.place.file)
            return measure(program, name, place=place, topic="bench", count=count, options=options)
        place = self._topics.place
        if data is not None:
            topic = self._topics.filled(self.scaled(data))
            options["pool"] = self._new_pool()
            return measure(program, name, place=place, topic=topic, count=count, options=options)
        with self._topics.empty() as topic:
            figures = measure(
                program, name, place=place, topic=topic, count=count, options=options
            )
            size = self._topics.log_bytes(topic) if name == "send" else None
        if size:
            figures["log_bytes"] = size / (count + 1)  # one to warm up
        return figures

    def _new_pool(self) -> str:
        self._pools += 1
        return f"pool-{self._pools}"

    def _loaded(self, system: System, series: Series) -> Figures:
        rate = self._half_load(series.system)
        options = merged(system.options, series.options, {"rate": rate, "announce": True})
        count = self._count(round(rate * _LOADED_S))
        with self._topics.empty() as topic:
            asked = {"place": self._topics.place, "topic": topic, "count": count}
            with Measurement(system.program, "delays", **asked, options=options) as listening:
                listening.wait_ready()
                sent = measure(system.program, "paced", **asked, options=options)
                return {**listening.figures(), "rate": sent["rate"], "asked_rate": rate}

    def _half_load(self, system: str) -> float:
        """Return half of the lower of the rates at which it sends and receives, in this run."""
        rates = [
            self._results.median(case, series, "rate")
            for case in ("send", "receive")
            for series in self._results.cases.get(case, {})
            if series.partition(" ")[0] == system and "batches" not in series
            if "share" not in series
        ]
        return max(_LEAST_RATE, min(filter(None, rates), default=0) / 2)

    def _shared(self, system: System, series: Series, data: Data) -> Figures:
        processes = int(series.options["processes"])
        count = self._count(series.count)
        options = merged(
            system.options,
            series.options,
            {"announce": True, "shared": True, "pool": self._new_pool()},
        )
        place = self._topics.place
        with self._topics.empty(data.partitions) as topic, ExitStack() as stack:
            asked = {"place": place, "topic": topic, "count": count}
            members = [
                stack.enter_context(
                    Measurement(system.program, "receive", **asked, options=options)
                )
                for _ in range(processes)
            ]
            hidden = {**data.options, "hidden": True, "announce": True}
            filling = stack.enter_context(Measurement(LOAD, "fill", **asked, options=hidden))
            for one in (*members, filling):
                one.wait_ready()
            time.sleep(_SETTLED_S)
            filling.go()
            filling.figures()
            return _together([one.figures() for one in members], count)


def _together(members: Sequence[Figures], count: int) -> Figures:
    """Return the figures of all; from the first notification in any to the last in any."""
    took_part = [one for one in members if one["count"]]
    received = sum(one["count"] for one in took_part)
    if received != count:
        raise MeasurementFailed(f"{received:.0f} of {count} arrived in {len(members)} processes")
    began_s = min(one["began_s"] for one in took_part)
    seconds = max(one["ended_s"] for one in took_part) - began_s
    return {
        "seconds": seconds,
        "count": count,
        "rate": count / seconds,
        "cpu_us": sum(one["cpu_us"] * one["count"] for one in took_part) / count,
        "least_share": min(one["count"] for one in members) * len(members) / count,
    }


def _import(system: System) -> Figures:
    """Time ``import``, without the start of the interpreter, which is timed beside it."""
    nothing_s, _ = _interpreter("pass")
    spent_s, _ = _interpreter(f"import {system.module}")
    _, peak = _interpreter(f"import {system.module}{_SHOW_PEAK}")
    return {"import_ms": (spent_s - nothing_s) * 1000, "rss_mb": float(peak)}


def _interpreter(program: str) -> tuple[float, str]:
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - programs of ours
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    return time.perf_counter() - began, done.stdout
