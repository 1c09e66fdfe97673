# SPDX-License-Identifier: Apache-2.0
"""``kafka-notify demo``: see the library at work, without any setup."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import kafka_notify
from kafka_notify.cli.arguments import await_answer, positive_number, whole_number
from kafka_notify.cli.base import Row, TableCommand
from kafka_notify.cli.exit_codes import ExitCode
from kafka_notify.cli.terminal import Terminal
from kafka_notify.demo.show import Demo as Show
from kafka_notify.demo.show import Outcome
from kafka_notify.demo.tally import Score

# The mock answers a fetch only when its time is over, even if a record comes: so that is short.
_EMBEDDED = "embedded://kafka-notify-demo/"
# Members hear of a new division of the partitions with a heartbeat, by default each 5 s.
_QUICK_GROUPS = {
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "500",
}


class Demo(TableCommand):
    """See notifications go through Kafka to two pools of listeners, and check them.

    By default on librdkafka's own mock cluster inside this process: nothing to
    install or to start. Notifications like Nova's, of several publishers, are
    sent at a steady rate. The pool 'billing' has two listeners that share the
    work, 'audit' has one. The verdict says whether each pool got each
    notification exactly once, unchanged, in the order of its publisher.

    p50_ms and p99_ms are the latency from before info() to the endpoint, without
    the warm-up (the first tenth, 100 at most). That of the mock cluster says
    nothing about Kafka's.
    """

    columns = (
        "pool",
        "listener",
        "sent",
        "confirmed",
        "received",
        "p50_ms",
        "p99_ms",
        "verdict",
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        where = parser.add_mutually_exclusive_group()
        where.add_argument(
            "--real",
            action="store_true",
            help="on a real Kafka, started for this and thrown away; needs the [broker] extra",
        )
        where.add_argument(
            "--url",
            help="on the Kafka of this transport URL, where the topic kafka-notify-demo.info is "
            "left",
        )
        parser.add_argument(
            "--count", type=whole_number(1), default=1000, metavar="N", help="notifications (1000)"
        )
        parser.add_argument(
            "--rate",
            type=positive_number,
            default=200.0,
            metavar="N",
            help="notifications per second (200)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[Row]]:
        """Run the demo, say the verdict, return the table."""
        began = time.monotonic()
        with (
            _kafka(parsed_args, self.terminal) as url,
            self.terminal.progress() as show,
        ):
            outcome = Show(
                url,
                count=parsed_args.count,
                rate_per_s=parsed_args.rate,
                say=self.terminal.say,
                show=show,
            ).run()
        if not outcome.ok:
            self.exit_code = ExitCode.INCOMPLETE
        self._verdict = (
            f"Verdict: {'OK' if outcome.ok else 'FAILED'}: {outcome}\n"
            f"All of it took {time.monotonic() - began:.1f} s."
        )
        blank = "" if parsed_args.formatter == "table" else None
        return self.columns, [_row(outcome, score, blank) for score in outcome.scores]

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Iterable[Row]
    ) -> int:
        """Show the table, then the verdict."""
        code: int = super().produce_output(parsed_args, column_names, data)
        self.app.stdout.flush()
        self.terminal.say(self._verdict)
        return code


@contextmanager
def _kafka(parsed: argparse.Namespace, terminal: Terminal) -> Iterator[str]:
    """Yield the URL of the Kafka to use, started if need be."""
    if parsed.url:
        with kafka_notify.get_notification_transport(url=parsed.url) as transport:
            await_answer(transport)
        yield parsed.url
    elif parsed.real:
        from kafka_notify.broker import KAFKA_VERSION, Cluster

        with terminal.steps() as step:
            cluster = Cluster(properties=_QUICK_GROUPS, on_progress=step)
            cluster.open()
        try:
            terminal.say(f"Kafka: a real one, {KAFKA_VERSION}, at {cluster.bootstrap}")
            yield f"kafka://{cluster.bootstrap}/"
        finally:
            cluster.close()
    else:
        terminal.say("Kafka: librdkafka's mock cluster, inside this process")
        yield _EMBEDDED


def _row(outcome: Outcome, score: Score, blank: str | None) -> tuple[Any, ...]:
    whole = score.listener == "all"
    return (
        score.pool,
        score.listener,
        outcome.sent if whole else blank,
        outcome.confirmed if whole else blank,
        score.received,
        _milliseconds(score.p50_ms, blank),
        _milliseconds(score.p99_ms, blank),
        str(outcome.verdicts[score.pool]) if whole else blank,
    )


def _milliseconds(value: float, blank: str | None) -> float | str | None:
    return blank if math.isnan(value) else round(value, 1)
