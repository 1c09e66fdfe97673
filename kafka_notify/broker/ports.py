# SPDX-License-Identifier: Apache-2.0
"""Local TCP ports: free ones, who holds one, and whether a Kafka broker answers on it.

Must not know processes that this package starts.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from kafka_notify.broker.config import HOST
from kafka_notify.errors import ConfigurationError

# Below the ports from which the system serves outgoing connections (from 32768 on Linux, 49152
# elsewhere): a client could otherwise sit on the port of a broker that is away for a moment.
_LOWEST, _HIGHEST = 20_000, 32_000
_LISTENING = "0A"

# ApiVersions (key 18) version 0, correlation id 0, no client id: every Kafka answers it, before
# any login. Source: https://kafka.apache.org/protocol
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 0, -1)
_ANSWER = struct.Struct(">iih")


def free_port(*, besides: set[int]) -> int:
    """Return a port that nothing listens on and that is not in ``besides``, and add it there.

    Another process can take it before it is used.

    Raises:
        ConfigurationError: if a thousand tries found none.
    """
    for _ in range(1_000):
        port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - not a secret
        if port not in besides and _bind_error(port) is None:
            besides.add(port)
            return port
    raise ConfigurationError(f"no free port from {_LOWEST} to {_HIGHEST} of {HOST}: give ports")


def require_free(port: int) -> None:
    """Make sure that a broker could listen on the port now.

    Raises:
        ConfigurationError: naming the port, why not, and the process that has it where the
            system tells.
    """
    problem = _bind_error(port)
    if problem is None:
        return
    if problem.errno != errno.EADDRINUSE:
        raise ConfigurationError(
            f"cannot listen on port {port} of {HOST}: {problem.strerror}; choose another port"
        ) from problem
    holder = _holder(port)
    by = f" by {holder}" if holder else ""
    raise ConfigurationError(
        f"port {port} of {HOST} is in use{by}: choose another port, or end what uses it"
    ) from problem


def speaks_kafka(port: int, *, timeout_s: float) -> bool:
    """Tell whether a broker on the port answers requests.

    Blocks: at most about three times ``timeout_s``.
    """
    try:
        with socket.create_connection((HOST, port), timeout=timeout_s) as connection:
            connection.sendall(_API_VERSIONS)
            answer = connection.recv(_ANSWER.size, socket.MSG_WAITALL)
    except OSError:
        return False
    if len(answer) < _ANSWER.size:
        return False
    _, correlation, error = _ANSWER.unpack(answer)
    return bool(correlation == 0 and error == 0)


def _bind_error(port: int) -> OSError | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As Java does it: connections that are closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as exc:
            return exc
    return None


def _holder(port: int) -> str | None:
    """Return name and id of the process listening on the port, if Linux tells us."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(entry) in wanted for entry in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:  # the process ended, or belongs to somebody else
            continue
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            # local address as HEX:PORT, remote, state, ..., inode as the tenth
            if fields[1].endswith(f":{port:04X}") and fields[3] == _LISTENING:
                yield fields[9]
