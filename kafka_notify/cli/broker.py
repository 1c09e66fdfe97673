# SPDX-License-Identifier: Apache-2.0
"""``kafka-notify broker``: a real Apache Kafka on this machine until Ctrl-C."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kafka_notify.broker import KAFKA_VERSION, Cluster, cache_folder
from kafka_notify.cli.arguments import whole_number
from kafka_notify.cli.base import PlainCommand
from kafka_notify.cli.signals import held_back
from kafka_notify.cli.terminal import Terminal
from kafka_notify.errors import BrokerUnavailable

_LOOK_EVERY_S = 0.5


class Broker(PlainCommand):
    """Run a real Apache Kafka on this machine until Ctrl-C.

    Needs the [broker] extra and nothing else: no Docker, no Java. The first
    start downloads Kafka into the cache folder ($KAFKA_NOTIFY_CACHE, else
    kafka-notify in $XDG_CACHE_HOME or ~/.cache), where the data stays, too.
    It listens on 127.0.0.1 only. As soon as it answers, stdout gets its
    transport URL.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--nodes",
            type=int,
            choices=(1, 3),
            default=1,
            help="1, or 3 that keep three replicas of everything (1)",
        )
        parser.add_argument(
            "--port",
            type=whole_number(1, 65535),
            default=9092,
            help="of the first node; the others take the next ones (9092)",
        )
        parser.add_argument(
            "--data-dir",
            type=Path,
            metavar="FOLDER",
            help="where the data stays for the next start with as many nodes (default: in the "
            "cache folder)",
        )
        parser.add_argument("--heap", default="512m", help="memory of each node's Java (512m)")
        parser.add_argument(
            "--kafka-version",
            default=KAFKA_VERSION,
            help=f"4.0.0 or later ({KAFKA_VERSION})",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Start it, say where it is, and stay until a signal comes."""
        terminal = self.terminal
        data_dir = parsed_args.data_dir or cache_folder() / "data" / f"{parsed_args.nodes}-node"
        ports = [parsed_args.port + number for number in range(parsed_args.nodes)]
        with terminal.steps() as step:
            cluster = Cluster(
                parsed_args.nodes,
                ports=ports,
                data_dir=data_dir,
                heap=parsed_args.heap,
                version=parsed_args.kafka_version,
                on_progress=step,
            )
            cluster.open()
        with _closed_in_good_order(cluster, terminal):
            url = f"kafka://{cluster.bootstrap}/"
            terminal.say(
                f"Kafka {parsed_args.kafka_version} is ready at {cluster.bootstrap}\n"
                f"Its data is in {data_dir}; Ctrl-C ends it. In another terminal:\n"
                f"  kafka-notify listen --url {url}\n"
                f"  kafka-notify notify --url {url} --event-type hello"
            )
            print(url, flush=True)
            _stay(cluster, parsed_args.nodes)


@contextmanager
def _closed_in_good_order(cluster: Cluster, terminal: Terminal) -> Iterator[None]:
    try:
        yield
    finally:
        terminal.say("Stopping Kafka")
        with held_back():
            cluster.close()


def _stay(cluster: Cluster, nodes: int) -> None:
    """Wait for a signal. Raises BrokerUnavailable when a node has ended by itself."""
    while True:
        time.sleep(_LOOK_EVERY_S)
        for node in range(nodes):
            if cluster.pid(node) is None:
                raise BrokerUnavailable(
                    f"node {node} of Kafka has ended by itself; its log tells: {cluster.log(node)}"
                )
