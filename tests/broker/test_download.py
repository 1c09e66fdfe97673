# SPDX-License-Identifier: Apache-2.0
"""Downloads, from a Maven repository of our own that can fail in the ways that real ones do."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kafka_notify.broker.jars import find_jars
from kafka_notify.errors import BrokerUnavailable, ConfigurationError

# They need the [broker] extra, which is there where a real Kafka is.
pytestmark = pytest.mark.functional

POM = """<?xml version="1.0"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
  <packaging>jar</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""
DEPENDENCY = (
    "<dependency><groupId>{0}</groupId><artifactId>{1}</artifactId><version>{2}</version>"
    "<scope>{3}</scope></dependency>"
)
KAFKA, LOG4J = "org.apache.kafka", "org.apache.logging.log4j"
CORE_JAR = "/org/apache/kafka/kafka_2.13/4.3.1/kafka_2.13-4.3.1.jar"


class Repository:
    """A Maven repository: path -> bytes, and how often each path was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.failures: dict[str, int] = {}  # path -> how many times it is cut off
        self.add(KAFKA, "kafka_2.13", "4.3.1", needs=[(LOG4J, "log4j-core", "2.0", "runtime")])
        self.add(KAFKA, "kafka-tools", "4.3.1", needs=[(KAFKA, "junit", "1", "test")])
        self.add(LOG4J, "log4j-core", "2.0")
        self.add(LOG4J, "log4j-slf4j-impl", "2.0")

    def add(
        self,
        group: str,
        artifact: str,
        version: str,
        *,
        needs: list[tuple[str, str, str, str]] | None = None,
    ) -> None:
        base = f"/{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}"
        dependencies = "".join(DEPENDENCY.format(*need) for need in needs or [])
        pom = POM.format(
            group=group, artifact=artifact, version=version, dependencies=dependencies
        )
        for name, body in ((".pom", pom.encode()), (".jar", f"jar of {artifact}".encode() * 999)):
            self.files[base + name] = body
            self.files[f"{base}{name}.sha1"] = hashlib.sha1(body).hexdigest().encode()  # noqa: S324

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked[request.path] += 1
        body = self.files.get(request.path)
        request.send_response(200 if body is not None else 404)
        request.send_header("Content-Length", str(len(body or b"")))
        request.end_headers()
        if body and self.failures.get(request.path, 0) > 0:
            self.failures[request.path] -= 1
            body = body[: len(body) // 2]
            request.close_connection = True
        request.wfile.write(body or b"")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """Yield a repository that the user's jgo.conf names as the mirror of Central."""
    pytest.importorskip("jgo")
    content = Repository()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    conf = tmp_path / "jgo.conf"
    conf.write_text(f"[repositories]\ncentral = http://127.0.0.1:{server.server_port}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(conf))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("KAFKA_NOTIFY_JARS", raising=False)
    yield content
    server.shutdown()
    server.server_close()
    thread.join()


def test_all_that_kafka_needs_is_downloaded_once(repository: Repository, tmp_path: Path) -> None:
    """With a logging binding, which Kafka does not ask for, and without what only tests need."""
    told: list[str] = []
    cache = tmp_path / "cache"
    first = find_jars(cache=cache, on_progress=told.append)
    requests = repository.asked.total()
    second = find_jars(cache=cache, on_progress=told.append)
    assert first == second
    assert [file.name for file in first.files] == [
        "kafka-tools-4.3.1.jar",
        "kafka_2.13-4.3.1.jar",
        "log4j-core-2.0.jar",
        "log4j-slf4j-impl-2.0.jar",
    ]
    assert first.files[1].read_bytes() == repository.files[CORE_JAR]
    assert repository.asked.total() == requests
    assert "jar 1 of 4: kafka_2.13-4.3.1.jar" in told
    assert sorted(path.name for path in cache.iterdir()) == ["jars.lock", "kafka-4.3.1"]


def test_processes_at_the_same_time_download_once(repository: Repository, tmp_path: Path) -> None:
    """All of them get the same jars; nothing is downloaded twice."""
    script = (
        "import sys; from pathlib import Path; from kafka_notify.broker import find_jars;"
        "print(len(find_jars(cache=Path(sys.argv[1]), on_progress=lambda _: None).files))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "cache")], stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    results = [process.communicate(timeout=60)[0] for process in processes]
    assert results == [b"4\n"] * 3
    assert set(repository.asked.values()) == {1}


def test_a_download_that_breaks_off_is_taken_up_again(
    repository: Repository, tmp_path: Path
) -> None:
    """A connection that breaks in the middle of a file costs a second try of that file."""
    repository.failures[CORE_JAR] = 1
    jars = find_jars(cache=tmp_path / "cache", on_progress=lambda _: None)
    assert jars.files[1].read_bytes() == repository.files[CORE_JAR]
    assert repository.asked[CORE_JAR] == 2


def test_a_download_that_fails_leaves_nothing_to_be_used(
    repository: Repository, tmp_path: Path
) -> None:
    """The error names what was wanted and what to do; the next try starts from nothing."""
    repository.failures[CORE_JAR] = 99
    with pytest.raises(BrokerUnavailable) as caught:
        find_jars(cache=tmp_path / "cache", on_progress=lambda _: None)
    message = str(caught.value)
    assert "org.apache.kafka:kafka_2.13:4.3.1" in message
    assert "kafka_2.13-4.3.1.jar" in message
    assert "check the network" in message
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["jars.lock"]
    repository.failures.clear()
    assert len(find_jars(cache=tmp_path / "cache", on_progress=lambda _: None).files) == 4


def test_what_a_killed_download_left_is_not_used(repository: Repository, tmp_path: Path) -> None:
    """It lies under another name, and goes away."""
    stale = tmp_path / "cache" / "staging-old" / "jars"
    stale.mkdir(parents=True)
    (stale / "kafka_2.13-4.3.1.jar").write_text("half")
    jars = find_jars(cache=tmp_path / "cache", on_progress=lambda _: None)
    assert jars.files[1].read_bytes() == repository.files[CORE_JAR]
    assert not stale.exists()


def test_a_damaged_file_is_refused(repository: Repository, tmp_path: Path) -> None:
    """A file whose checksum is not the published one never gets into the cache."""
    repository.files[CORE_JAR] = b"something else"
    with pytest.raises(BrokerUnavailable, match="cannot download kafka_2"):
        find_jars(cache=tmp_path / "cache", on_progress=lambda _: None)
    assert not (tmp_path / "cache" / "kafka-4.3.1").exists()


def test_an_unknown_version_is_no_network_failure(repository: Repository, tmp_path: Path) -> None:
    """The message has the coordinates, and says that the version is not published."""
    with pytest.raises(ConfigurationError, match=r"kafka_2.13:4\.99\.0.*published"):
        find_jars("4.99.0", cache=tmp_path / "cache", on_progress=lambda _: None)
    assert set(repository.asked.values()) == {1}


def test_downloads_have_a_bound(repository: Repository, tmp_path: Path) -> None:
    """Time that is over ends the download at the next chunk."""
    with pytest.raises(BrokerUnavailable, match="Timeout"):
        find_jars(cache=tmp_path / "cache", timeout_s=0.0, on_progress=lambda _: None)
