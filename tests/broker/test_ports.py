# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from kafka_notify.broker.ports import free_port, require_free, speaks_kafka
from kafka_notify.errors import ConfigurationError


def test_free_ports_differ_and_are_free() -> None:
    """Ports come from below those that the system gives to outgoing connections."""
    taken: set[int] = set()
    ports = [free_port(besides=taken) for _ in range(20)]
    assert len(set(ports)) == 20
    assert taken == set(ports)
    for port in ports:
        require_free(port)
    if sys.platform == "linux":
        lowest_ephemeral = int(
            Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]
        )
        assert max(ports) < max(lowest_ephemeral, 32_768)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a port")
def test_a_port_in_use_is_named_with_its_user() -> None:
    """The message names the port, the process that has it and what to do."""
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - all addresses, on purpose
        port = server.getsockname()[1]
        with pytest.raises(ConfigurationError) as caught:
            require_free(port)
    message = str(caught.value)
    assert f"port {port} of 127.0.0.1 is in use by " in message
    assert f"(process {os.getpid()}): choose another port" in message


def test_a_port_that_is_closing_is_free() -> None:
    """A broker can come back at once on the port that it had (TIME_WAIT does not count)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()  # this side closes first and keeps the port in TIME_WAIT
    require_free(port)


def test_only_kafka_speaks_kafka() -> None:
    """Neither a closed port, nor one that is silent, nor another protocol counts."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert not speaks_kafka(port, timeout_s=0.1)
    assert not speaks_kafka(port, timeout_s=0.1)
