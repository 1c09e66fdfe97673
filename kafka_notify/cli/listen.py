# SPDX-License-Identifier: Apache-2.0
"""``kafka-notify listen``: print notifications as they come, one JSON object per line."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import select
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
from cliff.command import Command

import kafka_notify
from kafka_notify.cli.arguments import (
    NamedPattern,
    add_connection,
    positive_number,
    topics_of,
    transport_of,
    whole_number,
)
from kafka_notify.cli.exit_codes import ExitCode
from kafka_notify.cli.tables import terminal_of
from kafka_notify.core.message import PRIORITIES

_LOOK_EVERY_S = 0.2
# One worker: lines of one key come in order. One at a time, with a pool that others share:
# nothing is taken from them that is not printed.
_IN_ORDER = {"executor_thread_pool_size": 1}
_ONE_AT_A_TIME = {"max_poll_records": 1, "dispatch_window": 1}


class Listen(Command):
    """Print notifications, one JSON object per line

    stdout gets priority, publisher_id, event_type, payload, ctxt and metadata of each; stderr says
    'Listening' as soon as nothing that is sent from then on can be missed. Topics that do not
    exist are created.

    Without --pool the command has a pool of its own and takes nothing away from anybody. With
    --pool it shares the notifications with the other listeners of that pool, services included:
    what it takes they do not get, also what its filters reject. --pool with --count takes one
    notification at a time, and exactly so many as it prints or filters out.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        add_connection(parser)
        _add_choice(parser)
        parser.add_argument("--pool", help="the pool to join (default: one of its own)")
        parser.add_argument(
            "--from-beginning",
            action="store_true",
            help="begin a new pool with all that the topics still hold, not with what comes",
        )
        parser.add_argument(
            "--count", type=whole_number(1), metavar="N", help="end after N notifications"
        )
        parser.add_argument(
            "--timeout",
            type=positive_number,
            metavar="S",
            help="end after S seconds; with --count not reached, the exit code is 4",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print until the count, the time or the reader's interest is over."""
        terminal = terminal_of(self.app_args)
        pool = parsed_args.pool or f"kafka-notify-listen-{secrets.token_hex(4)}"
        overrides: dict[str, object] = dict(_IN_ORDER)
        if parsed_args.pool and parsed_args.count:
            overrides.update(_ONE_AT_A_TIME)
        if parsed_args.from_beginning:
            overrides["group_start"] = "beginning"
        with transport_of(parsed_args, **overrides) as transport:
            topics = topics_of(parsed_args.topic, transport)
            printer = _Printer(parsed_args, count=parsed_args.count)
            listener = kafka_notify.get_notification_listener(
                transport, [kafka_notify.Target(topic=topic) for topic in topics], [printer], pool=pool
            )
            printer.on_done = listener.stop
            began = time.monotonic()
            listener.start()
            terminal.say(
                f"Listening on {transport.address}, topics {', '.join(topics)}, pool {pool}"
                + ("" if parsed_args.pool else " (its own)")
            )
            try:
                printer.wait(parsed_args.timeout)
            finally:
                listener.stop()
                listener.wait()
                terminal.say(printer.summary(time.monotonic() - began))
        return printer.exit_code


def _add_choice(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to listen to")
    group.add_argument(
        "--topic",
        action="append",
        help="without the priority; can be repeated (notifications, or what a --config-file says)",
    )
    group.add_argument(
        "--priority",
        action="append",
        type=str.lower,
        choices=PRIORITIES,
        help="can be repeated (all)",
    )
    group.add_argument("--publisher-id", metavar="RE", help="only from publishers that match")
    group.add_argument("--event-type", metavar="RE", help="only of event types that match")
    for what in ("payload", "context", "metadata"):
        group.add_argument(
            f"--{what}-filter",
            action=NamedPattern,
            metavar="NAME=RE",
            help=f"only with a field of the {what} that matches; can be repeated, all must match",
        )
