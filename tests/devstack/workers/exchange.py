# SPDX-License-Identifier: Apache-2.0
"""Sends by the configuration file of each service, receives by that of the first one.

All by oslo.messaging. ``exchange.py TOPIC FILE…`` prints ``got NAME`` for each file whose
notification has arrived, and ``lost NAME`` for each that is sent anew because it has not.
"""

from __future__ import annotations

import argparse
import contextlib
import queue
import tempfile
from pathlib import Path
from typing import Any

import oslo_messaging
from oslo_config import cfg


class Endpoint:
    """Keeps who has sent what arrives."""

    def __init__(self) -> None:
        self.publishers: queue.Queue[str] = queue.Queue()

    def info(self, _ctxt: Any, publisher_id: str, *_: Any) -> None:
        """Take one notification."""
        self.publishers.put(publisher_id)


# The machine may be busy. Upstream's driver has these options not, and does not mind them.
PATIENCE = "[oslo_messaging_kafka]\nconnect_timeout = 120\nstart_timeout = 600\n"
ROUND_S = 60.0
ROUNDS = 10


def transport_of(path: Path) -> oslo_messaging.Transport:
    """Return the transport for notifications that the service with this file would use."""
    conf = cfg.ConfigOpts()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as patience:
        patience.write(PATIENCE)
        patience.flush()
        conf([], default_config_files=[str(path), patience.name])
    return oslo_messaging.get_notification_transport(conf)


def send(topic: str, path: Path) -> None:
    """Send one notification, and return when Kafka has it."""
    transport = transport_of(path)
    notifier = oslo_messaging.Notifier(
        transport, publisher_id=path.stem, driver="messagingv2", topics=[topic], retry=5
    )
    notifier.info({}, "exchange", {"file": path.name})
    transport.cleanup()


def main() -> None:
    """Send and receive."""
    parser = argparse.ArgumentParser()
    parser.add_argument("topic")
    parser.add_argument("files", nargs="+", type=Path)
    parsed = parser.parse_args()
    endpoint = Endpoint()
    transport = transport_of(parsed.files[0])
    listener = oslo_messaging.get_notification_listener(
        transport,
        [oslo_messaging.Target(topic=parsed.topic)],
        [endpoint],
        executor="threading",
        pool="exchange",
    )
    listener.start()
    missing = {path.stem: path for path in parsed.files}
    for number in range(ROUNDS):
        for name, path in missing.items():
            if number:
                print("lost", name, flush=True)
            send(parsed.topic, path)
        with contextlib.suppress(queue.Empty):
            while missing:
                arrived = endpoint.publishers.get(timeout=ROUND_S)
                if missing.pop(arrived, None):
                    print("got", arrived, flush=True)
        if not missing:
            break
    listener.stop()
    listener.wait()


if __name__ == "__main__":
    main()
