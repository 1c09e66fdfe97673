# SPDX-License-Identifier: Apache-2.0
"""What all our commands have in common: their help, their terminal, tables with an exit code."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cliff.command import Command
from cliff.lister import Lister

from kafka_notify.cli.exit_codes import ExitCode
from kafka_notify.cli.terminal import Terminal
from kafka_notify.errors import ConfigurationError

Row = Sequence[Any]

_EPILOG = "Exit codes: see 'kafka-notify --help'."


class PlainCommand(Command):
    """Base of commands without a table."""

    @property
    def terminal(self) -> Terminal:
        """The user's stderr."""
        return _terminal_of(self.app_args)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return a parser that shows the class's docstring as it is written."""
        parser = super().get_parser(prog_name)
        return _as_written(parser)


class TableCommand(Lister):
    """Base of commands that end with a table, in the format that -f names.

    Attributes:
        columns: The table's columns; a name that -c asks for is checked before any work.
        exit_code: What take_action() leaves for the process; cliff's own commands give 0.
    """

    columns: tuple[str, ...]
    exit_code = ExitCode.DONE

    @property
    def terminal(self) -> Terminal:
        """The user's stderr."""
        return _terminal_of(self.app_args)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return a parser that shows the class's docstring as it is written."""
        parser = super().get_parser(prog_name)
        return _as_written(parser)

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


def _as_written(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    return parser


def _terminal_of(app_args: argparse.Namespace | None) -> Terminal:
    return Terminal(quiet=app_args is not None and app_args.verbose_level == 0)
