# SPDX-License-Identifier: Apache-2.0
"""The command notify: what it sends arrives, and what it tells is true."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import kafka_notify
from kafka_notify.core import envelope
from kafka_notify.core.message import PRIORITIES, Notification
from kafka_notify.demo.samples import sample_notifications
from tests.cli.commands import Running, run, run_on_terminal
from tests.waiting import eventually


def sent_to(
    cluster: kafka_notify.NotificationTransport, topic: str, count: int
) -> list[Notification]:
    """Return the notifications in a Kafka topic, read from its start."""
    problems: list[Exception] = []
    admin = cluster.driver.new_admin(on_problem=problems.append)
    eventually(lambda: admin.partition_counts([topic], 10), 20, f"the topic {topic}")
    consumer = cluster.driver.new_consumer(f"{topic}-reader", on_problem=problems.append)
    records: list[Any] = []

    def all_there() -> bool:
        records.extend(consumer.take(count, 0.1))
        return len(records) >= count

    consumer.subscribe(
        [topic], on_assigned=lambda _: None, on_revoked=lambda _: None, on_lost=lambda _: None
    )
    try:
        eventually(all_there, 20, f"{count} records in {topic}")
    finally:
        consumer.close()
    return [envelope.decode(record.value) for record in records]


def counts(out: str) -> dict[str, int]:
    (row,) = json.loads(out)
    return row


def test_one_notification_from_arguments(
    cluster: kafka_notify.NotificationTransport, url: str, unique: str
) -> None:
    """It is confirmed by Kafka, and in the topic with everything that was given."""
    result = run(
        "notify", "-f", "json", "--url", url, "--topic", unique, "--priority", "WARN",
        "--publisher-id", "me", "--event-type", "door.open", "--payload", '{"door": [1, null]}',
    )  # fmt: skip

    assert result.code == 0, result.err
    assert counts(result.out) == {"sent": 1, "confirmed": 1, "failed": 0, "refused": 0}
    (found,) = sent_to(cluster, f"{unique}.warn", 1)
    assert (found.priority, found.publisher_id, found.event_type, found.payload) == (
        "warn",
        "me",
        "door.open",
        {"door": [1, None]},
    )


def test_a_file_of_many(
    cluster: kafka_notify.NotificationTransport, url: str, unique: str, tmp_path: Path
) -> None:
    """Each line arrives with its own priority, publisher and payload; nothing else is printed."""
    samples = [one for one in sample_notifications(300) if one.priority == "info"]
    file = tmp_path / "notifications.jsonl"
    file.write_text("".join(json.dumps(one._asdict()) + "\n" for one in samples))

    result = run("notify", "-f", "json", "--url", url, "--topic", unique, "--file", file)

    assert (result.code, result.err) == (0, "")
    assert counts(result.out)["confirmed"] == len(samples)
    found = sent_to(cluster, f"{unique}.info", len(samples))
    assert sorted(json.dumps(one.payload) for one in found) == sorted(
        json.dumps(one.payload) for one in samples
    )


def test_stdin_with_bad_lines(url: str, unique: str) -> None:
    """Bad lines are named and counted, cost themselves only, and decide the exit code."""
    good = b'{"event_type": "x", "payload": 1}\n'
    lines = good + b"{oops\n" + b"\n" + good + b'{"payload": 1}\n' + good

    result = run(
        "notify", "-f", "json", "--url", url, "--topic", unique, "--file", "-", stdin=lines
    )

    assert result.code == 1
    assert counts(result.out) == {"sent": 3, "confirmed": 3, "failed": 0, "refused": 2}
    first, second = result.err.splitlines()
    assert first.startswith("ERROR: line 2: not JSON")
    assert second.startswith("ERROR: line 5: it has no event_type")


def test_an_empty_file_is_all_done(url: str) -> None:
    """Nothing to do is nothing wrong."""
    result = run("notify", "-f", "json", "--url", url, "--file", os.devnull)

    assert result.code == 0
    assert counts(result.out)["sent"] == 0


def test_of_a_context_only_safe_fields_travel(
    cluster: kafka_notify.NotificationTransport, url: str, unique: str
) -> None:
    """The library's rule holds for files, too: never a token."""
    ctxt = {"request_id": "req-1", "auth_token": "s3cr3t", "colour": "red"}
    line = json.dumps({"event_type": "x", "payload": 1, "ctxt": ctxt}).encode()

    result = run("notify", "--url", url, "--topic", unique, "--file", "-", stdin=line)

    assert result.code == 0, result.err
    (found,) = sent_to(cluster, f"{unique}.info", 1)
    assert found.ctxt == {"request_id": "req-1"}


def test_a_record_over_the_limit_is_refused(url: str, unique: str) -> None:
    """It is named by its line, with the option to raise; the small ones beside it are sent."""
    lines = [json.dumps({"event_type": "x", "payload": "y" * size}).encode() for size in (1, 5000)]

    result = run(
        "notify", "-f", "json", "--url", f"{url}?max_record_bytes=2000", "--topic", unique,
        "--file", "-", stdin=b"\n".join(lines),
    )  # fmt: skip

    assert result.code == 1
    assert counts(result.out) == {"sent": 1, "confirmed": 1, "failed": 0, "refused": 1}
    assert "line 2: " in result.err
    assert "too large" in result.err
    assert "max_record_bytes" in result.err


def test_a_configured_driver_of_notifiers_does_not_swallow_them(
    url: str, unique: str, tmp_path: Path
) -> None:
    """A service may have driver=noop in the file that names its Kafka: the command sends."""
    file = tmp_path / "service.conf"
    file.write_text(
        "[oslo_messaging_notifications]\n"
        f"transport_url = {url}\ndriver = noop\ntopics = {unique}-1,{unique}-2\n"
    )

    result = run("notify", "-f", "json", "--config-file", file, "--event-type", "x")

    assert result.code == 0, result.err
    assert counts(result.out) == {"sent": 2, "confirmed": 2, "failed": 0, "refused": 0}


def test_every_priority_can_be_sent(url: str, unique: str) -> None:
    """They are methods of the notifier; each has its topic."""
    lines = [json.dumps({"priority": one, "event_type": "x", "payload": 1}) for one in PRIORITIES]

    result = run("notify", "-f", "json", "--url", url, "--topic", unique, "--file", "-",
                 stdin="\n".join(lines).encode())  # fmt: skip

    assert result.code == 0, result.err
    assert counts(result.out)["confirmed"] == len(PRIORITIES)


def test_the_table_comes_in_cliffs_formats(url: str, unique: str) -> None:
    """A table for people, CSV for spreadsheets, single columns for scripts."""
    command = ("notify", "--url", url, "--topic", unique, "--event-type", "x")

    assert "| sent | confirmed | failed | refused |" in run(*command).out
    rows = list(csv.DictReader(io.StringIO(run(*command, "-f", "csv").out)))
    assert rows == [{"sent": "1", "confirmed": "1", "failed": "0", "refused": "0"}]
    assert run(*command, "-f", "value", "-c", "confirmed").out == "1\n"


def test_a_broker_that_goes_away_is_told_in_bounded_time(unique: str) -> None:
    """What has no delivery report after --timeout counts as failed."""
    cluster = kafka_notify.get_notification_transport(url=f"embedded://{unique}/")
    arguments = ("--url", f"kafka://{cluster.address}/", "--topic", unique, "--timeout", "1")
    with cluster, Running("notify", "-f", "json", *arguments, "--file", "-") as command:
        command.feed(b'{"event_type": "x", "payload": 1}\n')
        sent_to(cluster, f"{unique}.info", 1)
        cluster.cleanup()
        command.feed(b'{"event_type": "x", "payload": 2}\n')
        result = command.end()

    assert result.code == 1, result.err
    assert counts(result.out) == {"sent": 2, "confirmed": 1, "failed": 1, "refused": 0}
    assert "Traceback" not in result.err


def test_ctrl_c_tells_what_was_sent(url: str, unique: str) -> None:
    """It ends with 130 and the counts so far, without a traceback."""
    with Running("notify", "--url", url, "--topic", unique, "--file", "-") as command:
        command.feed(b"{oops\n")
        command.wait_for_error_line("line 1")
        result = command.interrupt()

    assert (result.code, result.out) == (130, "")
    assert "Interrupted; 0 sent" in result.err
    assert "Traceback" not in result.err


def test_on_a_terminal_a_bar_shows_the_progress(url: str, unique: str) -> None:
    """The bar goes to stderr, so that stdout can be parsed all the same."""
    result = run_on_terminal(
        "notify", "-f", "json", "--url", url, "--topic", unique, "--event-type", "x"
    )

    assert "confirmed" in result.err
    assert "1/1" in result.err
    assert counts(result.out)["confirmed"] == 1
