# SPDX-License-Identifier: Apache-2.0
"""The commands that the unit of systemd and the pod of Kubernetes run, and the pod's probes."""

from __future__ import annotations

import shlex
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.commands import TIMEOUT_S, Running
from tests.waiting import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"


pytestmark = pytest.mark.functional


@pytest.fixture
def url(kafka: Any) -> str:
    """Return the URL of a Kafka."""
    return kafka.url()


def test_command_of_the_unit(url: str, unique: str, tmp_path: Path) -> None:
    """It listens, and ends on SIGTERM with the code that the unit knows as a good end."""
    lines = (EXAMPLES / "systemd/kafka-notify-listen@.service").read_text().splitlines()
    unit = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    credential, source = unit["LoadCredential"].split(":")
    assert source == "/etc/kafka-notify/%i.conf"
    (tmp_path / credential).write_text(
        f"[oslo_messaging_notifications]\ntransport_url = {url}\ntopics = {unique}\n"
    )
    start = unit["ExecStart"].replace("${CREDENTIALS_DIRECTORY}", str(tmp_path))
    command, *arguments = shlex.split(start.replace("%i", unique))
    assert command == "/opt/kafka-notify/bin/kafka-notify"
    with Running(*arguments) as listen:
        listen.wait_for_error_line(f"Listening to {unique}")
        result = listen.interrupt(signal.SIGTERM)
        assert result.code == int(unit["SuccessExitStatus"])


def container() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the listener's container, and the file that its Secret gives it."""
    text = (EXAMPLES / "kubernetes/listener.yaml").read_text()
    secret, deployment = yaml.safe_load_all(text)
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return only, secret["stringData"]


def test_pod_and_its_probes(url: str, unique: str, tmp_path: Path) -> None:
    """With the Secret's file and the container's arguments each probe is answered by 200."""
    spec, files = container()
    for name, text in files.items():
        changed = text.replace("kafka://kafka:9092/", url).replace(
            "= notifications", f"= {unique}"
        )
        assert url in changed
        (tmp_path / name).write_text(changed)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (declared,) = (one for one in spec["ports"] if one["name"] == "health")
    assert f"--health-port={declared['containerPort']}" in spec["args"]
    arguments = [
        one.replace("/etc/kafka-notify", str(tmp_path))
        .replace(f"={declared['containerPort']}", f"={port}")
        .replace("--pool=audit", f"--pool={unique}")
        for one in spec["args"]
    ]
    with Running(*arguments) as listen:
        listen.wait_for_error_line(f"Listening to {unique}")
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            get = spec[probe]["httpGet"]
            assert get["port"] == declared["name"]
            eventually(lambda path=get["path"]: _status(port, path) == 200, TIMEOUT_S, probe)
        listen.interrupt(signal.SIGTERM)


def _status(port: int, path: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return int(answer.status)
