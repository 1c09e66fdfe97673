# SPDX-License-Identifier: Apache-2.0
"""A real RabbitMQ on loopback, from Debian's package, for services that keep it for RPC.

Everything that two RabbitMQs of one machine could share is its own: ports, node name, port mapper
(epmd), data, logs, cookie and list of plug-ins. It must not know oslo.messaging or our driver.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

from tests.waiting import eventually

HOST = "127.0.0.1"
LOGIN = "guest"  # what every new RabbitMQ lets in from loopback, with the same password
START_S = 90.0
INSTALL_S = 240.0

# The package's own command in /usr/sbin insists on its own user; this one runs as whoever we are.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
POLICY = Path("/usr/sbin/policy-rc.d")
REMEDY = "install rabbitmq-server (apt-get install rabbitmq-server)"

# The shell stays as the head of its process group, and ends the group when it is told to or when
# nobody holds the other end of its stdin any more: even a test run that was killed leaves nothing.
KEEP = """
epmd -port "$ERL_EPMD_PORT" -address "$ERL_EPMD_ADDRESS" </dev/null &
"$0" </dev/null &
read -r _
kill -KILL 0
"""


class RabbitUnavailable(Exception):
    """Raised when there is no RabbitMQ and none can be installed; says what to do."""


def ensure_installed() -> None:
    """Return when Debian's RabbitMQ is there; install it if we are root and have apt-get.

    Several processes may ask at once; one installs.
    """
    if SERVER.exists():
        return
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise RabbitUnavailable(REMEDY)
    lock = Path(tempfile.gettempdir()) / f"kafka-notify-rabbitmq-{os.geteuid()}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not SERVER.exists():
            with no_services():
                _apt(apt, "update")
                _apt(apt, "install", "--yes", "--no-install-recommends", "rabbitmq-server")


@contextmanager
def no_services() -> Iterator[None]:
    """Keep packages that are installed meanwhile from starting services; ours is started by us."""
    with ExitStack() as undo:
        if not POLICY.exists():
            # 101: the action is forbidden. See the manual page of invoke-rc.d.
            POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
            undo.callback(POLICY.unlink)
            POLICY.chmod(0o755)
        yield


def _apt(apt: str, *arguments: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            [apt, "--quiet=2", *arguments],
            env=quiet,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RabbitUnavailable(f"{REMEDY}: apt-get took more than {INSTALL_S:g} s") from error
    if done.returncode:
        raise RabbitUnavailable(f"{REMEDY}: apt-get {arguments[0]} said: {done.stderr[-500:]}")


class Rabbit:
    """A RabbitMQ that lives as long as its ``with`` block. Threads: one."""

    def __init__(self) -> None:
        ensure_installed()
        self._folder = Path(tempfile.mkdtemp(prefix="kafka-notify-rabbit-"))
        self.port, self._epmd_port, self._node_port = _free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The transport URL, for RPC."""
        return f"rabbit://{LOGIN}:{LOGIN}@{HOST}:{self.port}/"

    def __enter__(self) -> Rabbit:
        with (self._folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", KEEP, SERVER],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env={**os.environ, **self._environment()},
                start_new_session=True,
            )
        try:
            eventually(self.takes_logins, START_S, "a RabbitMQ that takes logins")
        except AssertionError as error:
            said = self._said()
            self.__exit__(None, None, None)
            raise AssertionError(f"{error}; RabbitMQ said: {said}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        (folder / "plugins").write_text("[].\n", encoding="ascii")
        return {
            "HOME": str(folder),  # where Erlang keeps its cookie
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": f"kn-{uuid.uuid4().hex[:8]}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            # Files that are not there: nothing of /etc/rabbitmq counts.
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced"),
        }

    def takes_logins(self) -> bool:
        """Tell whether a client can log in now."""
        # Here, because only who has oslo.messaging has it.
        import amqp  # type: ignore[import-untyped]

        assert self._process is not None
        assert self._process.poll() is None, "RabbitMQ ended"
        try:
            with amqp.Connection(f"{HOST}:{self.port}", LOGIN, LOGIN, connect_timeout=5):
                return True
        except (OSError, amqp.AMQPError):
            return False

    def _said(self) -> str:
        return (self._folder / "output").read_text(errors="replace")[-4000:]


def _free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on; another process can take one before it is used."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
