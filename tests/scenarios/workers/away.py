# SPDX-License-Identifier: Apache-2.0
"""A process that sends while no broker is there, and what that costs it.

Arguments: URL, how many notifications, the bytes of each payload. Prints one line of JSON:
``sent``, ``refused`` (how many sends raised which error), ``longest_s`` (of one send),
``per_second`` (sends), ``grown_bytes`` (of the memory, at its most, since the first send),
``in_outbox``; and, when the transport is closed, another one: ``failed``, how many delivery
reports told of a failure. For the figures of ``doc/source/guarantees.rst``::

    python tests/scenarios/workers/away.py 'kafka://127.0.0.1:1/?outbox=always' 200000 500
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter

import kafka_notify
from kafka_notify.errors import DeliveryError


def memory_bytes() -> int:
    """Return the most memory that the process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Send, and print."""
    url, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    payload = {"instance_id": "42", "text": "x" * size}
    failed: list[bool] = []
    transport = kafka_notify.get_notification_transport(
        url=url, on_delivery=lambda report: failed.append(True) if report.error else None
    )
    notifier = kafka_notify.Notifier(transport, "compute.host1", topics=["away"], retry=0)
    refused: Counter[str] = Counter()
    longest_s = 0.0
    before, first = 0, time.monotonic()
    for _ in range(count):
        began = time.monotonic()
        try:
            notifier.info({}, "compute.instance.update", payload)
        except DeliveryError as error:
            refused[type(error).__name__] += 1
        longest_s = max(longest_s, time.monotonic() - began)
        before = before or memory_bytes()
    figures = {
        "sent": transport.stats()["sent"],
        "refused": refused,
        "longest_s": round(longest_s, 3),
        "per_second": round(count / (time.monotonic() - first)),
        "grown_bytes": memory_bytes() - before,
        "in_outbox": transport.stats()["outbox_records"],
    }
    print(json.dumps(figures), flush=True)
    transport.cleanup()
    print(json.dumps({"failed": len(failed)}), flush=True)


main()
