# SPDX-License-Identifier: Apache-2.0
"""How long a notification takes from ``info()`` to its endpoint, against a raw client pair.

The raw pair produces, polls, commits synchronously, and only then hands over: what a listener with
commit before dispatch cannot undercut. Both send one notification at a time, in turns, in one
process, on one broker; the ratio of their medians is the figure.

    python benchmarks/latency.py [--brokers host:port] [--rounds 5] [--notifications 300]

Without --brokers it starts a Kafka of the [broker] extra.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import threading
import time
import uuid
from collections.abc import Iterator

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

import kafka_notify
from kafka_notify.demo.samples import sample_notifications

WARM_UP = 30
WAIT_S = 30.0
PARTITIONS = 4


def ours(brokers: str, payloads: list[object]) -> list[float]:
    """Return seconds from info() to the endpoint, for each payload."""
    topic = f"latency-{uuid.uuid4().hex[:8]}"
    arrived = threading.Event()
    arrivals: list[float] = []

    class Endpoint:
        def info(self, *_notification: object) -> None:
            arrivals.append(time.perf_counter())
            arrived.set()

    taken = []
    with kafka_notify.get_notification_transport(url=f"kafka://{brokers}") as transport:
        listener = kafka_notify.get_notification_listener(
            transport, [kafka_notify.Target(topic=topic)], [Endpoint()], pool=topic
        )
        listener.start()
        notifier = kafka_notify.Notifier(transport, "compute.h1", topics=[topic])
        for payload in payloads:
            arrived.clear()
            sent = time.perf_counter()
            notifier.info({}, "compute.instance.update", payload)
            if not arrived.wait(WAIT_S):
                raise RuntimeError("a notification did not arrive")
            taken.append(arrivals[-1] - sent)
    return taken


def raw(brokers: str, payloads: list[object]) -> list[float]:
    """Return seconds from produce() to the hand-over, for each payload."""
    topic = f"latency-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": brokers})
    for created in admin.create_topics([NewTopic(topic, PARTITIONS)]).values():
        created.result()
    producer = Producer(
        {"bootstrap.servers": brokers, "linger.ms": 0, "enable.idempotence": True, "acks": "all"}
    )
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    taken = []
    for payload in payloads:
        sent = time.perf_counter()
        producer.produce(topic, json.dumps(payload).encode(), key=b"compute.h1")
        producer.poll(0)
        message = consumer.poll(WAIT_S)
        if message is None or message.error():
            raise RuntimeError("a record did not arrive")
        consumer.commit(asynchronous=False)
        json.loads(message.value())
        taken.append(time.perf_counter() - sent)
    consumer.close()
    producer.flush(WAIT_S)
    return taken


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
    parser.add_argument("--notifications", type=int, default=300)
    arguments = parser.parse_args()
    payloads = [one.payload for one in sample_notifications(arguments.notifications)]
    ratios = []
    with kafka(arguments.brokers) as brokers:
        for number in range(arguments.rounds):
            figures = {}
            for name, measure in (("ours", ours), ("raw", raw)):
                taken = sorted(measure(brokers, payloads)[WARM_UP:])
                figures[f"{name}_p50_ms"] = round(statistics.median(taken) * 1000, 3)
                figures[f"{name}_p99_ms"] = round(taken[int(len(taken) * 0.99)] * 1000, 3)
            ratios.append(figures["ours_p50_ms"] / figures["raw_p50_ms"])
            print(json.dumps({"round": number + 1, **figures, "ratio_p50": round(ratios[-1], 2)}))
    print(json.dumps({"median_of_ratios": round(statistics.median(ratios), 2)}))


if __name__ == "__main__":
    main()
