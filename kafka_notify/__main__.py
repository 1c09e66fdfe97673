# SPDX-License-Identifier: Apache-2.0
"""Entry of ``kafka-notify`` and ``python -m kafka_notify``; the commands are in ``cli``."""

from __future__ import annotations

import sys

from kafka_notify.cli.exit_codes import ExitCode
from kafka_notify.errors import MissingExtra


def main() -> int:
    """Run the command that the process's arguments name; return its exit code."""
    try:
        from kafka_notify.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "cliff":
            raise
        sys.stderr.write(f"ERROR: {MissingExtra('cli', needed_for='the command line')}\n")
        return ExitCode.USAGE
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
