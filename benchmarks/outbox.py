# SPDX-License-Identifier: Apache-2.0
"""What the option ``outbox`` costs a sender while Kafka is there: notifications per second.

Each mode sends the same notifications, in turns, in one process, to one broker; ``sent`` is until
the last ``info()`` has returned, ``delivered`` until Kafka has confirmed the last one. The ratios
to ``off`` in the same round are the figure.

    python benchmarks/outbox.py [--brokers host:port] [--rounds 5] [--notifications 20000]

Without --brokers it starts a Kafka of the [broker] extra.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator

import kafka_notify
from kafka_notify.demo.samples import sample_notifications

MODES = ("off", "on_failure", "always")
WARM_UP = 100
WAIT_S = 120.0


def measure(mode: str, brokers: str, payloads: list[object]) -> dict[str, float]:
    """Return how many notifications per second were sent, and were delivered."""
    topic = f"outbox-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as spool:
        # No send is to wait for room: that would measure the broker.
        url = f"kafka://{brokers}/?outbox={mode}&spool_dir={spool}&send_buffer_bytes=1000000000"
        with kafka_notify.get_notification_transport(url=url) as transport:
            notifier = kafka_notify.Notifier(transport, "compute.h1", topics=[topic])
            for payload in payloads[:WARM_UP]:
                notifier.info({}, "compute.instance.update", payload)
            transport.flush(WAIT_S)
            began = time.perf_counter()
            for payload in payloads:
                notifier.info({}, "compute.instance.update", payload)
            sent = time.perf_counter()
            if transport.flush(WAIT_S):
                raise RuntimeError("not all was delivered")
            delivered = time.perf_counter()
    count = len(payloads)
    return {"sent": count / (sent - began), "delivered": count / (delivered - began)}


@contextlib.contextmanager
def kafka(brokers: str | None) -> Iterator[str]:
    """Yield the addresses of a Kafka: the one given, or one that is started."""
    if brokers:
        yield brokers
        return
    from kafka_notify.broker import Cluster

    with Cluster(nodes=1) as cluster:
        yield cluster.bootstrap


def main() -> None:
    """Measure and print one JSON line per round and one at the end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--brokers", help="host:port,… of a Kafka that is there")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--notifications", type=int, default=20_000)
    arguments = parser.parse_args()
    payloads = [one.payload for one in sample_notifications(arguments.notifications)]
    ratios: dict[str, list[float]] = defaultdict(list)
    with kafka(arguments.brokers) as brokers:
        for number in range(arguments.rounds):
            figures = {mode: measure(mode, brokers, payloads) for mode in MODES}
            for mode in MODES[1:]:
                for what, rate in figures[mode].items():
                    ratios[f"{mode}_{what}"].append(rate / figures["off"][what])
            rates = {
                f"{mode}_{what}": round(rate)
                for mode in MODES
                for what, rate in figures[mode].items()
            }
            print(json.dumps({"round": number + 1, **rates}), flush=True)
    medians = {name: round(statistics.median(found), 2) for name, found in ratios.items()}
    print(json.dumps({"median_of_ratios_to_off": medians}))


if __name__ == "__main__":
    main()
