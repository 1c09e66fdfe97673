# SPDX-License-Identifier: Apache-2.0
"""What a full outbox costs: ``python benchmarks/curves/outbox_backlog.py backlog …``.

Kafka is out of reach at first, so that ``--count`` notifications gather in the outbox. Then some
more are sent, which is what a service feels, and Kafka comes into reach: a forwarder opens the
port that the transport knows, and the client hears there where the brokers are.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import tempfile
import threading
from operator import itemgetter
from pathlib import Path

import kafka_notify
from kafka_notify.bench.child import Figures, Stopwatch, Task, main
from kafka_notify.bench.ours_client import notifiers_of
from kafka_notify.bench.workload import cycle

_MORE = 2000
_TIMES = 5  # of which the median is told: each takes a tenth of a second
_OUTBOX_BYTES = 20_000_000_000
_CHUNK_BYTES = 1 << 16
_DRAIN_S = 200.0


class _Gate:
    """A port that refuses connections until it is opened; then it leads to a broker."""

    def __init__(self, broker: str) -> None:
        host, _, port = broker.partition(",")[0].rpartition(":")
        self._broker = (host, int(port))
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))  # taken, and nobody listens
        self.port = self._listener.getsockname()[1]

    def open(self) -> None:
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(self._broker)
            threading.Thread(target=_forward, args=(client, server), daemon=True).start()


def _forward(one: socket.socket, other: socket.socket) -> None:
    peers = {one: other, other: one}
    with selectors.DefaultSelector() as ready, one, other:
        for peer in peers:
            ready.register(peer, selectors.EVENT_READ)
        with contextlib.suppress(OSError):
            while True:
                for key, _ in ready.select():
                    source = key.fileobj
                    data = source.recv(_CHUNK_BYTES)  # type: ignore[union-attr]
                    if not data:
                        return
                    peers[source].sendall(data)  # type: ignore[index]


def backlog(task: Task) -> Figures:
    """Gather, send some more, drain: rates of each, and the outbox's bytes on disk."""
    gate = _Gate(task.brokers)
    with tempfile.TemporaryDirectory() as spool:
        url = (
            f"kafka://127.0.0.1:{gate.port}/?outbox=always&spool_dir={spool}"
            f"&outbox_max_bytes={_OUTBOX_BYTES}&close_timeout={_DRAIN_S}"
        )
        with kafka_notify.get_notification_transport(url=url) as transport:
            notifiers = notifiers_of(transport, task)

            def send(count: int) -> Figures:
                watch = Stopwatch()
                for one in cycle(task.notifications, count):
                    notifiers[one.publisher_id].info({}, one.event_type, one.payload)
                return watch.stop(count)

            if task.count:
                send(task.count)
            sends = sorted((send(_MORE) for _ in range(_TIMES)), key=itemgetter("rate"))
            more = sends[_TIMES // 2]
            on_disk = sum(path.stat().st_size for path in Path(spool).rglob("*") if path.is_file())
            gate.open()
            watch = Stopwatch()
            left = transport.flush(_DRAIN_S)
            if left:
                raise SystemExit(f"{left} notifications were not delivered")
            drained = watch.stop(task.count + _MORE * _TIMES)
    return {
        "rate": more["rate"],
        "cpu_us": more["cpu_us"],
        "drain_rate": drained["rate"],
        "disk_mb": on_disk / 1e6,
        "count": task.count,
    }


if __name__ == "__main__":
    main({"backlog": backlog})
