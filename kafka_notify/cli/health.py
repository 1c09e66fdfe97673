# SPDX-License-Identifier: Apache-2.0
"""What a probe asks a command over HTTP: whether it lives, and whether it is at work.

Must not know what the command does: that is asked by a function.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from kafka_notify.errors import ConfigurationError
from kafka_notify.native import threading

_REQUEST_S = 2.0  # a client that says nothing holds up the next one for so long
_POLL_S = 0.2


class Health:
    """Answers ``GET /live`` and ``GET /ready`` on a port while it is entered.

    ``/live`` is 200 while ``problems()`` returns nothing, else 503 with its lines: what a restart
    would mend. ``/ready`` is 200 in addition only from ``ready`` on. Neither tells whether Kafka
    is there: a restart brings it back no sooner.

    It listens on all addresses, because the probes of Kubernetes come to the pod's.

    Threads: requests are answered one by one in a thread of its own, which calls ``problems``.
    """

    def __init__(self, port: int, problems: Callable[[], list[str]]) -> None:
        self._problems = problems
        self._ready = False
        try:
            self._server = _Server(port, self)
        except OSError as error:
            raise ConfigurationError(
                f"port {port} cannot be listened on ({error.strerror}): give another --health-port"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": _POLL_S},
            name="kafka-notify-health",
            daemon=True,
        )

    @property
    def port(self) -> int:
        """The port that it listens on: one that is free, if 0 was asked for."""
        return int(self._server.socket.getsockname()[1])

    def ready(self) -> None:
        """Answer 200 to ``/ready`` from now on."""
        self._ready = True

    def answer(self, path: str) -> tuple[HTTPStatus, str]:
        """Return the status and the text of the answer to a request."""
        if path not in ("/live", "/ready"):
            return HTTPStatus.NOT_FOUND, "ask for /live or /ready"
        problems = self._problems()
        if path == "/ready" and not self._ready:
            problems = [*problems, "not listening yet"]
        if problems:
            return HTTPStatus.SERVICE_UNAVAILABLE, "\n".join(problems)
        return HTTPStatus.OK, "ok"

    def __enter__(self) -> Health:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Answer no more. Blocks for the request that is being answered, if there is one."""
        self._server.shutdown()
        self._thread.join(_POLL_S + 2 * _REQUEST_S)
        self._server.server_close()


class _Server(HTTPServer):
    request_queue_size = 16

    def __init__(self, port: int, health: Health) -> None:
        self.health = health
        both = socket.has_dualstack_ipv6()
        self.address_family = socket.AF_INET6 if both else socket.AF_INET
        super().__init__(("::" if both else "0.0.0.0", port), _Handler)  # noqa: S104 - see Health

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Not HTTPServer's, which asks a name server for the host's name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a client that goes away in the middle of its request."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _REQUEST_S
    server: _Server

    def do_GET(self) -> None:
        status, text = self.server.health.answer(self.path)
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep stderr for what a command has to say."""
