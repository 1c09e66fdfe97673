# SPDX-License-Identifier: Apache-2.0
"""Bad input to notify and listen, which share it: one line on stderr that names the cause."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cli.commands import MARGIN_S, Result, run

COMMANDS = {"notify": ("notify", "--event-type", "x"), "listen": ("listen", "--count", "1")}


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return COMMANDS[request.param]


def refused(result: Result, code: int, *texts: str) -> None:
    """Assert a clear refusal, and that nothing of it went to stdout."""
    assert (result.code, result.out) == (code, ""), result.err
    assert "Traceback" not in result.err
    for text in texts:
        assert text in result.err


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("host:9092", "it must begin with driver://"),
        ("kafka://host:99999/", "the port of host 'host' is not 1 to 65535"),
        ("kafka://ho st/", "'ho st' is no host name"),
        ("kafka://host/%zz", "'%' without two hex digits"),
        ("kafka://host/my.vhost", "a dot would make its topics' names ambiguous"),
        ("kafka://host/a%20b", "the character ' ' at position 2 is illegal"),
        ("kafka://host/?delivary=confirm", "'delivary' is unknown; did you mean delivery?"),
        ("kafka://host/?topic_refresh=soon", "option topic_refresh: 'soon' is no number"),
        ("rabbit://host/", "no driver named 'rabbit'"),
    ],
)
def test_a_bad_url_is_refused(command: tuple[str, ...], url: str, cause: str) -> None:
    """The part that is wrong is named."""
    refused(run(*command, "--url", url), 2, cause)


def test_an_unknown_driver_is_answered_with_those_installed(command: tuple[str, ...]) -> None:
    """The user can pick one."""
    refused(
        run(*command, "--url", "rabbit://h/"),
        2,
        "installed are embedded, kafka, kafka-notify, memory",
    )


@pytest.mark.parametrize(
    ("arguments", "query", "cause"),
    [
        (COMMANDS["notify"], "delivery=later", "option delivery: 'later' is not one of report"),
        (COMMANDS["notify"], "close_timeout=soon", "option close_timeout: 'soon' is no number"),
        (COMMANDS["listen"], "executor_thread_pool_size=0", "option executor_thread_pool_size: 0"),
        (("listen", "--pool", "p"), "dispatch_window=x", "option dispatch_window: 'x' is"),
        (("listen", "--timeout", "9"), "start_timeout=0", "option start_timeout: 0.0 is out of"),
        (("listen", "--from-beginning"), "group_start=x", "option group_start: 'x' is not one of"),
    ],
)
def test_options_that_a_command_sets_itself_are_checked_all_the_same(
    arguments: tuple[str, ...], query: str, cause: str
) -> None:
    """A value that cannot work is told, not passed over, before anything is connected to."""
    refused(run(*arguments, "--url", f"kafka://127.0.0.1:1/?{query}"), 2, cause)


def test_a_url_is_shown_as_it_was_given(command: tuple[str, ...]) -> None:
    """Without what the command has decided by itself."""
    result = run(*command, "--url", "rabbit://h/?topic_refresh=7")

    refused(result, 2, "'rabbit' for rabbit://h/?topic_refresh=7; installed are")


@pytest.mark.parametrize("url", ["memory://x", "embedded://", "EMBEDDED://x/vhost"])
def test_a_cluster_that_only_this_process_could_reach_is_refused(
    command: tuple[str, ...], url: str, tmp_path: Path
) -> None:
    """Nobody could listen to what was sent there, nor send what is listened for."""
    file = tmp_path / "service.conf"
    file.write_text(f"[oslo_messaging_notifications]\ntransport_url = {url}\n")
    scheme = url.partition(":")[0].lower()

    for where in (("--url", url), ("--config-file", file)):
        refused(
            run(*command, *where),
            2,
            f"what {scheme}:// names lives and ends with the process that opens it",
            "'kafka-notify broker' runs one",
            "'kafka-notify demo'",
        )


def test_no_url_at_all_is_refused(command: tuple[str, ...]) -> None:
    """There is no default that could confirm into nothing."""
    refused(run(*command), 2, "give --url kafka://host:9092, or a --config-file")


def test_a_missing_config_file_is_named(command: tuple[str, ...], tmp_path: Path) -> None:
    """With its path."""
    missing = tmp_path / "missing.conf"

    refused(run(*command, "--config-file", missing), 2, str(missing))


def test_a_config_file_without_a_url_is_told_so(command: tuple[str, ...], tmp_path: Path) -> None:
    """The option that is missing is named."""
    empty = tmp_path / "empty.conf"
    empty.write_text("[DEFAULT]\n")

    refused(run(*command, "--config-file", empty), 2, "transport_url")


def test_a_wrong_priority_is_refused(command: tuple[str, ...]) -> None:
    """The known ones are listed."""
    result = run(*command, "--url", "kafka://host/", "--priority", "urgent")

    refused(result, 2, "urgent", "critical")


def test_an_illegal_topic_is_refused(command: tuple[str, ...], url: str) -> None:
    """Kafka would refuse it; its place is named."""
    result = run(*command, "--url", url, "--topic", "no topic")

    refused(result, 2, "topic 'no topic", "position 3 is illegal")


def test_an_unreachable_broker_is_named_in_bounded_time(command: tuple[str, ...]) -> None:
    """Within connect_timeout, in one line with address, cause and remedy; exit code 3."""
    began = time.monotonic()

    result = run(*command, "--url", "kafka://127.0.0.1:1/?connect_timeout=1")

    assert time.monotonic() - began < 1 + MARGIN_S
    refused(
        result,
        3,
        "ERROR: Kafka at 127.0.0.1:1 did not answer (tried for ",
        "bounded by connect_timeout",
        "Connection refused",
        "check that it runs there",
    )
    assert len(result.err.splitlines()) == 1


def test_one_host_of_several_is_enough(url: str, unique: str) -> None:
    """What was heard of the others is no reason to give up."""
    address = url.removeprefix("kafka://").rstrip("/")

    result = run("notify", "-f", "value", "-c", "confirmed", "--event-type", "x",
                 "--topic", unique, "--url", f"kafka://127.0.0.1:1,{address}/")  # fmt: skip

    assert (result.code, result.out) == (0, "1\n"), result.err


def test_the_timeout_of_listen_bounds_connecting() -> None:
    """However long connect_timeout is by itself."""
    began = time.monotonic()

    result = run("listen", "--url", "kafka://127.0.0.1:1/", "--timeout", "1")

    assert time.monotonic() - began < 1 + MARGIN_S
    refused(result, 3, "Kafka at 127.0.0.1:1 did not answer", "bounded by --timeout")
    assert len(result.err.splitlines()) == 1


def test_a_password_is_never_shown(command: tuple[str, ...]) -> None:
    """Neither in the complaint about a URL nor in that about a connection."""
    for url in ("kafka://me:s3cr3t@host:x/", "kafka://me:s3cr3t@127.0.0.1:1/?connect_timeout=1"):
        result = run("-vv", *command, "--url", url)

        assert result.code in (2, 3)
        assert "s3cr3t" not in result.err + result.out


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("--payload", "hello"), "--payload 'hello' is not JSON"),
        (("--payload", "NaN"), "--payload 'NaN' is not JSON"),
        (("--file", "/nonexistent/x"), "--file /nonexistent/x: No such file or directory"),
        (("--payload", "1", "--file", "-"), "not allowed with argument"),
        (("--timeout", "-1"), "-1 is out of range, it must be above 0"),
        (("--priority",), "expected one argument"),
    ],
)
def test_what_notify_cannot_send_is_refused(arguments: tuple[str, ...], cause: str) -> None:
    """Before anything is connected to."""
    result = run("notify", "--url", "kafka://127.0.0.1:1/", "--event-type", "x", *arguments)

    refused(result, 2, cause)


def test_notify_needs_an_event_type() -> None:
    """Upstream's consumers take it for given."""
    refused(run("notify", "--url", "kafka://h/"), 2, "--event-type is needed, or a --file")


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("--count", "0"), "0 is out of range, it must be at least 1"),
        (("--timeout", "0"), "0 is out of range, it must be above 0"),
        (("--payload-filter", "state"), "'state' is not of the form NAME=RE"),
        (("--event-type", "("), "event_type '(' is no regular expression"),
        (("--metadata-filter", "message_id=["), "'[' is no regular expression"),
        (("--pool", "a\nb"), "'\\n' cannot be part of a group's name"),
    ],
)
def test_what_listen_cannot_do_is_refused(
    arguments: tuple[str, ...], cause: str, url: str
) -> None:
    """Before it listens."""
    refused(run("listen", "--url", url, *arguments), 2, cause)
