# SPDX-License-Identifier: Apache-2.0
"""``kafka-notify bench``: how quick it is here, beside a raw client."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import kafka_notify
from kafka_notify import options
from kafka_notify.bench.process import MeasurementFailed, Place
from kafka_notify.bench.quick import Line, Quick
from kafka_notify.cli.arguments import await_answer, refuse_in_process, whole_number
from kafka_notify.cli.base import Row, TableCommand
from kafka_notify.cli.exit_codes import ExitCode
from kafka_notify.cli.terminal import Terminal


class Bench(TableCommand):
    """Measure sending, receiving and latency, beside a raw client on the same Kafka.

    By default on a real Kafka that is started for this and thrown away; needs the
    [broker] extra. Each measurement is a process of its own, the systems take
    turns, and each line has the median of the rounds with the lowest and the
    highest. The raw client sends records that are made beforehand and decodes
    nothing: nobody can be quicker. 'to_raw' is the ratio of the medians.

    A raw client that receives commits each 500 records; in 'latency' one at a
    time is on its way, and 'commit first' commits before it hands over, as
    before_dispatch does.
    """

    columns = ("measure", "system", "median", "lowest", "highest", "unit", "to_raw")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--url",
            help="on the Kafka of this transport URL, where it makes topics named "
            "kafka-notify-bench-… and deletes them",
        )
        parser.add_argument(
            "--count",
            type=whole_number(1000),
            default=20_000,
            metavar="N",
            help="notifications of each measurement (20000)",
        )
        parser.add_argument(
            "--rounds", type=whole_number(1), default=3, metavar="N", help="of all of them (3)"
        )
        parser.add_argument(
            "--file",
            metavar="FILE",
            help="JSON lines with publisher_id, event_type and payload (default: made up, of the "
            "shape and size of Nova's)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[Row]]:
        """Measure; return the table."""
        if parsed_args.file:
            _check_file(parsed_args.file)
        with _place(parsed_args, self.terminal) as place, self.terminal.progress() as show:
            quick = Quick(place, count=parsed_args.count, rounds=parsed_args.rounds, show=show)
            try:
                lines = quick.run()
            except MeasurementFailed as error:
                self.terminal.say(f"ERROR: {error}")
                self.exit_code = ExitCode.INCOMPLETE
                return self.columns, []
        blank = "" if parsed_args.formatter == "table" else None
        return self.columns, [_row(line, blank) for line in lines]


def _check_file(path: str) -> None:
    """Raise ConfigurationError for a file without notifications, before anything is started."""
    from kafka_notify.bench.workload import samples

    samples(path)


@contextmanager
def _place(parsed: argparse.Namespace, terminal: Terminal) -> Iterator[Place]:
    """Yield where to measure: the Kafka of the URL, or one that is started."""
    if parsed.url:
        url, _ = options.resolve(None, parsed.url)
        refuse_in_process(url)
        with kafka_notify.get_notification_transport(url=url) as transport:
            await_answer(transport)
            address = transport.address
        # A vhost would only lengthen the names of the topics.
        yield Place(brokers=address, url=str(replace(url, virtual_host=None)), file=parsed.file)
        return
    from kafka_notify.broker import FOR_LOAD, KAFKA_VERSION, Cluster

    with terminal.steps() as step:
        cluster = Cluster(java_options=FOR_LOAD, on_progress=step)
        cluster.open()
    try:
        terminal.say(f"Kafka: a real one, {KAFKA_VERSION}, at {cluster.bootstrap}")
        yield Place(brokers=cluster.bootstrap, file=parsed.file)
    finally:
        cluster.close()


def _row(line: Line, blank: str | None) -> tuple[Any, ...]:
    return (
        line.measure,
        line.system,
        _rounded(line.median),
        _rounded(line.lowest),
        _rounded(line.highest),
        line.unit,
        blank if line.ratio is None else round(line.ratio, 2),
    )


def _rounded(value: float) -> float | int:
    return round(value) if value >= 100 else round(value, 2)
