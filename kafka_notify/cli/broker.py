# SPDX-License-Identifier: Apache-2.0
"""``kafka-notify broker``: a real Apache Kafka on this machine until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from cliff.command import Command

from kafka_notify.broker import KAFKA_VERSION, Cluster, cache_folder
from kafka_notify.cli.arguments import whole_number
from kafka_notify.cli.signals import held_back
from kafka_notify.cli.tables import terminal_of

_PORT = 9092
_HIGHEST_PORT = 65535
