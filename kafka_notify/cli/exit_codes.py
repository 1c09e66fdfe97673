# SPDX-License-Identifier: Apache-2.0
"""What the commands' exit codes mean: one table, shown by ``kafka-notify --help``.

Must not import what the [cli] extra brings: the complaint about its absence has a code, too.
"""

from __future__ import annotations

from enum import IntEnum

from kafka_notify.errors import (
    BrokerError,
    ConfigurationError,
    ConsumeError,
    DeliveryError,
    SerializationError,
)


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    INCOMPLETE = 1
    USAGE = 2
    BROKER = 3
    TIMEOUT = 4
    BUG = 70
    HANGUP = 129
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


MEANINGS = {
    ExitCode.DONE: "all that was asked for was done",
    ExitCode.INCOMPLETE: "done in part: something not delivered, a line refused, a bad verdict",
    ExitCode.USAGE: "wrong arguments, configuration or input, or an extra that is not installed",
    ExitCode.BROKER: "Kafka cannot be reached, refused, or did not start",
    ExitCode.TIMEOUT: "listen: --timeout was over before --count was reached",
    ExitCode.BUG: "unexpected error, please report it with the output of --debug",
    ExitCode.HANGUP: "ended in good order by SIGHUP",
    ExitCode.INTERRUPTED: "ended in good order by Ctrl-C",
    ExitCode.BROKEN_PIPE: "nobody reads the output any more (listen: 0)",
    ExitCode.TERMINATED: "ended in good order by SIGTERM",
}

TABLE = "Exit codes:\n" + "\n".join(f"  {code:<4} {text}" for code, text in MEANINGS.items())


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the code with which a command ends that raised ``error``."""
    if isinstance(error, (ConfigurationError, SerializationError)):
        return ExitCode.USAGE
    if isinstance(error, (BrokerError, ConsumeError)):
        return ExitCode.BROKER
    if isinstance(error, DeliveryError):
        return ExitCode.INCOMPLETE
    return ExitCode.BUG
