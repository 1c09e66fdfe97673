# SPDX-License-Identifier: Apache-2.0
"""Confluent Parallel Consumer: ``python benchmarks/peers/parallel_peer.py pausing …``.

Its jars come from Maven Central as Kafka's own do, and so does the compiler for the few lines of
Java beside this file: the Java runtime of the [broker] extra has none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from kafka_notify.bench.child import WAIT_S, Figures, Task, main
from kafka_notify.broker.cache import cache_folder, lock_file
from kafka_notify.broker.java import find_java
from kafka_notify.broker.maven import download_jars

VERSION = "0.5.3.3"
_PEER = f"io.confluent.parallelconsumer:parallel-consumer-core:{VERSION}"
_SILENT = "org.slf4j:slf4j-nop:2.0.13"
_COMPILER = "org.eclipse.jdt:ecj:3.43.0"
_SOURCE = Path(__file__).with_name("ParallelPeer.java")
_DOWNLOAD_S = 600.0


def prepare() -> list[Path]:
    """Return the class path, complete: jars downloaded, Java compiled."""
    folder = cache_folder() / f"parallel-consumer-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    lock = lock_file(
        folder / "lock",
        timeout_s=_DOWNLOAD_S,
        on_wait=lambda: sys.stderr.write("another process prepares the peer: waiting for it\n"),
    )
    try:
        jars = _jars(folder / "jars", f"{_PEER}+{_SILENT}")
        classes = folder / f"classes-{_SOURCE.stat().st_mtime_ns:x}"
        if not classes.is_dir():
            _compile(classes, jars, compiler=_jars(folder / "compiler", _COMPILER)[0])
    finally:
        os.close(lock)
    return [classes, *jars]


def _jars(folder: Path, coordinates: str) -> list[Path]:
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=folder.parent) as staging:
            found = download_jars(
                coordinates,
                into=Path(staging, "repository"),
                timeout_s=_DOWNLOAD_S,
                on_progress=lambda _text: None,
            )
            flat = Path(staging, "jars")
            flat.mkdir()
            for jar in found:
                os.replace(jar, flat / jar.name)
            os.replace(flat, folder)
    return sorted(folder.glob("*.jar"))


def _compile(classes: Path, jars: list[Path], *, compiler: Path) -> None:
    with tempfile.TemporaryDirectory(dir=classes.parent) as staging:
        subprocess.run(  # noqa: S603 - a program of ours, whose arguments are paths
            [
                *(str(find_java().executable), "-jar", str(compiler), "-source", "17"),
                *(
                    "-target",
                    "17",
                    "-proc:none",
                    "-nowarn",
                    "-classpath",
                    os.pathsep.join(map(str, jars)),
                ),
                *("-d", staging, str(_SOURCE)),
            ],
            check=True,
        )
        os.replace(staging, classes)
        Path(staging).mkdir()  # for its removal


def pausing(task: Task) -> Figures:
    """Handle what a topic of one partition holds, with the pauses of the option ``pauses``."""
    least_s, most_s = task.options["pauses"]
    done = subprocess.run(  # noqa: S603 - as above
        [
            *(str(find_java().executable), "-Xmx1g"),
            *("-classpath", os.pathsep.join(map(str, prepare())), "ParallelPeer"),
            *(task.brokers, task.log, str(task.options.get("pool", task.topic))),
            *(str(task.count), str(task.options["concurrency"]), str(least_s), str(most_s)),
        ],
        stdout=subprocess.PIPE,
        timeout=2 * WAIT_S,
        check=True,
    )
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    if sys.argv[1:] == ["prepare"]:
        prepare()
    else:
        main({"pausing": pausing})
