# SPDX-License-Identifier: Apache-2.0
"""An archive of loaded classes beside the jars, with which brokers start in half the time.

Made once per Java version by a broker that is started for it alone. It is only a matter of
speed: where it cannot be made, brokers start without it.

Source: JEP 514 (Java 25), https://openjdk.org/jeps/514
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kafka_notify.broker.cache import lock_file
from kafka_notify.broker.config import ClusterPlan, NodeAddress
from kafka_notify.broker.jars import Jars
from kafka_notify.broker.java import Java
from kafka_notify.broker.node import Node
from kafka_notify.broker.ports import free_port
from kafka_notify.errors import BrokerError

_FIRST_JAVA = 25
_TIMEOUT_S = 120.0
_SCRATCH = "archive-"
_CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAQ"


def archive_options(
    jars: Jars, java: Java, *, on_progress: Callable[[str], None]
) -> Sequence[str]:
    """Return the options for Java that make it start quickly; make the archive if it is missing.

    Blocks: nothing, but about 12 seconds where the archive is made, at most about two minutes.
    """
    if not jars.ours or java.version[0] < _FIRST_JAVA:
        return ()
    archive = jars.folder / f"java-{'.'.join(map(str, java.version))}.aot"
    if not archive.exists() and not _make_once(archive, jars, java=java, on_progress=on_progress):
        return ()
    if archive.stat().st_size == 0:  # it could not be made: do not try each time
        return ()
    # Java checks that the archive fits and goes on without it otherwise. It also warns of every
    # part of it that does not fit, which means nothing to a user.
    return (f"-XX:AOTCache={archive}", "-Xlog:disable", "-Xlog:all=error:stderr")


def _make_once(
    archive: Path, jars: Jars, *, java: Java, on_progress: Callable[[str], None]
) -> bool:
    """Make the archive unless another process just did; False if it cannot be written."""
    try:
        lock = lock_file(
            archive.with_suffix(".lock"),
            timeout_s=2 * _TIMEOUT_S,
            on_wait=lambda: on_progress("another process prepares Kafka: waiting for it"),
        )
    except OSError:
        return False
    try:
        if not archive.exists():
            on_progress("preparing Kafka for quick starts (once)")
            _make(archive, jars, java=java)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _make(archive: Path, jars: Jars, *, java: Java) -> None:
    for stale in archive.parent.glob(f"{_SCRATCH}*"):  # of a process that was killed
        shutil.rmtree(stale, ignore_errors=True)
    taken: set[int] = set()
    address = NodeAddress(port=free_port(besides=taken), controller_port=free_port(besides=taken))
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=archive.parent) as scratch:
        made = Path(scratch, archive.name)
        node = Node(
            ClusterPlan(addresses=(address,)),
            0,
            folder=Path(scratch, "node"),
            java=java,
            jars=jars,
            options=[f"-XX:AOTCacheOutput={made}"],
        )
        try:
            _train(node)
        except BrokerError:
            made.unlink(missing_ok=True)
        finally:
            node.kill()
        made.touch()
        os.replace(made, archive)


def _train(node: Node) -> None:
    """Run the node up to the point where it serves clients; Java writes the archive at its end."""
    deadline = time.monotonic() + _TIMEOUT_S
    node.write_files()
    node.begin_format(_CLUSTER_ID, options=()).finish()
    node.start()
    node.wait_ready(timeout_s=deadline - time.monotonic())
    node.ask_to_stop()
    node.wait_stopped(timeout_s=max(0.0, deadline - time.monotonic()))
