# SPDX-License-Identifier: Apache-2.0
"""One relay process with a thousand websocket clients: what arrives, how fast, in what memory.

    python benchmarks/opal_relay.py [--brokers host:9092] [--clients 1000] [--events 100]

Needs the extras [cli], [opal] and, without --brokers, [broker]. Updates are posted one after the
other; each client must get each of them, once and in order. The memory is what the relay's process
has more with the clients connected, and at the most while events are on their way.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

HOST = "127.0.0.1"
TOPIC = "policy_data"
START_S = 300.0
CONNECTING = 50  # at a time


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def relay(brokers: str) -> Iterator[tuple[int, int]]:
    """Yield port and process id of a relay that is ready."""
    port = free_port()
    command = [sys.executable, "-m", "kafka_notify", "relay", "--url", f"kafka://{brokers}"]
    command += ["--channel", f"bench-{uuid.uuid4().hex[:8]}", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - ours
            command, stderr=log, start_new_session=True
        )
        yield from _ready(process, port, log)


def _ready(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> Iterator[Any]:
    try:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://{HOST}:{port}/ready", timeout=5).close()
                break
            time.sleep(0.2)
        yield port, process.pid
    except BaseException:
        log.seek(0)
        print(log.read()[-3000:].decode(errors="replace"))
        raise
    finally:
        process.terminate()
        process.wait(60)


def resident_kib(pid: int, what: str = "VmRSS") -> int:
    """Return the resident memory of a process, VmHWM for the most it ever was."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no {what}")


async def client(port: int, got: list[int], ready: asyncio.Event, events: int) -> None:
    """Connect, subscribe, note the numbers of what comes, answer as the library's client does."""
    import websockets

    async with websockets.connect(
        f"ws://{HOST}:{port}/ws",
        compression=None,
        open_timeout=START_S,
        ping_interval=None,
        max_queue=None,  # so that it answers pings at once, busy as it may be
    ) as connection:
        request = {"method": "subscribe", "arguments": {"topics": [TOPIC]}, "call_id": "s"}
        await connection.send(json.dumps({"request": request}))
        await connection.recv()
        ready.set()
        while len(got) < events:
            call = json.loads(await connection.recv())["request"]
            got.append(call["arguments"]["data"]["entries"][0]["data"]["n"])
            response = {"result": "None", "result_type": "str", "call_id": call["call_id"]}
            await connection.send(json.dumps({"request": None, "response": response}))


def post(port: int, number: int) -> None:
    """Post one update of the size of the guide's example."""
    entry = {
        "url": "",
        "data": {"n": number},
        "topics": [TOPIC],
        "dst_path": "/users/bob/location",
    }
    body = json.dumps({"entries": [entry], "reason": "benchmark"}).encode()
    headers = {"content-type": "application/json"}
    asked = urllib.request.Request(f"http://{HOST}:{port}/data/config", body, headers)
    urllib.request.urlopen(asked, timeout=60).close()  # noqa: S310 - ours


async def measure(port: int, pid: int, *, clients: int, events: int) -> None:
    """Connect all, post all, print what came."""
    before = resident_kib(pid)
    got: list[list[int]] = [[] for _ in range(clients)]
    running = []
    for first in range(0, clients, CONNECTING):
        readies = []
        for mine in got[first : first + CONNECTING]:
            ready = asyncio.Event()
            readies.append(ready.wait())
            running.append(asyncio.ensure_future(client(port, mine, ready, events)))
        await asyncio.wait_for(asyncio.gather(*readies), START_S)
    connected = resident_kib(pid)
    began = time.perf_counter()

    def post_all() -> None:
        for number in range(events):
            post(port, number)

    await asyncio.to_thread(post_all)
    await asyncio.wait_for(asyncio.gather(*running), START_S)
    took_s = time.perf_counter() - began
    most = resident_kib(pid, "VmHWM")
    whole = sum(mine == list(range(events)) for mine in got)
    frames = sum(map(len, got))
    print(f"{whole} of {clients} clients got all {events} events, once and in order")
    print(f"{frames} frames in {took_s:.1f} s: {frames / took_s:.0f}/s")
    print(
        f"memory of the relay: {before / 1024:.0f} MiB alone, {connected / 1024:.0f} MiB with the "
        f"clients, {(connected - before) / clients:.1f} KiB each; {most / 1024:.0f} MiB at most"
    )


def main() -> Any:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--brokers", help="host:port of a Kafka; else one is started")
    parser.add_argument("--clients", type=int, default=1000, help="(1000)")
    parser.add_argument("--events", type=int, default=100, help="for each client (100)")
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if asked.brokers is None:
            from kafka_notify.broker import Cluster

            asked.brokers = stack.enter_context(Cluster()).bootstrap
        port, pid = stack.enter_context(relay(asked.brokers))
        asyncio.run(measure(port, pid, clients=asked.clients, events=asked.events))


if __name__ == "__main__":
    main()
