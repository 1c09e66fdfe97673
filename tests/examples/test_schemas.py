# SPDX-License-Identifier: Apache-2.0
"""What can be said of the examples without running them: schemas, and what they refer to."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
EXAMPLES = CHECKOUT / "examples"
COMPOSE = sorted(EXAMPLES.glob("compose/*.yaml"))
KUBERNETES = sorted(EXAMPLES.glob("kubernetes/*.yaml"))


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_compose_schema(path: Path) -> None:
    """The schema that the compose specification publishes."""
    pytest.importorskip("check_jsonschema")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            path,
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_compose_files_agree(path: Path) -> None:
    """Published ports are listened on and advertised; data has a volume; one version of Kafka."""
    compose = yaml.safe_load(path.read_text())
    for service in compose["services"].values():
        environment = service["environment"]
        for published in service["ports"]:
            address, outer, inner = published.split(":")
            assert address == "127.0.0.1"
            assert outer == inner
            assert f"://:{inner}" in environment["KAFKA_LISTENERS"]
            assert f"localhost:{outer}" in environment["KAFKA_ADVERTISED_LISTENERS"]
        volumes = dict(volume.split(":")[:2] for volume in service["volumes"])
        (data,) = (
            name for name, folder in volumes.items() if folder == environment["KAFKA_LOG_DIRS"]
        )
        assert data in compose["volumes"]
        assert service["image"] == "apache/kafka:4.3.1"


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_docker_compose_reads_it(path: Path) -> None:
    """`docker compose config`, where there is one."""
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run(
            [docker, "compose", "version"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no docker compose here: the schema alone is checked")
    subprocess.run(
        [docker, "compose", "-f", path, "config", "--quiet"],
        env={"PATH": "/usr/bin:/bin", "KAFKA_PASSWORD": "x"},
        check=True,
        timeout=300,
    )


def kubernetes_objects() -> list[Any]:
    return [one for path in KUBERNETES for one in yaml.safe_load_all(path.read_text())]


@pytest.mark.parametrize("number", range(len(kubernetes_objects())))
def test_kubernetes_schema(number: int) -> None:
    """The schemas of the newest Kubernetes that the validator knows, unknown fields refused."""
    validator = pytest.importorskip("kubernetes_validate")
    validator.validate(kubernetes_objects()[number], validator.latest_version(), strict=True)


def test_the_image_has_what_it_needs(tmp_path: Path) -> None:
    """The commands of the Dockerfile, without an engine: what it copies is enough to install."""
    dockerfile = (EXAMPLES / "image/Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.*) (/src/\S*)$", dockerfile, flags=re.MULTILINE)
    source = tmp_path / "src"
    for names, target in copied:
        for name in names.split():
            to = tmp_path / target.removeprefix("/")
            if (CHECKOUT / name).is_dir():
                shutil.copytree(CHECKOUT / name, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                to.mkdir(exist_ok=True)
                shutil.copy(CHECKOUT / name, to)
    assert '/src[cli]"' in dockerfile
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, source],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("kafka_notify-*.whl"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    """Every line of the unit means something to systemd."""
    name = "kafka-notify-listen@.service"
    unit = (EXAMPLES / "systemd" / name).read_text()
    command = "ExecStart=/opt/kafka-notify/bin/kafka-notify"
    assert unit.count(command) == 1
    ours = Path(sys.executable).with_name("kafka-notify")
    path = tmp_path / name.replace("@", "@audit")
    path.write_text(unit.replace(command, f"ExecStart={ours}"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
