# SPDX-License-Identifier: Apache-2.0
"""Processes under test: what they print, what they log, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

WORKERS = Path(__file__).parent / "workers"
LINE_S = 60.0  # a line or an end that has not come by then never will


class Process:
    """A Python process with a session of its own; a context manager that leaves nothing behind.

    Its arguments are those of ``python``: a file, or ``-c`` and a program.
    """

    def __init__(
        self, *arguments: object, cwd: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            start_new_session=True,
        )
        self._changed = threading.Condition()
        self._out: list[str] = []
        self._err: list[str] = []
        self._open = 2
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, into), daemon=True)
            for pipe, into in (
                (self._process.stdout, self._out),
                (self._process.stderr, self._err),
            )
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(LINE_S)
        for reader in self._readers:
            reader.join(LINE_S)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def _read(self, pipe: IO[str], into: list[str]) -> None:
        for line in pipe:
            with self._changed:
                into.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        """The process id, and that of its group."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        with self._changed:
            return "\n".join(self._err)

    def lines(self, beginning: str) -> list[str]:
        """Return the rest of each line on stdout so far that begins so."""
        with self._changed:
            return [line[len(beginning) :] for line in self._out if line.startswith(beginning)]

    def wait_for_lines(
        self, beginning: str, count: int = 1, timeout_s: float = LINE_S
    ) -> list[str]:
        """Return when stdout has so many lines that begin so; with the rest of each."""
        self._wait_for(
            lambda: sum(line.startswith(beginning) for line in self._out) >= count,
            f"{count} lines on stdout that begin with {beginning!r}",
            timeout_s,
        )
        return self.lines(beginning)

    def wait_for_log(self, text: str, timeout_s: float = LINE_S) -> str:
        """Return the first line on stderr that has this text."""
        self._wait_for(
            lambda: any(text in line for line in self._err), f"{text!r} on stderr", timeout_s
        )
        return next(line for line in self.log.splitlines() if text in line)

    def _wait_for(self, predicate: Callable[[], bool], what: str, timeout_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: predicate() or not self._open, timeout_s)
            assert predicate(), f"no {what}; {self._state()}"

    def _state(self) -> str:
        tails = "\n".join([*self._out[-20:], "--- stderr:", *self._err[-60:]])
        return f"process {self.pid}, code {self._process.poll()}; stdout:\n{tails}"

    def tell(self, text: str) -> None:
        """Write a line to its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, not to its children."""
        self._process.send_signal(number)

    def end(self, timeout_s: float = LINE_S) -> int:
        """Return the exit code once it has ended by itself and all it wrote was read."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            with self._changed:
                raise AssertionError(
                    f"did not end within {timeout_s:g} s; {self._state()}"
                ) from None
        for reader in self._readers:
            reader.join(timeout_s)
        return code
