# SPDX-License-Identifier: Apache-2.0
"""A Kafka as a compose file says, without a container engine.

The code that the image apache/kafka begins with is part of Kafka's jars: it makes Kafka's
configuration of the environment, and formats the storage. So a container is that program and then
Kafka, with the addresses and folders of this machine in the place of the containers'.
"""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from kafka_notify.broker.cache import cache_folder
from kafka_notify.broker.jars import find_jars
from kafka_notify.broker.java import find_java

FOLDER = Path(__file__).parents[2] / "examples/compose"
SECRETS = "/etc/kafka/secrets"
_TIMEOUT_S = 900.0  # on a machine that is busy with other tests


class Nodes:
    """The services of a compose file, each as a process of this machine.

    Attributes:
        bootstrap: Of each service, where programs on this machine find it.
    """

    def __init__(self, name: str, work: Path, **variables: str) -> None:
        text = (FOLDER / name).read_text()
        self.services: dict[str, Any] = yaml.safe_load(_interpolated(text, variables))["services"]
        self._work = work
        self._ports: dict[tuple[str, str], int] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.bootstrap = {
            service: f"127.0.0.1:{self._port(service, spec['ports'][0].split(':')[1])}"
            for service, spec in self.services.items()
        }
        self._environments = {service: self._environment(service) for service in self.services}

    def _port(self, service: str, port: str) -> int:
        """Return the port of this machine that stands for a container's."""
        if (service, port) not in self._ports:
            with socket.create_server(("127.0.0.1", 0)) as server:
                self._ports[service, port] = server.getsockname()[1]
        return self._ports[service, port]

    def _environment(self, service: str) -> dict[str, str]:
        def here(address: re.Match[str]) -> str:
            # No host, or localhost: the container itself.
            host = address[2] if address[2] in self.services else service
            return f"{address[1]}127.0.0.1:{self._port(host, address[3])}"

        environment = {}
        for name, value in self.services[service]["environment"].items():
            text = re.sub(r"(://|@)([a-z0-9]*):(\d+)", here, str(value))
            text = text.replace("/var/lib/kafka/data", str(self._work / service / "data"))
            environment[name] = text.replace(SECRETS, str(self._work / "certificates"))
        return environment

    def _java(self, *arguments: str) -> list[str]:
        jars = find_jars(cache=cache_folder(), on_progress=print).folder
        options = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return [str(find_java().executable), *options, "-cp", f"{jars}/*", *arguments]

    def start(self, service: str) -> None:
        """Configure, format and start one."""
        folders = {name: self._work / service / name for name in ("default", "mounted", "final")}
        for folder in folders.values():
            folder.mkdir(parents=True)
        log = (self._work / service / "log").open("wb")
        with log:
            subprocess.run(
                self._java(
                    "kafka.docker.KafkaDockerWrapper",
                    "setup",
                    *(f"--{name}-configs-dir={folder}" for name, folder in folders.items()),
                ),
                env=self._environments[service],
                stdout=log,
                stderr=log,
                timeout=_TIMEOUT_S,
                check=True,
            )
            self._processes[service] = subprocess.Popen(
                self._java("kafka.Kafka", str(folders["final"] / "server.properties")),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def assert_running(self) -> None:
        """Fail with its log if a node has ended."""
        for service, process in self._processes.items():
            if process.poll() is not None:
                raise AssertionError((self._work / service / "log").read_text()[-3000:])

    def kill(self, service: str) -> None:
        """End one as a power cut does."""
        process = self._processes.pop(service)
        process.kill()
        process.wait(timeout=60)

    def close(self) -> None:
        """End all of them."""
        for service in list(self._processes):
            self.kill(service)


@contextmanager
def running(name: str, work: Path, **variables: str) -> Iterator[Nodes]:
    """Yield the nodes of a compose file, which have been started and may not answer yet."""
    with ExitStack() as stack:
        nodes = Nodes(name, work, **variables)
        stack.callback(nodes.close)
        with ThreadPoolExecutor() as pool:
            list(pool.map(nodes.start, nodes.services))
        yield nodes


def _interpolated(text: str, variables: dict[str, str]) -> str:
    """Put variables into the text as compose does; ${NAME:?message} and ${NAME} are all we use."""
    return re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", lambda found: variables[found[1]], text)
