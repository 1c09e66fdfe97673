# SPDX-License-Identifier: Apache-2.0
"""The compose file is one, and has what the guide says."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

PATH = Path(__file__).parents[2] / "docker" / "docker-compose-with-kafka-example.yml"


def test_its_services() -> None:
    """Kafka without ZooKeeper, its user interface on 8080, two servers on ours, a client."""
    services = yaml.safe_load(PATH.read_text())["services"]
    assert set(services) == {"kafka", "kafka-ui", "opal_server", "opal_server_2", "opal_client"}
    assert services["kafka"]["environment"]["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert services["kafka-ui"]["ports"] == ["8080:8080"]
    for name in ("opal_server", "opal_server_2"):
        environment = services[name]["environment"]
        assert environment["UVICORN_ASGI_APP"] == "kafka_notify.opal:app"
        assert environment["OPAL_BROADCAST_URI"] == "kafka://kafka:9092"
        assert json.loads(environment["OPAL_DATA_CONFIG_SOURCES"])["config"]["entries"]
    dockerfile = PATH.parent.parent / services["opal_server"]["build"]["dockerfile"]
    assert "UVICORN_ASGI_APP=kafka_notify.opal:app" in dockerfile.read_text()


def test_docker_compose_takes_it() -> None:
    """``docker compose config`` finds nothing wrong, where that is there."""
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run(
            [docker, "compose", "version"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no docker compose here")
    command = [docker, "compose", "-f", str(PATH), "config", "--quiet"]
    subprocess.run(command, check=True, timeout=120)
