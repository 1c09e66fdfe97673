# SPDX-License-Identifier: Apache-2.0
"""Sends by the configuration file of each service, receives by that of the first one.

All by oslo.messaging. ``exchange.py TOPIC FILE…`` prints ``got NAME`` for each file whose
notification has arrived.
"""

from __future__ import annotations

import argparse
import queue
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


def transport_of(path: Path) -> oslo_messaging.Transport:
    """Return the transport for notifications that the service with this file would use."""
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[str(path)])
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
    for path in parsed.files:
        send(parsed.topic, path)
    for _ in parsed.files:
        print("got", endpoint.publishers.get(timeout=120), flush=True)
    listener.stop()
    listener.wait()


if __name__ == "__main__":
    main()
