# SPDX-License-Identifier: Apache-2.0
"""What a command tells its user on stderr while it works: lines, and progress bars.

Results go to stdout and never through here; only whether stdout is read is known here.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kafka_notify.errors import MissingExtra

ShowProgress = Callable[[str, int, "int | None"], None]
"""Called with what is counted, how much is done and the whole (None: not known yet)."""


class Terminal:
    """The user's stderr; ``quiet`` (-q) says nothing on it."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def say(self, text: str) -> None:
        """Show one line."""
        if not self._quiet:
            # Dynamic on purpose: progress bars replace sys.stderr while they are shown.
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def progress(self) -> Iterator[ShowProgress]:
        """Show a bar for each thing counted in the body, if stderr is a terminal.

        Raises MissingExtra without rich.
        """
        if self._quiet or not sys.stderr.isatty():
            yield _show_nothing
            return
        try:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        except ModuleNotFoundError as error:
            raise MissingExtra("cli", needed_for="the progress bar") from error
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        # stdout stays as it is: results go there, and it may be a file.
        with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as bars:
            tasks = {}

            def show(name: str, done: int, whole: int | None) -> None:
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=None)
                bars.update(tasks[name], completed=done, total=whole)

            yield show

    @contextmanager
    def steps(self) -> Iterator[Callable[[str], None]]:
        """Show what the body does: on a terminal in one changing line, else line by line.

        Raises MissingExtra without rich.
        """
        if self._quiet or not sys.stderr.isatty():
            yield self.say
            return
        try:
            from rich.console import Console
        except ModuleNotFoundError as error:
            raise MissingExtra("cli", needed_for="showing progress") from error
        with Console(stderr=True).status("") as status:
            yield status.update


def _show_nothing(name: str, done: int, whole: int | None) -> None:
    """Show no bar."""


def stdout_is_read() -> bool:
    """Tell whether somebody can still read stdout: false once the end of its pipe is closed."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return not any(events & select.POLLERR for _, events in poll.poll(0))


def discard_stdout() -> None:
    """Send what is still written to stdout nowhere, or Python complains on its way out."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
