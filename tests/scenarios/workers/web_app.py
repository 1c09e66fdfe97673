# SPDX-License-Identifier: Apache-2.0
"""A WSGI application that notifies, as gunicorn loads it: before it forks, with --preload.

Environment: URL, TOPIC. Each request sends its path; the answer is the worker's process id.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import kafka_notify

notifier = kafka_notify.Notifier(
    kafka_notify.get_notification_transport(url=os.environ["URL"]),
    "web",
    topics=[os.environ["TOPIC"]],
)
for number in range(10):
    notifier.info({}, "imported", f"import {number}")


def application(environ: dict[str, Any], respond: Callable[..., object]) -> Iterable[bytes]:
    """Send one notification and answer."""
    notifier.info({}, "request", environ["PATH_INFO"])
    respond("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
