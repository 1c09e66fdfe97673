# SPDX-License-Identifier: Apache-2.0
"""OPAL over Kafka: the broadcast backend for its servers, its schemas, and a relay of our own.

``kafka_notify.opal:app`` is OPAL's server on this backend, for uvicorn, gunicorn, and the
``UVICORN_ASGI_APP`` of its image. ``KafkaBroadcast`` is what fastapi_websocket_pubsub's
``EventBroadcaster(broadcast_type=…)`` takes. Importing this imports neither OPAL nor a web
framework.
"""

from __future__ import annotations

from typing import Any

from kafka_notify.opal.broadcast import KafkaBroadcast

__all__ = ["KafkaBroadcast", "app"]


def __getattr__(name: str) -> Any:
    """Make ``app`` when it is asked for: OPAL's server, on this backend."""
    if name == "app":
        from kafka_notify.opal.server import create_app

        made = globals()["app"] = create_app()
        return made
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
