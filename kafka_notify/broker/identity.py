# SPDX-License-Identifier: Apache-2.0
"""Which cluster a data folder belongs to: its id and its number of nodes, in cluster.json.

Must not know Kafka's own files.
"""

from __future__ import annotations

import base64
import json
import os
import uuid
from pathlib import Path

from kafka_notify.errors import ConfigurationError


def new_cluster_id() -> str:
    """Return a random id as Kafka writes it: 22 characters that do not begin with a dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def cluster_id_of(folder: Path, *, nodes: int) -> str:
    """Return the id of the cluster in the folder, making one up for a new folder.

    Raises:
        ConfigurationError: if the folder has a cluster with another number of nodes.
    """
    path = folder / "cluster.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        cluster_id, known_nodes = str(known["cluster_id"]), int(known["nodes"])
    except FileNotFoundError:
        cluster_id = new_cluster_id()
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"cluster_id": cluster_id, "nodes": nodes}), encoding="utf-8")
        os.replace(part, path)
        return cluster_id
    except (ValueError, KeyError, TypeError) as exc:
        raise ConfigurationError(
            f"{path} is damaged: give another data folder, or remove this one to start anew"
        ) from exc
    if known_nodes != nodes:
        raise ConfigurationError(
            f"{folder} holds the data of a cluster with {known_nodes} node(s), not {nodes}: give "
            f"that number, or another data folder"
        )
    return cluster_id
