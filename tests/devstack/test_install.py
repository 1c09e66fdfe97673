# SPDX-License-Identifier: Apache-2.0
"""Where Kafka comes from: the archive, checked, and what is made of it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.devstack.conftest import Bash

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

VERSION = "4.9.9"
RELEASE = f"kafka_2.13-{VERSION}"
# Java is no matter here: kafka_java finds one, whatever the machine has.
INSTALL = "function kafka_java { echo /usr/bin/java; }; install_kafka; kafka_jars"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a web server that has a Kafka, and a file that is none."""
    folder = tmp_path / "mirror"
    for version in (VERSION, "4.9.10"):
        release = f"kafka_2.13-{version}"
        libs = folder / version / release / "libs"
        libs.mkdir(parents=True)
        (libs / f"{release}.jar").write_bytes(b"a jar of " + version.encode())
        with tarfile.open(folder / version / f"{release}.tgz", "w:gz") as archive:
            archive.add(libs.parent, release)
    (folder / "page.html").write_text("no such file, says the mirror\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def machine(bash: Bash, tmp_path: Path, mirror: str) -> Bash:
    """Return ``run(script, **local_conf)`` on a machine of the test's own."""
    files = tmp_path / "files"
    files.mkdir()

    def run(
        script: str = INSTALL, version: str = VERSION, **local_conf: str
    ) -> subprocess.CompletedProcess[str]:
        archive = tmp_path / "mirror" / version / f"kafka_2.13-{version}.tgz"
        return bash(
            script,
            **{
                "KAFKA_VERSION": version,
                "KAFKA_BASEURL": mirror,
                "KAFKA_SHA512": hashlib.sha512(archive.read_bytes()).hexdigest(),
                "DEST": str(tmp_path / "stack"),
                "DATA_DIR": str(tmp_path / "stack/data"),
                "FILES": str(files),
                "SYSTEMD_DIR": str(tmp_path),
                **local_conf,
            },
        )

    return run


def test_installed(machine: Bash, tmp_path: Path) -> None:
    """The archive is kept, unpacked, and its jars are found."""
    done = machine()
    assert done.returncode == 0, done.stderr
    libs = tmp_path / f"stack/kafka-dist/{RELEASE}/libs"
    assert done.stdout.splitlines()[-1] == str(libs)
    assert [file.name for file in libs.iterdir()] == [f"{RELEASE}.jar"]
    assert [file.name for file in (tmp_path / "files").iterdir()] == [f"{RELEASE}.tgz"]


def test_java_is_installed_where_there_is_none(machine: Bash, tmp_path: Path) -> None:
    """The package is found whatever name the plug-in is enabled by; without success it is told."""
    script = """
        function _get_package_dir { echo "$1/debs"; }
        function _parse_package_files { sed 's/#.*//' "$@"; }
        function install_package { echo "install_package $*"; }
        function kafka_java { cat java 2> /dev/null || true; }
        install_kafka
    """
    done = machine(script)
    assert "install_package default-jre-headless\n" in done.stdout
    assert "[ERROR] No Java 17 or later is to be found: install one" in done.stderr


def test_installed_once(machine: Bash, tmp_path: Path) -> None:
    """A second run of stack.sh takes what is there, even without a network."""
    machine()
    (tmp_path / "files" / f"{RELEASE}.tgz").unlink()
    done = machine(KAFKA_BASEURL="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert f"Kafka {VERSION} is in {tmp_path}/stack/kafka-dist/{RELEASE} already" in done.stdout


def test_another_version_takes_its_place(machine: Bash, tmp_path: Path) -> None:
    """A changed KAFKA_VERSION is installed, and the old one is gone."""
    machine()
    done = machine(version="4.9.10")
    assert done.stdout.splitlines()[-1].endswith("/kafka_2.13-4.9.10/libs"), done.stderr
    assert [one.name for one in (tmp_path / "stack/kafka-dist").iterdir()] == ["kafka_2.13-4.9.10"]
    assert [one.name for one in (tmp_path / "files").iterdir()] == ["kafka_2.13-4.9.10.tgz"]


def test_another_archive_of_that_version(machine: Bash, tmp_path: Path) -> None:
    """A changed KAFKA_SHA512 is another Kafka, though the version is the same."""
    machine()
    other = tmp_path / f"mirror/4.9.10/{RELEASE}.tgz"
    shutil.copy(tmp_path / "mirror/4.9.10/kafka_2.13-4.9.10.tgz", other)
    done = machine(
        KAFKA_DOWNLOAD_URL=f"file://{other}",
        KAFKA_SHA512=hashlib.sha512(other.read_bytes()).hexdigest(),
    )
    assert done.returncode == 0, done.stderr
    libs = tmp_path / f"stack/kafka-dist/{RELEASE}/libs"
    assert [file.name for file in libs.iterdir()] == ["kafka_2.13-4.9.10.jar"]


@pytest.mark.parametrize(
    ("local_conf", "message"),
    [
        ({"KAFKA_SHA512": "0" * 128}, "it is damaged or another file. Try again"),
        ({"KAFKA_DOWNLOAD_URL": "{mirror}/missing.tgz"}, "could not be downloaded"),
        ({"KAFKA_BASEURL": "http://127.0.0.1:9"}, "could not be downloaded"),
        ({"OFFLINE": "True"}, "OFFLINE=True, and"),
    ],
)
def test_nothing_is_left_of_a_bad_download(
    machine: Bash,
    tmp_path: Path,
    mirror: str,
    local_conf: dict[str, str],
    message: str,
) -> None:
    """stack.sh stops and says what to do, and the next run begins anew."""
    done = machine(**{name: value.format(mirror=mirror) for name, value in local_conf.items()})
    assert done.returncode != 0
    assert message in done.stderr.splitlines()[-1]
    assert list((tmp_path / "files").iterdir()) == []
    assert not (tmp_path / "stack").exists()
    assert machine().returncode == 0


def test_a_damaged_archive_is_downloaded_again(machine: Bash, tmp_path: Path) -> None:
    """What lies in DevStack's files counts only with the right checksum."""
    (tmp_path / "files" / f"{RELEASE}.tgz").write_bytes(b"")
    assert machine().returncode == 0


def test_an_archive_that_is_no_kafka(machine: Bash, tmp_path: Path) -> None:
    """The right checksum of the wrong file is told, and nothing is installed."""
    page = tmp_path / "mirror/page.html"
    done = machine(
        KAFKA_DOWNLOAD_URL=f"file://{page}",
        KAFKA_SHA512=hashlib.sha512(page.read_bytes()).hexdigest(),
    )
    assert done.returncode != 0
    assert "is no Kafka: it holds no libs/kafka_2.*.jar" in done.stderr
    assert list((tmp_path / "stack/kafka-dist").iterdir()) == []


def test_a_folder_of_somebody_else_is_not_touched(machine: Bash, tmp_path: Path) -> None:
    """KAFKA_DEST may be a folder that others use; what is theirs stays there."""
    theirs = tmp_path / f"stack/kafka-dist/{RELEASE}"
    theirs.mkdir(parents=True)
    (theirs / "mine.txt").write_text("keep me")
    done = machine()
    assert done.returncode != 0
    assert f"{theirs} is in the way, and not this plug-in's" in done.stderr
    done = machine("cleanup_kafka")
    assert done.returncode == 0, done.stderr
    assert [one.name for one in (tmp_path / "stack/kafka-dist").iterdir()] == [RELEASE]
    assert (theirs / "mine.txt").read_text() == "keep me"


def test_cleaned_twice(machine: Bash, tmp_path: Path) -> None:
    """clean.sh takes away what the plug-in has made, and has nothing against doing so again."""
    machine()
    data = tmp_path / "stack/data/kafka"
    for name in ("log/topic-0/0.log", "conf/server.properties"):
        (data / name).parent.mkdir(parents=True)
        (data / name).write_text("")
    for _ in range(2):
        done = machine("cleanup_kafka")
        assert (done.returncode, done.stderr) == (0, "")
        assert not data.exists()
        assert not (tmp_path / "stack/kafka-dist").exists()
        assert list((tmp_path / "files").iterdir()) == []


@pytest.mark.parametrize("layout", ["libs", "."])
def test_a_kafka_that_is_there(machine: Bash, tmp_path: Path, layout: str) -> None:
    """KAFKA_DIST_DIR is an unpacked Kafka or a folder of jars; nothing is downloaded."""
    dist = tmp_path / "dist"
    (dist / layout).mkdir(parents=True, exist_ok=True)
    (dist / layout / "kafka_2.13-4.9.9.jar").write_bytes(b"a jar")
    done = machine(KAFKA_DIST_DIR=str(dist), KAFKA_BASEURL="http://127.0.0.1:9")
    assert done.stdout.splitlines()[-1] == str((dist / layout).resolve())
    machine("cleanup_kafka", KAFKA_DIST_DIR=str(dist))
    assert (dist / layout / "kafka_2.13-4.9.9.jar").exists()


@pytest.mark.parametrize(
    ("pinned", "left"), [("2.8.0", ""), ("2.11.0", ""), ("2.12.0", "2.12.0"), ("2.15.0", "2.15.0")]
)
def test_constraints_of_older_releases(bash: Bash, tmp_path: Path, pinned: str, left: str) -> None:
    """OpenStack's pin of confluent-kafka gives way only where it is older than what we need."""
    constraints = tmp_path / "upper-constraints.txt"
    constraints.write_text(f"confluent===1.0\nconfluent-kafka==={pinned}\nzstd===1.0\n")
    script = """
        function setup_package { echo "setup_package $*"; }
        install_kafka_driver
    """
    done = bash(script, REQUIREMENTS_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(" -e cli,oslo")
    expected = f"confluent-kafka==={left}\n" if left else ""
    assert constraints.read_text() == f"confluent===1.0\n{expected}zstd===1.0\n"


def test_driver_in_the_environments_of_services(bash: Bash, tmp_path: Path) -> None:
    """With USE_VENV each service has an environment of its own, and needs the driver there."""
    for name in ("nova", "glance"):
        (tmp_path / name).mkdir()
    script = f"""
        declare -A PROJECT_VENV=([nova]={tmp_path}/nova [glance]={tmp_path}/glance [swift]=/none)
        function pip_install_gr {{ echo "$PIP_VIRTUAL_ENV $*"; }}
        install_kafka_driver
    """
    done = bash(script, NOTIFY_DRIVER="kafka", USE_VENV="True")
    assert sorted(done.stdout.splitlines()) == [
        f"{tmp_path}/glance confluent-kafka",
        f"{tmp_path}/nova confluent-kafka",
    ]


@pytest.mark.parametrize(
    ("meta", "local_conf", "refused"),
    [
        ("1 MkU3OEVBNTcwNTJENDM2Qg", {}, False),
        ("1 MkU3OEVBNTcwNTJENDM2Qg", {"KAFKA_CLUSTER_ID": "MkU3OEVBNTcwNTJENDM2Qg"}, False),
        ("1 MkU3OEVBNTcwNTJENDM2Qg", {"KAFKA_CLUSTER_ID": "BBBBBBBBBBBBBBBBBBBBBB"}, True),
        ("1 MkU3OEVBNTcwNTJENDM2Qg", {"KAFKA_NODE_ID": "2"}, True),
    ],
)
def test_data_of_another_cluster(
    machine: Bash,
    tmp_path: Path,
    meta: str,
    local_conf: dict[str, str],
    refused: bool,
) -> None:
    """Formatted once: a second run keeps the data, and refuses that of another node or cluster."""
    log = tmp_path / "stack/data/kafka/log"
    log.mkdir(parents=True)
    node, cluster = meta.split()
    (log / "meta.properties").write_text(f"node.id={node}\nversion=1\ncluster.id={cluster}\n")
    done = machine(f"{INSTALL}; configure_kafka", **local_conf)
    assert (done.returncode != 0) == refused, done.stderr
    assert ("set another KAFKA_DATA_DIR" in done.stderr) == refused
    modes = {file.stat().st_mode & 0o777 for file in (log.parent / "conf").iterdir()}
    assert modes == {0o600}
