# SPDX-License-Identifier: Apache-2.0
"""Our commands as a user runs them: processes of their own, with what they print."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.waiting import eventually

PROGRAM = (sys.executable, "-m", "kafka_notify")
TIMEOUT_S = 90.0
MARGIN_S = 8.0
"""What a command that is bounded in time may take beyond: 5 s to leave, and to start when busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def run(
    *arguments: object,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    program: Sequence[str] = PROGRAM,
) -> Result:
    """Run a command to its end."""
    done = subprocess.run(
        [*program, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
        env={**os.environ, **(env or {})},
    )
    return Result(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


def run_on_terminal(*arguments: object, program: Sequence[str] = PROGRAM) -> Result:
    """Run a command whose stderr is a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*program, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    ) as process:
        os.close(theirs)
        shown = _read_terminal(ours)
        out, _ = process.communicate(timeout=TIMEOUT_S)
    return Result(code=process.returncode, out=out.decode(), err=shown)


def _read_terminal(descriptor: int) -> str:
    chunks = []
    with contextlib.suppress(OSError):  # Linux's way to say that the other side is closed
        while chunk := os.read(descriptor, 4096):
            chunks.append(chunk)
    os.close(descriptor)
    return b"".join(chunks).decode()


class Running:
    """A command that runs beside the test; a context manager that leaves nothing behind."""

    def __init__(self, *arguments: object, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        self._out: list[bytes] = []
        self._err: list[bytes] = []
        self._readers = [
            threading.Thread(target=lines.extend, args=(pipe,), daemon=True)
            for lines, pipe in ((self._out, self.process.stdout), (self._err, self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()

    def feed(self, data: bytes) -> None:
        """Write to its stdin; ``end`` closes that."""
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait_for_error_line(self, text: str, timeout_s: float = TIMEOUT_S) -> None:
        """Return when stderr has the text; fail at the command's end."""

        def there() -> bool:
            if text in self.err:
                return True
            assert self.process.poll() is None, f"ended without {text!r}: {self.err}"
            return False

        eventually(there, timeout_s, f"{text!r} on stderr")

    def wait_for_lines(self, count: int, timeout_s: float = TIMEOUT_S) -> None:
        """Return when stdout has so many lines."""
        eventually(lambda: len(self._out) >= count, timeout_s, f"{count} lines on stdout")

    @property
    def err(self) -> str:
        return b"".join(list(self._err)).decode()

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> Result:
        """Send a signal and return how the command ended."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> Result:
        """Return how the command ended by itself."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait(TIMEOUT_S)
        for reader in self._readers:
            reader.join(TIMEOUT_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return Result(code=code, out=b"".join(self._out).decode(), err=self.err)
