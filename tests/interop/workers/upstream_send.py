# SPDX-License-Identifier: Apache-2.0
"""oslo.messaging's own notifier. Arguments: URL, topic."""

from __future__ import annotations

import sys
from typing import Any

import oslo_messaging  # type: ignore[import-untyped]
from oslo_config import cfg

url, topic = sys.argv[1:]


class Context:
    """A request context, as services have them: it knows what of it may travel."""

    def __init__(self, **fields: str) -> None:
        self._fields = fields

    def redacted_copy(self) -> Context:
        """Return a copy without the token."""
        return Context(**{name: text for name, text in self._fields.items() if name != "token"})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return dict(self._fields)


conf = cfg.ConfigOpts()
conf([])
transport = oslo_messaging.get_notification_transport(conf, url)
for driver in ("messaging", "messagingv2"):
    notifier = oslo_messaging.Notifier(transport, "upstream.host", driver=driver, topics=[topic])
    context = Context(project_id="p1", token="s3cret")
    for priority in ("info", "error", "warn"):
        payload = {"driver": driver, "text": "Ωmega", "list": [1, None, 2.5], "map": {"a": True}}
        getattr(notifier, priority)(context, f"upstream.{priority}", payload)
transport.cleanup()
