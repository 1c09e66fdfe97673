# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from pathlib import Path

import pytest

from kafka_notify.broker.identity import cluster_id_of, new_cluster_id
from kafka_notify.errors import ConfigurationError


def test_an_id_is_one_that_kafka_takes() -> None:
    """22 characters of URL-safe base64; a leading dash would be taken for an option."""
    ids = {new_cluster_id() for _ in range(500)}
    assert len(ids) == 500
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", text) for text in ids)


def test_a_folder_keeps_its_cluster(tmp_path: Path) -> None:
    """The second cluster in a folder is the first one again."""
    first = cluster_id_of(tmp_path, nodes=3)
    assert cluster_id_of(tmp_path, nodes=3) == first


def test_a_folder_of_another_size_is_refused(tmp_path: Path) -> None:
    """One node on the data of three could never elect a leader; the message has both numbers."""
    cluster_id_of(tmp_path, nodes=3)
    with pytest.raises(ConfigurationError, match=r"3 node\(s\), not 1"):
        cluster_id_of(tmp_path, nodes=1)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cluster_id": "x", "nodes": "many"}'])
def test_a_damaged_folder_is_named(tmp_path: Path, text: str) -> None:
    """Data is never taken over on a guess."""
    (tmp_path / "cluster.json").write_text(text)
    with pytest.raises(ConfigurationError, match=f"{tmp_path}.*is damaged"):
        cluster_id_of(tmp_path, nodes=1)
