# SPDX-License-Identifier: Apache-2.0
"""Two servers of fastapi_websocket_pubsub linked by Kafka: ours against the stock backend.

Publishers are websocket clients of one server, the events go to a client of the other. In turns,
with 1, 10 and 100 publishers that each wait for their publish to return; see ``opal_clients``::

    tox -e opal --notest && .tox/opal/bin/python benchmarks/opal_backbone.py [--brokers host:9092]

The rate is events by the time from the first publish to the last arrival; a first turn, in which
the broker's compiler is at work, does not count. Beside it is the processor time for each event,
which a busy machine changes less: of the servers, and of all, the broker (if it is started here),
publishers and client among them. ``none`` is the library alone, publishers and client at one
server. ``socket`` is two servers linked by a socket of the machine instead of Kafka: what no
backbone can exceed that sends event by event. ``confirm`` is ours with delivery=confirm, whose
publish returns when Kafka has the event, as that of ``stock`` does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

HOST = "127.0.0.1"
IN_FLIGHT = (1, 10, 100)
OURS = {"ours": "", "confirm": "delivery=confirm"}
START_S = 300.0
WARM_UP = "0 (warm-up)"


class SocketBroadcast:
    """A backbone that costs next to nothing and keeps nothing: datagrams to all in a folder."""

    def __init__(self, url: str) -> None:
        self._folder = Path(url)

    async def __aenter__(self) -> SocketBroadcast:
        return self

    async def __aexit__(self, *_error: object) -> None:
        pass

    async def connect(self) -> None:
        """Do nothing."""

    async def disconnect(self) -> None:
        """Do nothing."""

    async def publish(self, channel: str, message: str) -> None:
        """Send to every process that listens, this one included, as Kafka does."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            sending.setblocking(False)
            for peer in self._folder.iterdir():
                with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):  # it left
                    await self._send(sending, message.encode(), str(peer))

    @staticmethod
    async def _send(sending: socket.socket, message: bytes, peer: str) -> None:
        while True:
            try:
                sending.sendto(message, peer)
                return
            except BlockingIOError:  # it has to read first, and we may be that peer
                await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[Event]]:
        """Listen at a socket of this process's own."""
        path = self._folder / uuid.uuid4().hex
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.setblocking(False)
            listening.bind(str(path))
            try:
                yield self._events(channel, listening)
            finally:
                asyncio.get_running_loop().remove_reader(listening)
                path.unlink()

    @staticmethod
    async def _events(channel: str, listening: socket.socket) -> AsyncIterator[Event]:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(listening, readable.set)
        while True:
            await readable.wait()
            readable.clear()
            with contextlib.suppress(BlockingIOError):
                while True:
                    yield Event(channel, listening.recv(65_536).decode())


class Event(NamedTuple):
    """As ``broadcaster`` has it."""

    channel: str
    message: str


def app() -> Any:
    """Return a server of the library; uvicorn calls this."""
    from fastapi import FastAPI
    from fastapi_websocket_pubsub import EventBroadcaster, PubSubEndpoint
    from fastapi_websocket_pubsub.websocket_rpc_event_notifier import WebSocketRpcEventNotifier

    kind, url = os.environ["BACKBONE_KIND"], os.environ["BACKBONE_URL"]
    notifier = WebSocketRpcEventNotifier()
    how: dict[str, Any] = {}
    if kind in OURS:
        from kafka_notify.opal import KafkaBroadcast

        how["broadcast_type"] = KafkaBroadcast
    elif kind == "socket":
        how["broadcast_type"] = SocketBroadcast
    broadcaster = None
    if kind != "none":
        channel = os.environ["BACKBONE_CHANNEL"]
        broadcaster = EventBroadcaster(url, notifier, channel=channel, **how)
    endpoint = PubSubEndpoint(notifier=notifier, broadcaster=broadcaster)
    made = FastAPI()

    @made.websocket("/ws")
    async def websocket(socket: WebSocket) -> None:
        # register_route would bypass the broadcaster.
        await endpoint.main_loop(socket)

    @made.get("/")
    async def up() -> dict[str, str]:
        return {}

    return made


# FastAPI looks the annotations of its routes up in the module.
with contextlib.suppress(ImportError):
    from fastapi import WebSocket


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def await_up(port: int) -> None:
    """Return when somebody listens."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection((HOST, port), timeout=1).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"no server at port {port}")


def make_topic(brokers: str, topic: str) -> None:
    """Make a topic of one partition, as stock needs it beforehand."""
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    admin = AdminClient({"bootstrap.servers": brokers})
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])[topic].result(
        30
    )


class Servers(NamedTuple):
    """Websocket URLs and process ids."""

    urls: list[str]
    pids: list[int]


def cpu_s(pids: list[int]) -> float:
    """Return what processes' time on the processors was so far: the load changes it little."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def servers(kind: str, brokers: str, options: str) -> Iterator[Servers]:
    """Yield two servers of a kind, on a topic of their own."""
    channel = f"bench-{kind}-{uuid.uuid4().hex[:8]}"
    folder = tempfile.mkdtemp()
    query = "&".join(filter(None, (OURS[kind], options))) if kind in OURS else ""
    url = f"kafka://{brokers}" + (f"/?{query}" if query else "")
    if kind in ("stock", *OURS):
        make_topic(brokers, channel)
    env = {
        **os.environ,
        "BACKBONE_KIND": kind,
        "BACKBONE_URL": folder if kind == "socket" else url,
        "BACKBONE_CHANNEL": channel,
        "PYTHONPATH": os.path.dirname(os.path.abspath(__file__)),
    }
    ports = [free_port() for _ in range(1 if kind == "none" else 2)]
    running = []
    try:
        for port in ports:
            command = [sys.executable, "-m", "uvicorn", "--factory", "opal_backbone:app"]
            command += ["--host", HOST, "--port", str(port), "--log-level", "warning"]
            running.append(subprocess.Popen(command, env=env))  # noqa: S603 - ours
        for port in ports:
            await_up(port)
        yield Servers([f"ws://{HOST}:{port}/ws" for port in ports], [one.pid for one in running])
    finally:
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder)


def main() -> None:
    """Measure in turns, and print the rates and their ratio."""
    import uvloop
    from opal_clients import measure

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--brokers", help="host:port of a Kafka; else one is started")
    parser.add_argument("--rounds", type=int, default=3, help="turns (3)")
    parser.add_argument("--seconds", type=float, default=5, help="about, for each rate (5)")
    kinds = "none,socket,stock,confirm,ours"
    parser.add_argument("--kinds", default=kinds, help=f"({kinds})")
    parser.add_argument("--options", default="", help="a query for the URL of ours")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end, too
    expected = {
        "none": (1000, 3000, 3000),
        "socket": (700, 1500, 2000),
        "stock": (80, 150, 200),
        "confirm": (600, 1200, 1500),
        "ours": (1200, 1500, 1500),
    }
    rates: dict[tuple[str, int], list[float]] = {}
    with contextlib.ExitStack() as stack:
        others = [os.getpid()]
        if asked.brokers is None:
            from kafka_notify.broker import FOR_LOAD, Cluster

            cluster = stack.enter_context(Cluster(java_options=FOR_LOAD))
            asked.brokers = cluster.bootstrap
            others.append(cluster.pid(0))
        urls = {
            kind: stack.enter_context(servers(kind, asked.brokers, asked.options))
            for kind in asked.kinds.split(",")
        }
        for turn in range(asked.rounds + 1):
            for place, in_flight in enumerate(IN_FLIGHT):
                for kind, where in urls.items():
                    events = max(100, round(expected[kind][place] * asked.seconds))
                    before = cpu_s(where.pids), cpu_s(others)
                    rate = uvloop.run(
                        measure(where.urls[0], where.urls[-1], in_flight=in_flight, events=events)
                    )
                    theirs_ms = (cpu_s(where.pids) - before[0]) / events * 1000
                    others_ms = (cpu_s(others) - before[1]) / events * 1000
                    if turn:
                        rates.setdefault((kind, in_flight), []).append(rate)
                    print(
                        f"turn {turn or WARM_UP}: {in_flight} in flight, {kind}: {rate:.0f}/s, "
                        f"{theirs_ms:.2f} ms of the servers' processor time each, "
                        f"{theirs_ms + others_ms:.2f} ms of all",
                        flush=True,
                    )
    for in_flight in IN_FLIGHT:
        medians = {kind: statistics.median(rates[kind, in_flight]) for kind in urls}
        print(f"{in_flight} in flight:", ", ".join(f"{one} {medians[one]:.0f}/s" for one in urls))
        others = [kind for kind in urls if kind not in OURS]
        for kind in OURS:
            if kind in urls and others:
                ratios = (f"{medians[kind] / medians[one]:.2f} to {one}" for one in others)
                print(f"    {kind}:", ", ".join(ratios))


if __name__ == "__main__":
    main()
