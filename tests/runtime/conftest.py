# SPDX-License-Identifier: Apache-2.0
"""A transport over an in-memory cluster, and an endpoint that keeps what it gets."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kafka_notify
from kafka_notify.core.events import Event
from kafka_notify.core.message import PRIORITIES
from kafka_notify.drivers.memory_cluster import MemoryCluster
from kafka_notify.runtime.outbox import pump
from tests.runtime.rig import Rig

BOUND_S = 10.0


class Recorder:
    """Endpoint of all priorities; wait for calls with ``wait_for``."""

    filter_rule: Any = None

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._changed = threading.Condition()
        for priority in PRIORITIES:
            setattr(self, priority, self._recording(priority))

    def _recording(self, priority: str) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            with self._changed:
                self.calls.append((priority, arguments))
                self._changed.notify_all()

        return call

    def wait_for(
        self, count: int, timeout_s: float = BOUND_S
    ) -> list[tuple[str, tuple[Any, ...]]]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, timeout_s), self.calls
            return list(self.calls)

    @property
    def payloads(self) -> list[Any]:
        return [arguments[3] for _, arguments in self.calls]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def cluster(unique: str) -> MemoryCluster:
    return MemoryCluster.find(unique)


@pytest.fixture
def connect(cluster: MemoryCluster) -> Iterator[Callable[..., Any]]:
    """Return a function that makes a transport; ``events`` of it holds what was told."""
    made = []

    def make(query: str = "", vhost: str = "", **arguments: Any) -> Any:
        url = f"memory://{cluster.name}/{vhost}?kafka_consumer_timeout=0.05{query and '&' + query}"
        transport = kafka_notify.get_notification_transport(url=url, **arguments)
        events: list[Event] = []
        transport.monitor.subscribe(events.append)
        transport.events = events
        made.append(transport)
        return transport

    yield make
    for transport in made:
        transport.cleanup()


@pytest.fixture
def transport(connect: Callable[..., Any]) -> Any:
    return connect()


@pytest.fixture
def listen(unique: str) -> Iterator[Callable[..., Any]]:
    """Return a function that starts a listener; all are stopped at the end."""
    started = []

    def start(transport: Any, endpoint: Any, **arguments: Any) -> Any:
        make = kafka_notify.get_notification_listener
        if "batch_size" in arguments:
            make = kafka_notify.get_batch_notification_listener
        targets = [kafka_notify.Target(topic=arguments.pop("topic", "notifications"))]
        listener = make(
            transport, targets, [endpoint], pool=arguments.pop("pool", unique), **arguments
        )
        listener.start()
        started.append(listener)
        return listener

    yield start
    for listener in started:
        listener.stop()
        listener.wait()


@pytest.fixture(scope="session")
def quick_disk() -> Iterator[Path]:
    """Yield a folder in memory where the system has one: hundreds of files wait for no disk."""
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(
        prefix="kafka-notify-", dir=memory if os.access(memory, os.W_OK) else None
    ) as folder:
        yield Path(folder)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Return the folder of an outbox."""
    return tmp_path / "spool"


@pytest.fixture
def open_outbox(
    connect: Callable[..., Any], spool: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Return a function that makes a transport with an outbox, which loses its patience soon.

    Where a test says that it does not lose it, ``late_s`` is long: the machine may be busy.
    """

    def make(mode: str, query: str = "", *, late_s: float = 0.1, **arguments: Any) -> Any:
        monkeypatch.setattr(pump, "_LATE_S", late_s)
        query = query and f"&{query}"
        return connect(f"outbox={mode}&spool_dir={spool}&close_timeout=0.1{query}", **arguments)

    return make


@pytest.fixture(params=["before_dispatch", "after_dispatch"])
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rig(connect: Callable[..., Any]) -> Callable[[str], Rig]:
    """Return a function that makes a rig from a URL's query."""
    return lambda query="": Rig(connect(query))
