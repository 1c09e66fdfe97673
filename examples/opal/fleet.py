# SPDX-License-Identifier: Apache-2.0
"""An OPAL fleet on Kafka without containers: two servers, a client, a stand-in for OPA.

What docker/docker-compose-with-kafka-example.yml runs, as processes on this machine::

    python3.11 -m venv venv && venv/bin/pip install 'opal-server==0.9.9' 'opal-client==0.9.9' \
        'kafka-notify[broker,cli]'
    venv/bin/python examples/opal/fleet.py

An update goes to the second server, the client is at the first. ``--brokers host:9092`` takes a
Kafka that is there, ``--stock 1`` (or 2) OPAL's own backend for one of the servers, ``--keep``
lets all of it run until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
OURS = "kafka_notify.opal:app"
STOCK = "opal_server.main:app"
START_S = 240.0  # OPAL imports for seconds, on a busy machine for minutes
LOOK_S = 0.1


class FleetError(Exception):
    """Raised when something does not come up, or does not happen in time."""


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, predicate: Callable[[], Any], timeout_s: float) -> Any:
    """Return the predicate's first true result; raise FleetError after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = predicate()
        if found:
            return found
        if time.monotonic() > deadline:
            raise FleetError(f"not within {timeout_s:g} s: {what}")
        time.sleep(LOOK_S)  # noqa: TID251 - it polls other processes


def call(
    url: str, body: Any = None, *, headers: Mapping[str, str] | None = None, timeout_s: float = 30
) -> tuple[int, Any]:
    """Return status and JSON of a GET, or of a POST if there is a body; 0 without an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 - our own servers
        url, data, {"content-type": "application/json", **(headers or {})}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - as above
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with contextlib.suppress(ValueError):
            return error.code, json.loads(error.read() or b"null")
        return error.code, None
    except OSError:
        return 0, None


class HttpServer(ThreadingHTTPServer):
    """Says nothing of those who go away without a goodbye."""

    def handle_error(self, *_: object) -> None:
        """Be silent."""


class Opa:
    """What OPA is to a client: it keeps data by path. It is a data source, too: ``/source/…``."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.writes: list[tuple[str, Any]] = []
        opa = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Be silent."""

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, found = opa.answer(self.command, self.path.partition("?")[0], body)
                text = b"" if found is None else json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815 - its names

        self._server = HttpServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return status and JSON."""
        if path.startswith("/source/"):
            return 200, {"from_source": path}
        if not path.startswith("/v1/data"):
            return 200, {"result": []}
        key = path.removeprefix("/v1/data")
        if method == "PUT":
            self.data[key] = json.loads(body)
            self.writes.append((key, self.data[key]))
            return 204, None
        if method in ("PATCH", "DELETE"):
            return 204, None
        return 200, {"result": self.data.get(key, {})}

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class Process:
    """A server of the fleet, in a session of its own, with its log in a file."""

    def __init__(
        self, name: str, command: list[str], *, folder: Path, env: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **env},
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        """What it has logged so far."""
        return self.log.read_text(errors="replace")

    def await_answer(self, url: str, timeout_s: float = START_S) -> None:
        """Return when it answers 200; raise FleetError with the end of its log otherwise."""

        def up() -> bool:
            if self.process.poll() is not None:
                raise FleetError(f"{self.name} has ended:\n{self.text[-3000:]}")
            return call(url, timeout_s=5)[0] == 200

        try:
            wait_for(f"{self.name} at {url}", up, timeout_s)
        except FleetError as error:
            raise FleetError(f"{error}\n{self.text[-3000:]}") from error

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        """Send a signal, and return the code; kill it after ``timeout_s``."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise FleetError(f"{self.name} did not end:\n{self.text[-3000:]}") from None

    def kill(self) -> None:
        """End it, and what it has started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Fleet:
    """Servers and clients on one backbone; a context manager that leaves nothing behind.

    An error that leaves the block has their logs printed.
    """

    def __init__(self, brokers: str, *, channel: str = "EventNotifier", options: str = "") -> None:
        """``options`` are a query for the URL of our servers, which the stock ones get without."""
        self.brokers = brokers
        self.channel = channel
        self.options = options
        self.opa = Opa()
        self._processes: list[Process] = []
        self._open = contextlib.ExitStack()
        self.folder = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        self._open.callback(self.opa.close)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for process in self._processes:
                print(f"--- {process.name}:\n{process.text[-20_000:]}", file=sys.stderr)
        self._open.close()

    def _started(self, process: Process) -> Process:
        self._processes.append(process)
        self._open.callback(process.kill)
        return process

    def server(
        self,
        name: str,
        *,
        app: str = OURS,
        workers: int = 0,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Server:
        """Start an OPAL server, under gunicorn if it is to have workers; it is not up yet."""
        port = port or free_port()
        query = f"/?{self.options}" if self.options and app == OURS else ""
        command = [sys.executable, "-m", "uvicorn", app, "--host", HOST, "--port", str(port)]
        if workers:
            command = [
                sys.executable, "-m", "gunicorn", app, "--bind", f"{HOST}:{port}",
                "--workers", str(workers), "--worker-class", "uvicorn.workers.UvicornWorker",
                "--timeout", str(int(START_S)),
            ]  # fmt: skip
        settings = {
            "OPAL_BROADCAST_URI": f"kafka://{self.brokers}{query}",
            "OPAL_BROADCAST_CHANNEL_NAME": self.channel,
            "OPAL_REPO_WATCHER_ENABLED": "false",
            "OPAL_LEADER_LOCK_FILE_PATH": str(self.folder / f"{name}.lock"),
            "OPAL_POLICY_REPO_CLONE_PATH": str(self.folder / f"{name}.clone"),
            "OPAL_AUTH_JWKS_STATIC_DIR": str(self.folder / f"{name}.jwks"),
            "OPAL_DATA_CONFIG_SOURCES": '{"config":{"entries":[]}}',
            "OPAL_STATISTICS_ENABLED": "false",
            "OPAL_LOG_MODULE_EXCLUDE_LIST": "[]",
            "DD_TRACE_ENABLED": "false",
            **(env or {}),
        }
        process = Process(name, command, folder=self.folder, env=settings)
        return Server(self._started(process), f"http://{HOST}:{port}")

    def client(self, server_url: str, *, topics: str = "policy_data") -> Process:
        """Start an OPAL client at a server, whose OPA is ours; it is not up yet."""
        port = free_port()
        settings = {
            "OPAL_SERVER_URL": server_url,
            "OPAL_INLINE_OPA_ENABLED": "false",
            "OPAL_POLICY_STORE_URL": self.opa.url,
            "OPAL_POLICY_UPDATER_ENABLED": "false",
            "OPAL_DATA_TOPICS": topics,
            "OPAL_OPA_HEALTH_CHECK_POLICY_ENABLED": "false",
            "OPAL_SHOULD_REPORT_ON_DATA_UPDATES": "true",
            "OPAL_STORE_BACKUP_PATH": str(self.folder / "backup.json"),
            "OPAL_LOG_MODULE_EXCLUDE_LIST": "[]",
            "DD_TRACE_ENABLED": "false",
        }
        command = [
            sys.executable, "-m", "uvicorn", "opal_client.main:app", "--host", HOST,
            "--port", str(port),
        ]  # fmt: skip
        return self._started(Process("client", command, folder=self.folder, env=settings))


class Server:
    """An OPAL server, or a relay."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url

    @property
    def ws(self) -> str:
        """Where clients connect."""
        return f"{self.url.replace('http', 'ws', 1)}/ws"

    def await_up(self) -> None:
        """Return when it answers."""
        self.process.await_answer(f"{self.url}/healthcheck")

    def await_subscriber(self, topic: str) -> None:
        """Return when a client has subscribed to a topic, and the backbone is read."""

        def there() -> bool:
            _, clients = call(f"{self.url}/pubsub_client_info")
            return any(topic in one["subscribed_topics"] for one in (clients or {}).values())

        wait_for(f"a subscriber of {topic} at {self.url}", there, START_S)

    def post(self, path: str, data: Any, **fields: Any) -> tuple[int, Any]:
        """Post an update with data inline."""
        entry = {"url": "", "data": data, "topics": ["policy_data"], "dst_path": path}
        return call(f"{self.url}/data/config", {"entries": [{**entry, **fields}]})


@contextlib.contextmanager
def kafka(brokers: str) -> Iterator[str]:
    """Yield the address of a Kafka: the one that is named, or one of the [broker] extra."""
    if brokers:
        yield brokers
        return
    from kafka_notify.broker import Cluster

    with Cluster(nodes=1, on_progress=print) as cluster:
        yield cluster.bootstrap


def main() -> int:
    """Run the fleet, send an update, tell whether it arrived."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--brokers", default="", help="host:port[,…] of a Kafka that is there")
    parser.add_argument("--channel", default="EventNotifier", help="the backbone's topic")
    parser.add_argument("--stock", type=int, choices=(1, 2), help="this server on OPAL's backend")
    parser.add_argument("--keep", action="store_true", help="until Ctrl-C")
    asked = parser.parse_args()
    with kafka(asked.brokers) as brokers, Fleet(brokers, channel=asked.channel) as fleet:
        apps = [STOCK if asked.stock == number else OURS for number in (1, 2)]
        servers = [fleet.server(f"server-{n}", app=app) for n, app in enumerate(apps, 1)]
        for server in servers:
            server.await_up()
        fleet.client(servers[0].url)
        servers[0].await_subscriber("policy_data")
        began = time.monotonic()
        path = "/users/bob/location"
        data = {"city": "Berlin"}
        update = [*_publish(servers[1].url), "--data", json.dumps(data), "--dst-path", path]
        subprocess.run(update, check=True)
        wait_for(f"{path} in OPA", lambda: fleet.opa.data.get(path) == data, START_S)
        print(f"{path} is in OPA after {time.monotonic() - began:.2f} s")
        print("server 2 says:", _said(servers[1], "Broadcasting incoming event"))
        if asked.keep:
            print(f"servers: {servers[0].url} {servers[1].url}; OPA: {fleet.opa.url}; Ctrl-C ends")
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    return 0


def _publish(server_url: str) -> list[str]:
    command = [sys.executable, "-m", "kafka_notify", "publish-data-update"]
    return [*command, "--server-url", server_url, "--src-url", "", "-t", "policy_data"]


def _said(server: Server, text: str) -> str:
    lines = [line for line in server.process.text.splitlines() if text in line]
    return lines[-1].strip() if lines else f"nothing with {text!r}"


if __name__ == "__main__":
    sys.exit(main())
