# SPDX-License-Identifier: Apache-2.0
"""The application that the commands live in: arguments of them all, logging, exit codes."""

from __future__ import annotations

import argparse
import logging
import sys
from importlib import metadata
from typing import Any

from cliff.app import App
from cliff.commandmanager import CommandManager
from cliff.help import HelpAction

from kafka_notify.cli.exit_codes import TABLE, ExitCode, exit_code_of
from kafka_notify.cli.signals import Signalled, end_in_good_order
from kafka_notify.cli.terminal import discard_stdout

_DESCRIPTION = "OpenStack notifications over Apache Kafka."
_LEVELS = {0: logging.WARNING, 1: logging.WARNING, 2: logging.INFO}


class _Stderr(logging.Handler):
    """Log to the stderr of the moment, which a progress bar replaces while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        print(self.format(record), file=sys.stderr, flush=True)


class KafkaNotify(App):
    """The commands of ``kafka-notify``, found by their entry points."""

    NAME = "kafka-notify"
    LOG = logging.getLogger(NAME)

    def __init__(self) -> None:
        super().__init__(
            description=_DESCRIPTION,
            version=metadata.version("kafka-notify"),
            command_manager=CommandManager("kafka_notify.cli"),
            # Or 'listen --help' would show the help of the whole.
            deferred_help=True,
        )
        self._error: BaseException | None = None

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: dict[str, Any] | None = None,
    ) -> argparse.ArgumentParser:
        """Return the parser of what comes before the command's name."""
        ours = {
            "prog": self.NAME,
            "epilog": TABLE,
            "formatter_class": argparse.RawDescriptionHelpFormatter,
            # It sees the commands' arguments, too.
            "allow_abbrev": False,
        }
        return super().build_option_parser(
            description, version, argparse_kwargs={**ours, **(argparse_kwargs or {})}
        )

    def configure_logging(self) -> None:
        """Log warnings to stderr, with -v what happens, with -vv everything."""
        level = _LEVELS.get(self.options.verbose_level, logging.DEBUG)
        handlers: list[logging.Handler] = [_Stderr()]
        handlers[0].setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        if self.options.log_file:
            try:
                handlers.append(logging.FileHandler(self.options.log_file))
            except OSError as error:
                self.parser.error(f"--log-file {self.options.log_file}: {error.strerror}")
            handlers[1].setFormatter(logging.Formatter(self.LOG_FILE_MESSAGE_FORMAT))
        logging.basicConfig(level=level, handlers=handlers, force=True)

    def run_subcommand(self, argv: list[str]) -> int:
        """Run the command; return its exit code. No traceback without --debug."""
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            close = ", ".join(self.get_fuzzy_matches(argv[0]))
            self.LOG.error("%r is no command; did you mean %s?", argv[0], close)
            return ExitCode.USAGE
        try:
            result = super().run_subcommand(argv)
        except Signalled as signalled:
            return signalled.exit_code
        return result if self._error is None else exit_code_of(self._error)

    def clean_up(self, cmd: object, result: int, err: BaseException | None) -> None:
        """Remember why the command failed; cliff has logged it and returns 1 for everything."""
        self._error = err

    def interact(self) -> None:
        """Show the help: there is no interactive mode."""
        try:
            HelpAction([], argparse.SUPPRESS, default=self)(self.parser, self.options, None)
        except SystemExit:
            raise SystemExit(ExitCode.USAGE) from None


def run(argv: list[str]) -> int:
    """Run the command that ``argv`` names; return the exit code. Main thread only."""
    end_in_good_order()
    code = KafkaNotify().run(argv)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
        return ExitCode.BROKEN_PIPE
    return code
