# SPDX-License-Identifier: Apache-2.0
"""The command listen: every line that it should print and no other, and how it ends."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

import kafka_notify
from kafka_notify.core.message import Partition
from tests.cli.commands import MARGIN_S, PROGRAM, TIMEOUT_S, Running, run

Send = Callable[..., None]


def test_a_line_has_everything(either_url: str, unique: str, send: Send) -> None:
    """Priority, publisher, event type, payload, context and metadata, as JSON."""
    arguments = ("--url", either_url, "--topic", unique, "--count", 2)
    with Running("listen", *arguments) as listen:
        listen.wait_for_error_line("Listening to")
        send({"a": [1.5, None, "ä"]}, priority="error", publisher_id="p", event_type="e.f",
             ctxt={"request_id": "req-1"})  # fmt: skip
        send("second")
        result = listen.end()

    assert result.code == 0, result.err
    first, second = sorted(result.json_lines(), key=lambda line: line["priority"])
    assert set(first.pop("metadata")) == {"message_id", "timestamp"}
    assert first == {
        "priority": "error",
        "publisher_id": "p",
        "event_type": "e.f",
        "payload": {"a": [1.5, None, "ä"]},
        "ctxt": {"request_id": "req-1"},
    }
    assert (second["priority"], second["payload"]) == ("info", "second")
    assert f"Listening to {unique} at " in result.err
    assert "(its own)" in result.err
    assert "Notifications printed: 2" in result.err


def test_quiet_says_nothing(either_url: str, unique: str, send: Send) -> None:
    """With -q stderr is for warnings and errors."""
    send(1)

    result = run("-q", "listen", "--url", either_url, "--topic", unique, "--priority", "info",
                 "--from-beginning", "--count", 1)  # fmt: skip

    assert (result.code, result.err) == (0, "")
    assert len(result.json_lines()) == 1


def test_what_is_beyond_the_count_stays_in_the_pool(
    either_url: str, unique: str, send: Send
) -> None:
    """With --pool and --count nothing is taken that is not printed: the next one gets it."""
    for number in range(5):
        send(number)
    arguments = ("--url", either_url, "--topic", unique, "--priority", "info", "--pool", unique)

    first = run("listen", *arguments, "--from-beginning", "--count", 2)
    second = run("listen", *arguments, "--count", 3)

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert [line["payload"] for line in first.json_lines()] == [0, 1]
    assert [line["payload"] for line in second.json_lines()] == [2, 3, 4]


def test_the_count_is_exact_in_a_pool_of_its_own(either_url: str, unique: str, send: Send) -> None:
    """However many are there; those of one publisher come in their order."""
    for number in range(50):
        send(number)

    result = run("listen", "--url", either_url, "--topic", unique, "--priority", "info",
                 "--from-beginning", "--count", 40)  # fmt: skip

    assert result.code == 0, result.err
    assert [line["payload"] for line in result.json_lines()] == list(range(40))


@pytest.mark.parametrize(("arguments", "code"), [(("--count", 1), 4), ((), 0)])
def test_a_timeout_ends_it(
    arguments: tuple[object, ...], code: int, either_url: str, unique: str
) -> None:
    """Which is a failure only if there was a count to reach."""
    result = run("listen", "--url", either_url, "--topic", unique, "--priority", "info",
                 "--timeout", "5", *arguments)  # fmt: skip

    assert (result.code, result.out) == (code, ""), result.err
    assert "Notifications printed: 0" in result.err


def test_the_timeout_bounds_the_start(url: str, unique: str) -> None:
    """Kafka answers, but the topic cannot be made: only the time ends that."""
    began = time.monotonic()

    # The mock has no answer to a request for new topics.
    result = run("listen", "--url", url, "--topic", unique, "--timeout", "2")

    assert time.monotonic() - began < 2 + MARGIN_S
    assert (result.code, result.out) == (3, ""), result.err
    assert "could not be started" in result.err
    assert "that is what --timeout left for it" in result.err.splitlines()[-1]


def test_the_timeout_holds_when_kafka_goes_away(unique: str) -> None:
    """Leaving a pool that nobody coordinates any more takes no longer than the help says."""
    cluster = kafka_notify.get_notification_transport(url=f"embedded://{unique}/")
    with cluster:
        cluster.driver.new_admin(on_problem=lambda _: None).create_topics(
            [f"{unique}.info"], partitions=-1, replication_factor=-1, timeout_s=10
        )
        began = time.monotonic()
        with Running("listen", "--url", f"kafka://{cluster.address}/", "--topic", unique,
                     "--priority", "info", "--timeout", "6") as listen:  # fmt: skip
            listen.wait_for_error_line("Listening")
            cluster.cleanup()
            result = listen.end()

    assert time.monotonic() - began < 6 + MARGIN_S
    assert (result.code, result.out) == (0, ""), result.err
    assert "Notifications printed: 0" in result.err


def test_its_help_tells_its_bounds_and_what_it_leaves_behind() -> None:
    """What --timeout includes, and how long the offsets of a pool of its own stay."""
    text = " ".join(run("listen", "--help").out.split())

    assert "Connecting and joining the pool are included" in text
    assert "offsets.retention.minutes" in text


@pytest.mark.functional
def test_the_offsets_of_a_pool_of_its_own_stay(kafka: Any, unique: str) -> None:
    """As the help says: until the brokers forget them, or somebody deletes the group."""
    url = kafka.url()
    result = run("listen", "--url", url, "--topic", unique, "--priority", "info",
                 "--timeout", "5")  # fmt: skip

    assert result.code == 0, result.err
    found = re.search(r"pool (kafka-notify-listen-\w+) \(its own\)", result.err)
    assert found
    first = Partition(f"{unique}.info", 0)
    with kafka_notify.get_notification_transport(url=url) as transport:
        group = transport.driver.new_consumer(found[1], on_problem=lambda _: None)
        assert group.committed([first], 10) == {first: 0}
        group.close()


def test_filters_choose(either_url: str, unique: str, send: Send) -> None:
    """Every filter has to match, at the start of the text."""
    send({"state": "active"}, publisher_id="nova", event_type="a.start", ctxt={"user_id": "u1"})
    send({"state": "error"}, publisher_id="nova", event_type="a.start", ctxt={"user_id": "u1"})
    send({"state": "active"}, publisher_id="cinder", event_type="a.start", ctxt={"user_id": "u1"})
    send({"state": "active"}, publisher_id="nova", event_type="b.end", ctxt={"user_id": "u1"})
    send({"state": "active"}, publisher_id="nova", event_type="a.start", ctxt={"user_id": "u2"})
    send({"state": "active", "last": 1}, publisher_id="nova", event_type="a.end",
         ctxt={"user_id": "u1"})  # fmt: skip

    result = run(
        "listen", "--url", either_url, "--topic", unique, "--priority", "info",
        "--from-beginning", "--count", 2, "--timeout", 30, "--publisher-id", "no",
        "--event-type", "a[.]", "--payload-filter", "state=act", "--context-filter", "user_id=u1",
        "--metadata-filter", "timestamp=20",
    )  # fmt: skip

    assert result.code == 0, result.err
    found = sorted((line["event_type"], line["payload"]["state"]) for line in result.json_lines())
    assert found == [("a.end", "active"), ("a.start", "active")]


def test_records_that_are_no_notifications_are_counted(
    either_url: str, unique: str, send: Send
) -> None:
    """They are told on stderr and do not stand in the way."""
    reported = []
    with kafka_notify.get_notification_transport(url=either_url) as transport:
        producer = transport.driver.new_producer(
            on_report=lambda *report: reported.append(report), on_problem=lambda _: None
        )
        producer.send(f"{unique}.info", b"\x00garbage", key=b"me")
        producer.flush(10)
        producer.close()
    send("after")

    result = run("listen", "--url", either_url, "--topic", unique, "--priority", "info",
                 "--from-beginning", "--count", 1)  # fmt: skip

    assert result.code == 0, result.err
    assert [line["payload"] for line in result.json_lines()] == ["after"]
    assert f"Skipped an undecodable record, {unique}.info" in result.err
    assert "records skipped that are no notifications: 1" in result.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_good_order(
    number: signal.Signals, either_url: str, unique: str, send: Send
) -> None:
    """What was taken is printed, the group is left, the exit code tells the signal."""
    arguments = ("--url", either_url, "--topic", unique, "--priority", "info", "--pool", unique)
    with Running("listen", *arguments) as listen:
        listen.wait_for_error_line("Listening")
        send(1)
        listen.wait_for_lines(1)
        result = listen.interrupt(number)

    assert result.code == 128 + number, result.err
    assert len(result.json_lines()) == 1
    assert "Notifications printed: 1" in result.err
    assert "Traceback" not in result.err


@pytest.mark.functional
def test_a_signal_leaves_the_group(kafka: Any, unique: str) -> None:
    """A pool has no member left that others would have to wait for."""
    url = kafka.url()
    with Running("listen", "--url", url, "--topic", unique, "--pool", unique) as listen:
        listen.wait_for_error_line("Listening")
        listen.interrupt()

    with kafka_notify.get_notification_transport(url=url) as transport:
        admin = transport.driver.new_admin(on_problem=lambda _: None)
        assert admin.group_has_members(unique, 10) is False


def test_it_ends_when_nobody_reads(either_url: str, unique: str, send: Send) -> None:
    """As in '| head': at once, not with the next notification, and as if all was done."""
    arguments = ("--url", either_url, "--topic", unique, "--priority", "info")
    with subprocess.Popen(
        [*PROGRAM, "listen", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as listen:
        assert listen.stdout is not None
        assert listen.stderr is not None
        assert b"Listening" in listen.stderr.readline()
        send("first")
        assert b"first" in listen.stdout.readline()
        listen.stdout.close()
        code = listen.wait(TIMEOUT_S)
        err = listen.stderr.read().decode()

    assert code == 0
    assert "Notifications printed: 1; nobody reads stdout any more" in err
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_a_full_disk_ends_it_with_an_error(either_url: str, unique: str, send: Send) -> None:
    """What cannot be written is not passed over; the pool's notification is accounted for."""
    send("lost")
    arguments = ("--url", either_url, "--topic", unique, "--priority", "info", "--pool", unique)

    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, "listen", *arguments, "--from-beginning"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT_S,
            check=False,
        )

    err = done.stderr.decode()
    assert done.returncode == 1, err
    assert "ERROR: stdout: [Errno 28] No space left on device" in err
    assert "taken from the pool and not printed: 1" in err


def test_what_it_prints_can_be_sent_again(either_url: str, unique: str, send: Send) -> None:
    """listen and notify speak the same lines."""
    send({"a": 1}, event_type="e", publisher_id="p", priority="warn")
    printed = run("listen", "--url", either_url, "--topic", unique, "--priority", "warn",
                  "--from-beginning", "--count", 1)  # fmt: skip
    arguments = ("--url", either_url, "--topic", unique, "--priority", "warn", "--count", 1)

    with Running("listen", *arguments) as listen:
        listen.wait_for_error_line("Listening")
        again = run("notify", "--url", either_url, "--topic", unique, "--file", "-",
                    stdin=printed.out.encode())  # fmt: skip
        result = listen.end()

    assert (again.code, result.code) == (0, 0), again.err + result.err
    (before,), (after,) = printed.json_lines(), result.json_lines()
    assert before.pop("metadata") != after.pop("metadata")
    assert before == after
