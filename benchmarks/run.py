# SPDX-License-Identifier: Apache-2.0
"""The whole comparison: one run, on one real Kafka, of everybody in turns.

    tox -e bench                                           # all of it, about 25 minutes
    tox -e bench -- --only send receive --rounds 3         # some of it; nothing is written
    tox -e bench -- --scale 0.02 --rounds 1 --keep try     # a look at whether it works

A run of everything writes doc/source/benchmarks/ (JSON, plots) and the figures in
doc/source/benchmarks.rst and README.rst anew. With --keep all goes to another folder.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from suite import plan, report
from suite.machine import machine, versions
from suite.measuring import Measuring
from suite.results import Results
from suite.topics import Topics

from kafka_notify.bench.process import Place

_HEAP = "1g"
_QUICK_TO_DELETE = {
    # What is deleted shall not be written to the disk first.
    "log.segment.delete.delay.ms": "1000",
    # Members hear of a new division of the partitions with a heartbeat, by default each 5 s.
    "group.consumer.min.heartbeat.interval.ms": "1000",
    "group.consumer.heartbeat.interval.ms": "1000",
}


def arguments() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--brokers", help="host:port,… of a Kafka that is there")
    parser.add_argument(
        "--file", help="JSON lines with publisher_id, event_type, payload (made up like Nova's)"
    )
    parser.add_argument("--only", nargs="+", choices=plan.names(), default=[], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5, help="at most (5)")
    parser.add_argument("--minutes", type=float, default=24, help="no new round after (24)")
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers (1)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the results go")
    return parser.parse_args()


@contextlib.contextmanager
def kafka(brokers: str | None) -> Iterator[tuple[str, Path | None]]:
    """Yield addresses and data folder of a Kafka: the one given, or one that is started."""
    if brokers:
        yield brokers, None
        return
    from kafka_notify.broker import FOR_LOAD, Cluster

    with Cluster(
        nodes=1, heap=_HEAP, java_options=FOR_LOAD, properties=_QUICK_TO_DELETE
    ) as cluster:
        yield cluster.bootstrap, cluster.log(0).parent / "data"


def main() -> int:
    """Measure, write, and tell whether something could not be measured."""
    asked = arguments()
    results = Results(about=_about(asked))
    if "parallel" in plan.systems(asked.only):
        peer = Path(__file__).parent / "peers" / "parallel_peer.py"
        subprocess.run([sys.executable, str(peer), "prepare"], check=True)  # noqa: S603 - ours
    began = time.monotonic()
    with kafka(asked.brokers) as (brokers, folder):
        topics = Topics(Place(brokers=brokers, file=asked.file), folder)
        measuring = Measuring(topics, results, scale=asked.scale)
        try:
            plan.run(
                measuring,
                results,
                plan.Asked(only=asked.only, rounds=asked.rounds, minutes=asked.minutes),
            )
        except KeyboardInterrupt:
            results.failures.append("the run was interrupted")
        finally:
            topics.delete_all()
    results.about["minutes"] = round((time.monotonic() - began) / 60, 1)
    if asked.keep or not asked.only:
        report.write(results, asked.keep)
    sys.stdout.write(report.as_text(results))
    return 1 if results.failures else 0


def _about(asked: argparse.Namespace) -> dict[str, object]:
    rest = " ".join(one.rpartition("/")[2] for one in sys.argv[1:])  # names, no folders of ours
    return {
        "command": f"tox -e bench -- {rest}" if rest else "tox -e bench",
        "date": time.strftime("%Y-%m-%d"),
        "notifications": Path(asked.file).name if asked.file else "made up like Nova's",
        "scale": asked.scale,
        "machine": machine(),
        "versions": versions(),
    }


if __name__ == "__main__":
    sys.exit(main())
