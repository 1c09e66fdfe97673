# SPDX-License-Identifier: Apache-2.0
"""A real Apache Kafka on this machine, of one node or more, for tests, demos and development.

It listens on the loopback address only. Must not know the library or any Kafka client.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from kafka_notify.broker.cache import cache_folder, lock_file, make_folder, unwritable
from kafka_notify.broker.config import (
    HOST,
    ClusterPlan,
    NodeAddress,
    check_properties,
    check_users,
)
from kafka_notify.broker.identity import cluster_id_of, new_cluster_id
from kafka_notify.broker.jars import KAFKA_VERSION, Jars, find_jars
from kafka_notify.broker.java import Java, find_java
from kafka_notify.broker.node import Node
from kafka_notify.broker.ports import free_port, require_free
from kafka_notify.broker.quickstart import archive_options
from kafka_notify.errors import BrokerUnavailable, ClosedError, ConfigurationError

_MOST_NODES = 9
_DATA_REMEDY = "give a data folder that you may write to"
FOR_LOAD = ("-XX:TieredStopAtLevel=4", "-XX:-UseSerialGC", "-XX:+UseParallelGC")
"""``java_options`` of a broker that works hard: the whole compiler, a collector of throughput."""
# A cluster whose owner was killed lets go of its data after this time at the latest.
_DATA_LOCK_TIMEOUT_S = 10.0


class Cluster:
    """A Kafka cluster that lives as long as a ``with`` block, or from open() to close().

    Its brokers end with the process that opened it, even if that is killed. (A child that it
    forked does not keep them; close() in such a child does nothing.) Nodes are counted from 0;
    a node's place is its ``node.id``.

    Args:
        nodes: 1 to 9, each of them broker and controller. With three or more, all topics have
            three replicas of which two must be in sync.
        ports: one per node, for clients; free ones if left out.
        data_dir: keeps the data and the logs, and is used again by a later cluster with the same
            number of nodes. Left out: a temporary folder, gone after close().
        sasl: users and passwords. Each node then listens at ``sasl_bootstrap``, too, without TLS,
            with the mechanisms PLAIN and SCRAM-SHA-256. Not together with data_dir.
        heap: of each node, as Java writes it: ``512m``, ``2g``.
        partitions: of a topic that is created without a number.
        properties: broker properties that win over ours.
        version: of Kafka; 4.0.0 or later.
        cache, jars: see cache_folder() and find_jars().
        start_timeout_s: for a start, download not included.
        stop_timeout_s: for an orderly stop; what is there then is killed.
        on_progress: called with a short text when something begins that takes time.
        java_options: win over ours, which are for quick starts: see ``FOR_LOAD``.

    Raises:
        ConfigurationError: an argument that cannot work.

    Threads: one at a time.
    """

    def __init__(
        self,
        nodes: int = 1,
        *,
        ports: Sequence[int] | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        sasl: Mapping[str, str] | None = None,
        heap: str = "512m",
        partitions: int = 4,
        properties: Mapping[str, str] | None = None,
        version: str = KAFKA_VERSION,
        cache: str | os.PathLike[str] | None = None,
        jars: str | os.PathLike[str] | None = None,
        start_timeout_s: float = 120.0,
        stop_timeout_s: float = 20.0,
        on_progress: Callable[[str], None] | None = None,
        java_options: Sequence[str] = (),
    ) -> None:
        self._count = nodes
        self._ports = None if ports is None else tuple(ports)
        self._data_dir = None if data_dir is None else Path(os.path.abspath(data_dir))
        self._users = dict(sasl or {})
        self._heap = heap
        self._partitions = partitions
        self._properties = dict(properties or {})
        self._version = version
        self._cache = cache_folder(cache)
        self._jars = jars
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._on_progress = on_progress or _ignore
        self._java_options = tuple(java_options)
        self._check()
        self._nodes: list[Node] = []
        self._plan = ClusterPlan(addresses=())
        self._lock: int | None = None
        self._folder: Path | None = None
        self._keep_folder = False
        self._owner: int | None = None

    def __repr__(self) -> str:
        state = self.bootstrap if self._plan.addresses else "not opened"
        return f"Cluster({self._count}, {state}, {'open' if self._nodes else 'down'})"

    def __enter__(self) -> Cluster:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def bootstrap(self) -> str:
        """The addresses for clients, ``127.0.0.1:port,...``, in the order of the nodes."""
        return ",".join(f"{HOST}:{address.port}" for address in self._opened())

    @property
    def sasl_bootstrap(self) -> str:
        """The addresses for clients that log in.

        Raises:
            ConfigurationError: if the cluster has no SASL users.
        """
        if not self._users:
            raise ConfigurationError("this cluster has no SASL listener: open it with sasl=")
        return ",".join(f"{HOST}:{address.sasl_port}" for address in self._opened())

    def open(self) -> None:
        """Start all nodes and return when each of them answers clients.

        Raises:
            ConfigurationError: a port is in use, a folder unwritable or of another cluster.
            MissingExtra: the [broker] extra is not installed.
            BrokerUnavailable: a download failed, or a node did not start: with what its log says,
                and where that is (a temporary folder is kept then).

        Blocks: 2 to 10 seconds; where Kafka has to be downloaded first, about half a minute.
        """
        if self._nodes:
            return
        java = find_java()
        jars = find_jars(
            self._version, cache=self._cache, folder=self._jars, on_progress=self._on_progress
        )
        quick = archive_options(jars, java, on_progress=self._on_progress)
        self._owner = os.getpid()
        self._keep_folder = False
        began = time.monotonic()
        try:
            self._launch(java, jars, quick=(*quick, *self._java_options))
        except OSError as exc:
            folder = self._folder or self._data_dir or Path(tempfile.gettempdir())
            self.close()
            raise unwritable(folder, reason=str(exc), remedy=_DATA_REMEDY) from exc
        except BaseException:
            self.close()
            raise
        self._on_progress(f"ready after {time.monotonic() - began:.1f} s")

    def close(self) -> None:
        """End all nodes; with a data_dir in good order, else at once. May be called again.

        Blocks: at most ``stop_timeout_s`` and a few seconds.
        """
        if self._owner != os.getpid():
            return
        if self._data_dir is not None:
            self._stop_all()
        for node in self._nodes:
            node.kill()
        self._nodes = []
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._folder is not None and self._data_dir is None and not self._keep_folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def start(self, node: int) -> None:
        """Start a node that is down, on its old port and data, and return when it answers.

        With several nodes this needs a majority that is up. After kill() it can take the
        ``broker.session.timeout.ms`` (9 s): the controllers take the old process for alive.
        """
        chosen = self._node(node)
        chosen.start(inherit=self._inherited())
        chosen.wait_ready(timeout_s=self._start_timeout_s)

    def stop(self, node: int) -> None:
        """Stop a node in good order (SIGTERM); kill it if it takes longer than stop_timeout_s."""
        chosen = self._node(node)
        chosen.ask_to_stop()
        if not chosen.wait_stopped(timeout_s=self._stop_timeout_s):
            chosen.kill()

    def kill(self, node: int) -> None:
        """End a node at once, as a crash would (SIGKILL)."""
        self._node(node).kill()

    def pause(self, node: int) -> None:
        """Freeze a node (SIGSTOP): its connections stay open and nothing answers any more.

        Raises:
            BrokerUnavailable: the process did not stand still within 10 s.
        """
        self._node(node).pause()

    def resume(self, node: int) -> None:
        """Let a paused node go on (SIGCONT)."""
        self._node(node).send_signal(signal.SIGCONT)

    def pid(self, node: int) -> int | None:
        """Return the process id of a node's Java, or None while the node is down."""
        return self._node(node).pid

    def log(self, node: int) -> Path:
        """Return the path of a node's log."""
        return self._node(node).log

    def _check(self) -> None:
        if not 1 <= self._count <= _MOST_NODES:
            raise ConfigurationError(f"{self._count} nodes: give 1 to {_MOST_NODES}")
        if self._ports is not None and len(set(self._ports)) != self._count:
            raise ConfigurationError(
                f"ports {list(self._ports)}: give {self._count} different ones, one per node"
            )
        for port in self._ports or ():
            if not 1 <= port <= 65535:
                raise ConfigurationError(f"port {port}: give 1 to 65535")
        if self._partitions < 1:
            raise ConfigurationError(f"{self._partitions} partitions: give 1 or more")
        if not re.fullmatch(r"[1-9]\d*[kKmMgG]?", self._heap):
            raise ConfigurationError(f"heap {self._heap!r}: give a size such as 512m or 2g")
        if self._users and self._data_dir is not None:
            raise ConfigurationError(
                "sasl and data_dir exclude each other: Kafka keeps the users with the data"
            )
        check_users(self._users)
        check_properties(self._properties)

    def _launch(self, java: Java, jars: Jars, *, quick: Sequence[str]) -> None:
        folder, cluster_id = self._take_folder()
        self._plan = self._make_plan()
        self._nodes = [
            Node(
                self._plan,
                place,
                folder=folder / f"node-{place}",
                java=java,
                jars=jars,
                options=[f"-Xmx{self._heap}", *quick],
            )
            for place in range(self._count)
        ]
        self._format(cluster_id, options=quick)
        try:
            self._start_all()
        except BrokerUnavailable:
            self._keep_folder = True  # the error names a log in it
            raise

    def _take_folder(self) -> tuple[Path, str]:
        """Return the folder for the nodes' files, now ours alone, and the id of its cluster."""
        if self._data_dir is None:
            self._folder = Path(tempfile.mkdtemp(prefix="kafka-notify-"))
            return self._folder, new_cluster_id()
        make_folder(self._data_dir, remedy=_DATA_REMEDY)
        self._lock = lock_file(
            self._data_dir / "cluster.lock",
            timeout_s=_DATA_LOCK_TIMEOUT_S,
            on_wait=lambda: self._on_progress(f"{self._data_dir} is in use: waiting"),
        )
        self._folder = self._data_dir
        return self._folder, cluster_id_of(self._folder, nodes=self._count)

    def _make_plan(self) -> ClusterPlan:
        for port in self._ports or ():
            require_free(port)
        taken = set(self._ports or ())
        clients = self._ports or [free_port(besides=taken) for _ in range(self._count)]
        return ClusterPlan(
            addresses=tuple(
                NodeAddress(
                    port=port,
                    controller_port=free_port(besides=taken),
                    sasl_port=free_port(besides=taken) if self._users else None,
                )
                for port in clients
            ),
            partitions=self._partitions,
            users=self._users,
            properties=self._properties,
        )

    def _format(self, cluster_id: str, *, options: Sequence[str]) -> None:
        for node in self._nodes:
            node.write_files()
        fresh = [node for node in self._nodes if not node.formatted]
        if fresh:
            self._on_progress("formatting the data folder")
        runs = []
        try:
            for node in fresh:
                runs.append(node.begin_format(cluster_id, options=options))
            for run in runs:
                run.finish()
        finally:
            for run in runs:
                run.abandon()

    def _start_all(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        self._on_progress(f"starting Kafka {self._version} on {self.bootstrap}")
        for node in self._nodes:
            node.start(inherit=self._inherited())
        for node in self._nodes:
            node.wait_ready(timeout_s=max(0.0, deadline - time.monotonic()))

    def _stop_all(self) -> None:
        deadline = time.monotonic() + self._stop_timeout_s
        for node in self._nodes:
            node.ask_to_stop()
        for node in self._nodes:
            node.wait_stopped(timeout_s=max(0.0, deadline - time.monotonic()))

    def _inherited(self) -> tuple[int, ...]:
        # So that the data folder is locked until the last broker has ended.
        return () if self._lock is None else (self._lock,)

    def _opened(self) -> tuple[NodeAddress, ...]:
        if not self._plan.addresses:
            raise ClosedError("the cluster has no address before it is opened: use it with `with`")
        return self._plan.addresses

    def _node(self, place: int) -> Node:
        if not self._nodes:
            raise ClosedError("the cluster is not open: use it with `with`")
        if not 0 <= place < len(self._nodes):
            raise ConfigurationError(f"node {place}: this cluster has 0 to {len(self._nodes) - 1}")
        return self._nodes[place]


def _ignore(text: str) -> None:
    """Take no notice of progress."""
