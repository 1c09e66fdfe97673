# SPDX-License-Identifier: Apache-2.0
"""Commands that end with a table on stdout, in the format that -f names."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cliff.lister import Lister

from kafka_notify.cli.exit_codes import ExitCode
from kafka_notify.cli.terminal import Terminal
from kafka_notify.errors import ConfigurationError

Row = Sequence[Any]


class TableCommand(Lister):
    """Base of commands with a table; cliff's own always exit with 0.

    Attributes:
        columns: The table's columns; a name that -c asks for is checked before any work.
        exit_code: What take_action() leaves for the process.
    """

    columns: tuple[str, ...]
    exit_code = ExitCode.DONE

    @property
    def terminal(self) -> Terminal:
        """The user's stderr."""
        return terminal_of(self.app_args)

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Do the work, show the table, return the exit code."""
        unknown = [name for name in parsed_args.columns if name not in self.columns]
        if unknown:
            raise ConfigurationError(
                f"--column {unknown[0]!r} is unknown; known are {', '.join(self.columns)}"
            )
        super().run(parsed_args)
        return self.exit_code

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[Row]]:
        """Do the work; return the columns and rows, and set ``exit_code``."""
        raise NotImplementedError


def terminal_of(app_args: argparse.Namespace | None) -> Terminal:
    """Return the stderr of a command whose global arguments are these."""
    return Terminal(quiet=app_args is not None and app_args.verbose_level == 0)
