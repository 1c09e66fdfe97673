# SPDX-License-Identifier: Apache-2.0
"""A service that notifies, over whichever URL it is given.

Arguments: URL, topic, publisher. Each line on stdin, ``FIRST LAST``, has it send the numbers from
the first to before the last; it prints ``sent LAST``. Ends with its stdin, or on ``end``.
"""

from __future__ import annotations

import sys

import oslo_messaging  # type: ignore[import-untyped]
from oslo_config import cfg

url, topic, publisher = sys.argv[1:]
conf = cfg.ConfigOpts()
conf([])
transport = oslo_messaging.get_notification_transport(conf, url)
notifier = oslo_messaging.Notifier(transport, publisher, driver="messagingv2", topics=[topic])
for line in iter(sys.stdin.readline, "end\n"):
    if not line:
        break
    first, last = map(int, line.split())
    for number in range(first, last):
        notifier.info({}, "event", number)
    print("sent", last)
transport.cleanup()
