# SPDX-License-Identifier: Apache-2.0
"""How long ``import kafka_notify`` takes, against ``import oslo_messaging`` in one environment.

Each import is a new interpreter; the two take turns, the time of an empty one is taken off.

    python benchmarks/import_time.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time


def seconds(program: str) -> float:
    """Return how long a new interpreter takes for a program."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)  # noqa: S603 - ours
    return time.perf_counter() - began


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    programs = ("pass", "import kafka_notify", "import oslo_messaging")
    taken: dict[str, list[float]] = {program: [] for program in programs}
    for number in range(rounds + 1):
        for program in programs:
            spent = seconds(program)
            if number:  # the first round reads the files into the page cache
                taken[program].append(spent)
    nothing, us, them = (statistics.median(taken[program]) for program in programs)
    print(
        json.dumps(
            {
                "kafka_notify_s": round(us - nothing, 3),
                "oslo_messaging_s": round(them - nothing, 3),
                "ratio": round((us - nothing) / (them - nothing), 2),
            }
        )
    )


if __name__ == "__main__":
    main()
