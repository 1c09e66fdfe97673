# SPDX-License-Identifier: Apache-2.0
"""How the bare client reaches the Kafka of a measurement: as our own driver does."""

from __future__ import annotations

from kafka_notify import options
from kafka_notify.bench.child import Task
from kafka_notify.drivers import confluent_config


def client_config(task: Task) -> confluent_config.Config:
    """Return librdkafka's options for the addresses, the login and TLS of the task's URL."""
    url, settings = options.resolve(None, task.url())
    return confluent_config.connection(url, settings, address=confluent_config.bootstrap(url))
