# SPDX-License-Identifier: Apache-2.0
"""Runs measurements: each a process, its figures the last line of its stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from kafka_notify.bench.child import URL_VARIABLE, Figures
from kafka_notify.errors import KafkaNotifyError

TIMEOUT_S = 240.0

# What is installed is measured: a checkout in the current folder has nothing compiled. Python 3.10
# has no such option.
_INSTALLED = ("-P",) if sys.version_info >= (3, 11) else ()
RAW = (*_INSTALLED, "-m", "kafka_notify.bench.raw")
OURS = (*_INSTALLED, "-m", "kafka_notify.bench.ours")
LOAD = (*_INSTALLED, "-m", "kafka_notify.bench.load")


class MeasurementFailed(KafkaNotifyError):
    """Raised when a measurement ended without figures; ``said`` is what it wrote to stderr."""

    def __init__(self, problem: str, *, said: str = "") -> None:
        super().__init__(problem)
        self.said = said


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where measurements take place: ``host:port,…``, or a transport URL that may have a login."""

    brokers: str = ""
    url: str = field(default="", repr=False)
    file: str | None = None


class Measurement:
    """One process that measures; a context manager that leaves nothing behind.

    ``program`` is what follows the interpreter on its command line.
    """

    def __init__(
        self,
        program: Sequence[str],
        measure: str,
        *,
        place: Place,
        topic: str,
        count: int,
        options: Mapping[str, Any] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._name = f"{Path(program[-1]).name} {measure}"
        self._timeout_s = timeout_s
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        told = {**(options or {}), "spawned_s": time.monotonic()}
        arguments = [
            *(measure, "--brokers", place.brokers, "--topic", topic, "--count", str(count)),
            *("--options", json.dumps(told)),
            *(("--file", place.file) if place.file else ()),
        ]
        self._process = subprocess.Popen(  # noqa: S603 - our own programs
            [sys.executable, "-W", "ignore", *program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **({URL_VARIABLE: place.url} if place.url else {})},
        )
        self._timer = threading.Timer(timeout_s, self._process.kill)
        self._timer.daemon = True
        self._timer.start()

    def __enter__(self) -> Measurement:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None:
                pipe.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def wait_ready(self) -> None:
        """Return when it has announced that it is ready; raises MeasurementFailed otherwise."""
        out = self._process.stdout
        if out is None or out.readline().strip() != "ready":
            raise self._failed()

    def go(self) -> None:
        """Let it go on: its stdin ends."""
        if self._process.stdin is not None:
            self._process.stdin.close()
            self._process.stdin = None

    def figures(self) -> Figures:
        """Wait for its end and return what it measured; raises MeasurementFailed otherwise."""
        out, _ = self._process.communicate()
        lines = out.splitlines()
        if self._process.returncode or not lines:
            raise self._failed()
        found: Figures = json.loads(lines[-1])
        return found

    def _failed(self) -> MeasurementFailed:
        code = self._process.wait(self._timeout_s)
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip()
        last = said.splitlines()[-1] if said else "without a word"
        return MeasurementFailed(f"{self._name} ended with {code}: {last}", said=said)


def measure(program: Sequence[str], name: str, **arguments: Any) -> Figures:
    """Run one measurement to its end; the arguments are those of ``Measurement``."""
    with Measurement(program, name, **arguments) as one:
        return one.figures()
