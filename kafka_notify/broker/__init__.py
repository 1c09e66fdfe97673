# SPDX-License-Identifier: Apache-2.0
"""A real Apache Kafka from Python packages alone: no Docker, no apt, no Java beforehand.

Needs the [broker] extra when it runs, not when it is imported.
"""

from kafka_notify.broker.cache import cache_folder
from kafka_notify.broker.cluster import FOR_LOAD, Cluster
from kafka_notify.broker.jars import KAFKA_VERSION, Jars, find_jars

__all__ = ["FOR_LOAD", "KAFKA_VERSION", "Cluster", "Jars", "cache_folder", "find_jars"]
