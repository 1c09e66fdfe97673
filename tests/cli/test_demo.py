# SPDX-License-Identifier: Apache-2.0
"""The command demo: its table, its verdict, and how it ends."""

from __future__ import annotations

import csv
import io
import time
from typing import Any

import pytest

import kafka_notify
from tests.cli.commands import Running, run, run_on_terminal

LISTENERS = [
    ("billing", "all"),
    ("billing", "1"),
    ("billing", "2"),
    ("audit", "all"),
    ("audit", "1"),
]


def check_rows(rows: list[dict[str, Any]], count: int) -> None:
    """Assert that each pool got each notification once, and that the rows add up."""
    assert [(row["pool"], row["listener"]) for row in rows] == LISTENERS
    for pool in ("billing", "audit"):
        whole, *members = [row for row in rows if row["pool"] == pool]
        assert (whole["sent"], whole["confirmed"], whole["received"]) == (count, count, count)
        assert whole["verdict"] == "ok"
        assert sum(member["received"] for member in members) == count
        assert 0 < whole["p50_ms"] <= whole["p99_ms"]
        assert all(member["sent"] is None for member in members)


def test_the_demo_needs_nothing_and_ends_well() -> None:
    """Without any argument but a smaller count: an embedded cluster, a table, a verdict."""
    began = time.monotonic()

    result = run("demo", "-f", "json", "--count", 300)

    assert result.code == 0, result.err
    check_rows(result.json(), 300)
    verdict = result.err.splitlines()[-2]
    assert verdict.startswith("Verdict: OK: each of 2 pools got all 300 notifications exactly")
    assert time.monotonic() - began < 40


def test_a_terminal_gets_bars_and_a_table() -> None:
    """The bars go to stderr, the table to stdout, the verdict comes last."""
    result = run_on_terminal("demo", "--count", 20)

    assert result.code == 0, result.err
    assert "received by audit" in result.err
    assert "20/20" in result.err
    assert "| pool    | listener | sent |" in result.out
    assert "None" not in result.out


def test_csv_leaves_cells_empty() -> None:
    """What a listener has no number for is empty, in every format."""
    result = run("-q", "demo", "-f", "csv", "--count", 20)

    assert (result.code, result.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert [(row["pool"], row["listener"]) for row in rows] == LISTENERS
    assert rows[1]["sent"] == ""


def test_a_loss_is_told_and_decides_the_exit_code(unique: str) -> None:
    """When Kafka goes away in the middle, the verdict says what is missing."""
    cluster = kafka_notify.get_notification_transport(url=f"embedded://{unique}/")
    timeouts = "delivery_timeout=2&close_timeout=1&drain_timeout=1"
    url = f"kafka://{cluster.address}/?{timeouts}"
    # The topic is there, or its making would time out: only the embedded driver can make it.
    cluster.driver.new_admin(on_problem=lambda _: None).create_topics(
        ["kafka-notify-demo.info"], partitions=-1, replication_factor=-1, timeout_s=10
    )
    with Running("demo", "-f", "json", "--url", url, "--count", 9, "--rate", 3) as demo:
        demo.wait_for_error_line("Sending")
        cluster.cleanup()
        result = demo.end()

    assert result.code == 1, result.err
    verdict = result.err.splitlines()[-2]
    assert verdict.startswith("Verdict: FAILED: ")
    assert "of 9 not confirmed" in verdict
    whole = result.json()[0]
    assert whole["confirmed"] < whole["sent"] == 9
    assert "lost" in whole["verdict"]


def test_ctrl_c_ends_it_in_good_order() -> None:
    """Soon, without a table that would be half true, and without a traceback."""
    with Running("demo", "--count", 100_000) as demo:
        demo.wait_for_error_line("Sending")
        began = time.monotonic()
        result = demo.interrupt()

    assert (result.code, result.out) == (130, "")
    assert "Traceback" not in result.err
    assert time.monotonic() - began < 20


def test_an_unreachable_broker_is_named() -> None:
    """Exit code 3 and one line, as for the other commands."""
    result = run("demo", "--url", "kafka://127.0.0.1:1/?connect_timeout=1")

    assert (result.code, result.out) == (3, "")
    (line,) = result.err.splitlines()
    assert line.startswith("ERROR: Kafka at 127.0.0.1:1 did not answer (tried for ")
    assert "Connection refused" in line


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("--count", "0"), "0 is out of range"),
        (("--rate", "0"), "0 is out of range"),
        (("--real", "--url", "kafka://h/"), "not allowed with argument"),
        (("--url", "kafka://h:x/"), "the port of host 'h'"),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, ...], cause: str) -> None:
    """Before anything is started."""
    result = run("demo", *arguments)

    assert (result.code, result.out) == (2, "")
    assert cause in result.err


@pytest.mark.functional
def test_the_same_on_a_kafka_that_is_there(kafka: Any) -> None:
    """--url takes any Kafka; two demos may run on it, one after the other."""
    for _ in range(2):
        result = run("demo", "-f", "json", "--count", 100, "--url", kafka.url())

        assert result.code == 0, result.err
        check_rows(result.json(), 100)


@pytest.mark.functional
def test_the_same_on_a_real_kafka_of_its_own() -> None:
    """--real starts one and ends it."""
    result = run("demo", "-f", "json", "--count", 100, "--real")

    assert result.code == 0, result.err
    check_rows(result.json(), 100)
    assert "Kafka: a real one, 4." in result.err
