# SPDX-License-Identifier: Apache-2.0
"""A node whose Java is a shell script: what a start that fails looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafka_notify.broker.config import ClusterPlan, NodeAddress
from kafka_notify.broker.jars import Jars
from kafka_notify.broker.java import Java
from kafka_notify.broker.node import Node
from kafka_notify.broker.ports import free_port
from kafka_notify.errors import BrokerUnavailable

REFUSES = "echo 'Too small maximum heap'; exit 1"
LOGS_AND_DIES = """
echo noise
for n in 1 2 3; do echo "[now] INFO fine $n" >> server.log; done
echo '[now] ERROR the disk is on fire' >> server.log
for n in 1 2 3; do echo "[now] INFO shutting down $n" >> server.log; done
exit 1
"""
SILENT = "exec sleep 600"


def make_node(folder: Path, script: str) -> Node:
    executable = folder / "java"
    executable.write_text(f"#!/bin/sh\n{script}\n")
    executable.chmod(0o755)
    taken: set[int] = set()
    address = NodeAddress(port=free_port(besides=taken), controller_port=free_port(besides=taken))
    node = Node(
        ClusterPlan(addresses=(address,)),
        0,
        folder=folder / "node-0",
        java=Java(executable=executable, version=(25, 0, 0)),
        jars=Jars(folder=folder, files=(), ours=False),
        options=[],
    )
    node.write_files()
    return node


def test_java_s_own_refusal_is_shown(tmp_path: Path) -> None:
    """Where Kafka never came to log anything, the error has what Java said, and where."""
    node = make_node(tmp_path, REFUSES)
    node.start()
    with pytest.raises(BrokerUnavailable) as caught:
        node.wait_ready(timeout_s=20)
    message = str(caught.value)
    assert "node 0 ended while it started" in message
    assert "Too small maximum heap" in message
    assert str(tmp_path / "node-0" / "console.log") in message
    node.kill()
    assert not node.running
    assert node.pid is None


def test_the_first_failure_in_the_log_is_shown(tmp_path: Path) -> None:
    """Not what Kafka writes on its way out, and nothing of an earlier run."""
    node = make_node(tmp_path, LOGS_AND_DIES)
    node.log.write_text("[then] ERROR of an earlier run\n")
    node.start()
    with pytest.raises(BrokerUnavailable) as caught:
        node.wait_ready(timeout_s=20)
    first_line, *excerpt = str(caught.value).splitlines()
    assert first_line.endswith(f"from its log {node.log}:")
    assert excerpt[0] == "  [now] ERROR the disk is on fire"
    assert "earlier run" not in str(caught.value)
    node.kill()


def test_a_start_is_waited_for_within_a_bound(tmp_path: Path) -> None:
    """A broker that never answers is an error that says how long was waited."""
    node = make_node(tmp_path, SILENT)
    node.start()
    try:
        assert node.pid is not None
        with pytest.raises(BrokerUnavailable, match=r"did not answer within 0\.2 s"):
            node.wait_ready(timeout_s=0.2)
    finally:
        node.kill()
    assert not node.running


def test_a_node_can_be_ended_at_any_time(tmp_path: Path) -> None:
    """Each way to end a node may be used again and before the first start."""
    node = make_node(tmp_path, SILENT)
    node.kill()
    node.ask_to_stop()
    assert node.wait_stopped(timeout_s=0)
    node.start()
    first = node.pid
    node.start()  # it is there: nothing happens
    assert node.pid == first
    node.ask_to_stop()
    assert node.wait_stopped(timeout_s=20)
    node.start()
    assert node.pid not in {None, first}
    node.kill()
    node.kill()


def test_a_format_tool_that_refuses_is_quoted(tmp_path: Path) -> None:
    """The error has the tool's words; the file that may hold passwords is gone."""
    node = make_node(tmp_path, "echo 'Exception in main: no such option'; exit 2")
    with pytest.raises(BrokerUnavailable, match="no such option"):
        node.begin_format("id", options=()).finish()
    assert not (tmp_path / "node-0" / "format.args").exists()
    assert not node.formatted


def test_a_java_that_cannot_be_run_is_an_error(tmp_path: Path) -> None:
    node = make_node(tmp_path, SILENT)
    (tmp_path / "java").unlink()
    node.start()
    with pytest.raises(BrokerUnavailable, match=f"cannot run {tmp_path}/java"):
        node.wait_ready(timeout_s=20)
    node.kill()
