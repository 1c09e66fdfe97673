# SPDX-License-Identifier: Apache-2.0
"""The command bench: its table, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kafka_notify.broker import Cluster
from tests.cli.commands import run

COLUMNS = ["measure", "system", "median", "lowest", "highest", "unit", "to_raw"]


def check_rows(rows: list[dict[str, Any]]) -> None:
    """Assert that every measure has a raw client and ours beside it."""
    assert {row["measure"] for row in rows} == {"send", "receive", "latency"}
    for row in rows:
        assert list(row) == COLUMNS
        assert 0 < row["lowest"] <= row["median"] <= row["highest"]
        assert (row["to_raw"] is None) == row["system"].startswith("raw client")
    units = {row["unit"] for row in rows}
    assert units == {"per second", "CPU µs each", "p50 ms", "p99 ms"}


@pytest.mark.functional
def test_a_kafka_that_is_there(kafka: Any) -> None:
    """Ours beside a raw client; the topics are gone afterwards."""
    from confluent_kafka.admin import AdminClient

    result = run(
        "bench", "-f", "json", "--count", 1000, "--rounds", 1, "--url", kafka.url("a-vhost")
    )

    assert result.code == 0, result.err
    check_rows(result.json())
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=10).topics
    assert not [name for name in topics if name.startswith("kafka-notify-bench")]


@pytest.mark.functional
def test_a_kafka_of_its_own_with_a_login(tmp_path: Path) -> None:
    """A login in the URL is used by both clients, and shown nowhere."""
    with Cluster(sasl={"alice": "sesame"}) as cluster:
        url = f"kafka://alice:sesame@{cluster.sasl_bootstrap}/?security_protocol=SASL_PLAINTEXT"
        result = run("bench", "-f", "json", "--count", 1000, "--rounds", 1, "--url", url)

    assert result.code == 0, result.err
    check_rows(result.json())
    assert "sesame" not in result.out + result.err


@pytest.mark.functional
def test_without_arguments_it_starts_one() -> None:
    """A table on stdout; which Kafka it was on stderr."""
    result = run("bench", "--count", 1000, "--rounds", 1)

    assert result.code == 0, result.err
    assert "| kafka-notify, after_dispatch" in result.out
    assert "Kafka: a real one, 4." in result.err


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("--count", "10"), "10 is out of range"),
        (("--rounds", "0"), "0 is out of range"),
        (("--url", "embedded://"), "lives and ends with the process that opens it"),
        (("--url", "kafka://h:x/"), "the port of host 'h'"),
        (("--file", "/nowhere.jsonl"), "/nowhere.jsonl"),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, ...], cause: str) -> None:
    """Before anything is started."""
    result = run("bench", *arguments)

    assert (result.code, result.out) == (2, "")
    assert cause in result.err


def test_an_unreachable_broker_is_named() -> None:
    """Exit code 3 and one line, as for the other commands."""
    result = run("bench", "--url", "kafka://127.0.0.1:1/?connect_timeout=1")

    assert (result.code, result.out) == (3, "")
    (line,) = result.err.splitlines()
    assert line.startswith("ERROR: Kafka at 127.0.0.1:1 did not answer")
