# SPDX-License-Identifier: Apache-2.0
"""One Kafka process: formatted, started, waited for, signalled, ended.

Must not know its fellow nodes. All methods are for one thread at a time.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kafka_notify.broker import _guard
from kafka_notify.broker.config import (
    HOST,
    ClusterPlan,
    log_properties,
    scram_arguments,
    server_properties,
)
from kafka_notify.broker.jars import Jars
from kafka_notify.broker.java import Java, write_arguments
from kafka_notify.broker.ports import speaks_kafka
from kafka_notify.errors import BrokerUnavailable

_EXCERPT_LINES = 15
_FAILURE = re.compile(r"\] (ERROR|FATAL) |^Exception in ")
_POLL_S = 0.05
_PROBE_TIMEOUT_S = 1.0
_GUARD_TIMEOUT_S = 10.0
_FORMAT_TIMEOUT_S = 120.0
# Enough for the format tool, whatever the broker is given.
_FORMAT_HEAP = "-Xmx128m"


class Node:
    """A node of a cluster, with its files in a folder of its own.

    The folder has ``server.properties``, ``data/`` (Kafka's), ``server.log`` (Kafka's) and
    ``console.log`` (what Java itself says).
    """

    def __init__(
        self,
        plan: ClusterPlan,
        node_id: int,
        *,
        folder: Path,
        java: Java,
        jars: Jars,
        options: Sequence[str],
    ) -> None:
        self._plan = plan
        self._node_id = node_id
        self._folder = folder
        self._java = java
        self._jars = jars
        self._options = list(options)
        self._guard: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._logged_bytes = 0
        self.log = folder / "server.log"
        self.console = folder / "console.log"

    def __repr__(self) -> str:
        state = f"process {self._pid}" if self.running else "down"
        return f"Node({self._node_id}, {HOST}:{self.port}, {state})"

    @property
    def port(self) -> int:
        """The port for clients."""
        return self._plan.addresses[self._node_id].port

    @property
    def pid(self) -> int | None:
        """The process id of Java, or None while the node is down."""
        return self._pid if self.running else None

    @property
    def running(self) -> bool:
        """Whether the process is there; it may be starting, or stopped by a signal."""
        return self._guard is not None and self._guard.poll() is None

    def write_files(self) -> None:
        """Write the node's configuration, from the plan, into its folder."""
        self._folder.mkdir(exist_ok=True)
        text = server_properties(self._plan, self._node_id, data=self._folder / "data")
        properties = self._folder / "server.properties"
        properties.touch(mode=0o600)  # it holds passwords
        properties.write_text(text, encoding="ascii")
        logging = self._folder / "log4j2.properties"
        logging.write_text(log_properties(self.log), encoding="ascii")
        write_arguments(
            self._folder / "java.args",
            options=[
                *self._options,
                f"-Dlog4j2.configurationFile={logging.as_uri()}",
                "-Djava.awt.headless=true",
            ],
            class_path=self._jars.files,
            program=["kafka.Kafka", str(properties)],
        )

    @property
    def formatted(self) -> bool:
        """Whether the data folder belongs to a cluster already."""
        return (self._folder / "data" / "meta.properties").exists()

    def begin_format(self, cluster_id: str, *, options: Sequence[str]) -> _Format:
        """Start Kafka's format tool; several nodes can do so at the same time."""
        arguments = self._folder / "format.args"
        write_arguments(
            arguments,
            options=[_FORMAT_HEAP, *options],
            class_path=self._jars.files,
            program=[
                "kafka.tools.StorageTool",
                "format",
                "--cluster-id",
                cluster_id,
                "--config",
                str(self._folder / "server.properties"),
                *scram_arguments(self._plan.users),
            ],
        )
        return _Format([str(self._java.executable), f"@{arguments}"], arguments=arguments)

    def start(self, *, inherit: Sequence[int] = ()) -> None:
        """Start the process and return before it is ready; do nothing if it is there.

        Args:
            inherit: descriptors that stay open as long as the process lives.

        Raises:
            BrokerUnavailable: if the process cannot be made.
        """
        if self.running:
            return
        self._release()
        # A tail shown later is of this run.
        self._logged_bytes = self.log.stat().st_size if self.log.exists() else 0
        command = [str(self._java.executable), f"@{self._folder / 'java.args'}"]
        try:
            with self.console.open("wb") as console:
                self._guard = subprocess.Popen(  # noqa: S603 - the command is our own
                    [sys.executable, "-I", "-S", _guard.__file__, str(os.getpid()), *command],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=console,
                    bufsize=0,
                    cwd=self._folder,
                    pass_fds=tuple(inherit),
                    start_new_session=True,  # a Ctrl-C on the terminal is for the owner alone
                )
        except OSError as exc:
            raise BrokerUnavailable(f"cannot start Kafka node {self._node_id}: {exc}") from exc
        self._pid = self._read_pid(self._guard)

    def wait_ready(self, *, timeout_s: float) -> None:
        """Return when the node answers clients.

        Raises:
            BrokerUnavailable: it ended, or did not answer in time; with what its log says.

        Blocks: at most ``timeout_s`` and the time of one probe.
        """
        deadline = time.monotonic() + timeout_s
        while not speaks_kafka(self.port, timeout_s=_PROBE_TIMEOUT_S):
            if not self.running:
                raise BrokerUnavailable(self._obituary("ended while it started"))
            if time.monotonic() >= deadline:
                raise BrokerUnavailable(self._obituary(f"did not answer within {timeout_s:g} s"))
            time.sleep(_POLL_S)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process; do nothing if it is down."""
        if self._guard is None or self._guard.stdin is None or not self.running:
            return
        try:
            self._guard.stdin.write(bytes([number]))
        except BrokenPipeError:  # it ended in this moment
            return

    def pause(self) -> None:
        """Freeze the process (SIGSTOP), and return when it stands still; nothing if it is down.

        Raises:
            BrokerUnavailable: it did not stand still within 10 s.

        Blocks: some milliseconds; on a busy machine until the process came to run once.
        """
        self.send_signal(signal.SIGSTOP)
        if self.running and not self._read_line():
            raise BrokerUnavailable(
                f"Kafka node {self._node_id}, process {self._pid}, did not stand still within "
                f"{_GUARD_TIMEOUT_S:g} s of SIGSTOP"
            )

    def ask_to_stop(self) -> None:
        """Ask for an orderly end, also if the process is paused; return at once."""
        self.send_signal(signal.SIGTERM)
        self.send_signal(signal.SIGCONT)

    def wait_stopped(self, *, timeout_s: float) -> bool:
        """Wait for the end of the process; False if it is there after timeout_s."""
        if self._guard is None:
            return True
        try:
            self._guard.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._release()
        return True

    def kill(self) -> None:
        """End the process at once, as a crash would (SIGKILL); do nothing if it is down."""
        self.send_signal(signal.SIGKILL)
        if not self.wait_stopped(timeout_s=_GUARD_TIMEOUT_S) and self._guard is not None:
            # The guard hangs. Where the system can tell Java, killing the guard ends Java, too.
            self._guard.kill()
            self.wait_stopped(timeout_s=_GUARD_TIMEOUT_S)

    def _read_pid(self, guard: subprocess.Popen[bytes]) -> int:
        line = self._read_line()
        if not line:
            guard.kill()
            self.wait_stopped(timeout_s=_GUARD_TIMEOUT_S)
            raise BrokerUnavailable(self._obituary("could not be started"))
        return int(line)

    def _read_line(self) -> bytes:
        """Return the next line that the guard says; nothing if it says none, or has ended."""
        if self._guard is None or self._guard.stdout is None:
            return b""
        readable, _, _ = select.select([self._guard.stdout], [], [], _GUARD_TIMEOUT_S)
        return self._guard.stdout.readline() if readable else b""

    def _release(self) -> None:
        """Close the pipes of a guard that has ended."""
        if self._guard is not None:
            self._guard.wait()
            for pipe in (self._guard.stdin, self._guard.stdout):
                if pipe is not None:
                    pipe.close()
        self._guard = None

    def _obituary(self, what: str) -> str:
        for log, seen_bytes in ((self.log, self._logged_bytes), (self.console, 0)):
            text = _read_new(log, seen_bytes)
            if text:
                break
        return f"Kafka node {self._node_id} {what}; from its log {log}:\n{_excerpt(text)}"


class _Format:
    """A run of the format tool; its argument file is gone when it is over."""

    def __init__(self, command: list[str], *, arguments: Path) -> None:
        self._arguments = arguments
        self._process = subprocess.Popen(  # noqa: S603 - the command is our own
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def finish(self) -> None:
        """Wait for the tool.

        Raises:
            BrokerUnavailable: if it failed; with what it said.

        Blocks: at most two minutes; a run takes about a second.
        """
        try:
            output, _ = self._process.communicate(timeout=_FORMAT_TIMEOUT_S)
        except subprocess.TimeoutExpired as exc:
            raise BrokerUnavailable(
                f"Kafka's format tool took longer than {_FORMAT_TIMEOUT_S:g} s"
            ) from exc
        finally:
            self.abandon()
        if self._process.returncode != 0:
            said = _excerpt(output.decode(errors="replace"))
            raise BrokerUnavailable(f"Kafka's format tool refused its configuration:\n{said}")

    def abandon(self) -> None:
        """End the tool if it still runs, and remove what held the passwords."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._arguments.unlink(missing_ok=True)


def _read_new(path: Path, seen_bytes: int) -> str:
    """Return what a file has after seen_bytes; nothing if it is missing."""
    try:
        with path.open("rb") as file:
            file.seek(seen_bytes)
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _excerpt(text: str) -> str:
    """Return the first failure in a log with the lines after it, or else the last lines."""
    lines = text.splitlines() or ["(nothing)"]
    failures = (number for number, line in enumerate(lines) if _FAILURE.search(line))
    first = next(failures, max(0, len(lines) - _EXCERPT_LINES))
    return "\n".join(f"  {line}" for line in lines[first : first + _EXCERPT_LINES])
