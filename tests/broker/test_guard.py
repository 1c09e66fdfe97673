# SPDX-License-Identifier: Apache-2.0
"""The guard runs a program for its owner; here the program is a Python that prints."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kafka_notify.broker import _guard
from tests.broker.proc import state_of
from tests.waiting import eventually

TIMEOUT_S = 20.0

SLEEPER = """
import signal, sys
print("ready", flush=True)
signal.pause()
"""

# Its handler does not print: the signal may come while "ready" is being printed.
PATIENT = """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"asked\\n"), exit(7)))
print("ready", flush=True)
while True:
    signal.pause()
"""

# Starts a guard, tells the process ids, and leaves behind a forked child that holds the pipe open.
OWNER = """
import os, signal, subprocess, sys
from subprocess import DEVNULL, PIPE
python, guard, program = sys.executable, *sys.argv[1:]
guard = subprocess.Popen(
    [python, "-I", "-S", guard, str(os.getpid()), python, "-c", program],
    stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True)
program = int(guard.stdout.readline())
child = os.fork()
if child == 0:
    signal.pause()
print(guard.pid, program, child, flush=True)
signal.pause()
"""


def gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has waited for yet counts as ended."""
    try:
        return state_of(Path("/proc", str(pid))) == "Z"
    except OSError:
        return True


@contextmanager
def guarded(program: str, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the program under a guard; yield the guard and the id of the running program."""
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", _guard.__file__, str(os.getpid())),
                *(sys.executable, "-c", textwrap.dedent(program)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
        ) as guard,
    ):
        assert guard.stdout is not None
        assert select.select([guard.stdout], [], [], TIMEOUT_S)[0]
        pid = int(guard.stdout.readline())
        eventually(lambda: "ready" in log.read_text(), TIMEOUT_S, "the program runs")
        try:
            yield guard, pid
        finally:
            guard.kill()


def test_bytes_are_signals_for_the_program(tmp_path: Path) -> None:
    """The program gets the signal, and its exit status becomes the guard's."""
    log = tmp_path / "log"
    with guarded(PATIENT, log) as (guard, _):
        assert guard.stdin is not None
        guard.stdin.write(bytes([signal.SIGTERM]))
        assert guard.wait(TIMEOUT_S) == 7
    assert log.read_text() == "ready\nasked\n"


def test_the_guard_says_when_the_program_stands_still(tmp_path: Path) -> None:
    """Each time, also if it stood still before; the end of a stopped program is its status."""
    with guarded(PATIENT, tmp_path / "log") as (guard, _):
        assert guard.stdin is not None
        assert guard.stdout is not None
        for stop in ([signal.SIGSTOP], [signal.SIGSTOP], [signal.SIGCONT, signal.SIGSTOP]):
            guard.stdin.write(bytes(stop))
            assert select.select([guard.stdout], [], [], TIMEOUT_S)[0]
            assert guard.stdout.readline() == b"stopped\n"
        guard.stdin.write(bytes([signal.SIGTERM, signal.SIGCONT]))
        assert guard.wait(TIMEOUT_S) == 7


def test_a_killed_program_ends_its_guard(tmp_path: Path) -> None:
    """The status tells the signal as a shell does."""
    with guarded(SLEEPER, tmp_path / "log") as (guard, pid):
        os.kill(pid, signal.SIGKILL)
        assert guard.wait(TIMEOUT_S) == 128 + signal.SIGKILL


def test_the_end_of_the_pipe_ends_the_program_in_good_order(tmp_path: Path) -> None:
    """This is what an owner that just goes away looks like; a stopped program ends, too."""
    log = tmp_path / "log"
    with guarded(PATIENT, log) as (guard, _):
        assert guard.stdin is not None
        guard.stdin.write(bytes([signal.SIGSTOP]))
        guard.stdin.close()
        assert guard.wait(TIMEOUT_S) == 7
    assert "asked" in log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_owner_takes_the_program_with_it(tmp_path: Path) -> None:
    """Even though a child of the owner lives on and holds the guard's pipe open."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, _guard.__file__, SLEEPER], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        guard, program, child = map(int, owner.stdout.readline().split())
        owner.kill()
    try:
        eventually(lambda: gone(program) and gone(guard), TIMEOUT_S, "program and guard ended")
        assert not gone(child)
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_a_killed_guard_takes_the_program_with_it(tmp_path: Path) -> None:
    """Whoever ends all Pythons of the machine does not leave a broker behind."""
    with guarded(SLEEPER, tmp_path / "log") as (guard, pid):
        guard.kill()
        eventually(lambda: gone(pid), TIMEOUT_S, "the program ended")


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    """The reason stands in the log, where the program's own words would be."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", _guard.__file__, str(os.getpid()), str(tmp_path / "none")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as guard:
        assert guard.stderr is not None
        assert guard.wait(TIMEOUT_S) != 0
        assert f"cannot run {tmp_path}/none: No such file or directory" in guard.stderr.read()
