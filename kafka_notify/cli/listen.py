# SPDX-License-Identifier: Apache-2.0
"""``kafka-notify listen``: print notifications as they come, one JSON object per line."""

from __future__ import annotations

import argparse
import json
import math
import secrets
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

import kafka_notify
from kafka_notify.cli.arguments import (
    NamedPattern,
    add_connection,
    positive_number,
    topics_of,
    transport_of,
    whole_number,
)
from kafka_notify.cli.base import PlainCommand
from kafka_notify.cli.exit_codes import ExitCode
from kafka_notify.cli.health import Health
from kafka_notify.cli.terminal import discard_stdout, stdout_is_read
from kafka_notify.core.message import PRIORITIES
from kafka_notify.errors import BrokerUnavailable

_LOOK_EVERY_S = 0.2
# One worker, so that lines of one publisher come in their order.
_IN_ORDER: dict[str, Any] = {"workers": 1}
# Whoever only looks leaves no dead letters behind.
_ONLY_LOOKING: dict[str, Any] = {"dead_letter": False, "commit_policy": "before_dispatch"}
_ONE_AT_A_TIME: dict[str, Any] = {"max_poll_records": 1, "dispatch_window": 1}


class Listen(PlainCommand):
    """Print notifications, one JSON object per line.

    stdout gets priority, publisher_id, event_type, payload, ctxt and metadata
    of each; stderr says 'Listening' as soon as nothing that is sent from then
    on can be missed. Topics that do not exist are created.

    Without --pool the command has a pool of its own, with a name that is used
    once, and takes nothing away from anybody. The offsets of such a pool stay
    on Kafka until it forgets them (offsets.retention.minutes of the brokers, a
    week by default), or until kafka-consumer-groups.sh --delete removes them.

    With --pool it shares the notifications with the other listeners of that
    pool, services included: they do not get what it takes, nor what its
    filters reject. It then takes one notification at a time, so that those
    beyond --count stay for the others.
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
            help="end S seconds after the command began. Connecting and joining the pool are "
            "included (not done by then: exit code 3), leaving the pool may take 5 more; with "
            "--count not reached, the exit code is 4",
        )
        parser.add_argument(
            "--health-port",
            type=whole_number(1, 65535),
            metavar="PORT",
            help="answer GET /live (503 for what a restart would mend, such as an output that is "
            "stuck) and GET /ready (200 from 'Listening' on) there, on all addresses, for probes",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print until the count, the time or the reader's interest is over."""
        timeout_s = math.inf if parsed_args.timeout is None else parsed_args.timeout
        deadline = time.monotonic() + timeout_s
        pool = parsed_args.pool or f"kafka-notify-listen-{secrets.token_hex(4)}"
        overrides = {**_IN_ORDER, **(_ONE_AT_A_TIME if parsed_args.pool else _ONLY_LOOKING)}
        if parsed_args.from_beginning:
            overrides["group_start"] = "beginning"
        with (
            _Watch(parsed_args.health_port) as watch,
            transport_of(parsed_args, deadline=deadline, **overrides) as transport,
        ):
            topics = topics_of(parsed_args.topic, transport)
            printer = _Printer(parsed_args)
            listener = kafka_notify.get_notification_listener(
                transport,
                [kafka_notify.Target(topic=topic) for topic in topics],
                [printer],
                pool=pool,
            )
            printer.on_done = listener.stop
            _start(listener, deadline)
            watch.begin(listener)
            self.terminal.say(
                f"Listening to {', '.join(topics)} at {transport.address}, pool {pool}"
                + ("" if parsed_args.pool else " (its own)")
            )
            try:
                printer.wait(deadline)
            finally:
                listener.stop()
                listener.wait()
                self.terminal.say(printer.summary(transport.stats()["undecodable"]))
        if printer.problem:
            self.app.LOG.error("stdout: %s", printer.problem)
        return printer.exit_code


class _Watch:
    """Tells probes how the listener is, from the start of the command on, if there is a port."""

    def __init__(self, port: int | None) -> None:
        self._listener: kafka_notify.NotificationListener | None = None
        self._health = None if port is None else Health(port, self._problems)

    def _problems(self) -> list[str]:
        return [] if self._listener is None else self._listener.problems()

    def begin(self, listener: kafka_notify.NotificationListener) -> None:
        """Say from now on how this listener, which has started, is."""
        self._listener = listener
        if self._health is not None:
            self._health.ready()

    def __enter__(self) -> _Watch:
        if self._health is not None:
            self._health.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._health is not None:
            self._health.__exit__(*exc)


def _start(listener: kafka_notify.NotificationListener, deadline: float) -> None:
    """Start it. Raises what its ``start`` does, and names --timeout where that was the bound."""
    try:
        listener.start()
    except BrokerUnavailable as error:
        if time.monotonic() < deadline:
            raise
        raise BrokerUnavailable(
            f"{error}; that is what --timeout left for it: give it more",
            code=error.code,
            retriable=error.retriable,
        ) from error


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
        metavar="PRIORITY",
        help=f"{', '.join(PRIORITIES)}; can be repeated (all)",
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


class _Printer:
    """The endpoint: writes a line for each notification. One worker calls it.

    Attributes:
        on_done: Called once, in the worker, when enough is printed or nobody reads any more.
        problem: Why stdout takes nothing more; empty if it does, or if its reader has gone.
    """

    def __init__(self, parsed: argparse.Namespace) -> None:
        self.on_done: Callable[[], None] = lambda: None
        self.problem = ""
        self.filter_rule = kafka_notify.NotificationFilter(
            publisher_id=parsed.publisher_id,
            event_type=parsed.event_type,
            context=parsed.context_filter,
            payload=parsed.payload_filter,
            metadata=parsed.metadata_filter,
        )
        # A listener finds the priorities that an endpoint wants by its methods.
        for priority in parsed.priority or PRIORITIES:
            setattr(self, priority, partial(self._take, priority))
        self._shared = parsed.pool is not None
        self._count: int | None = parsed.count
        self._printed = 0
        self._unprinted = 0
        self._reader_gone = False
        self._done = threading.Event()

    def _take(
        self,
        priority: str,
        ctxt: dict[str, Any],
        publisher_id: str,
        event_type: str,
        payload: Any,
        metadata: dict[str, Any],
    ) -> None:
        if self._done.is_set():
            self._unprinted += 1
            return
        fields = {
            "priority": priority,
            "publisher_id": publisher_id,
            "event_type": event_type,
            "payload": payload,
            "ctxt": ctxt,
            "metadata": metadata,
        }
        try:
            sys.stdout.buffer.write(_line(fields))
            sys.stdout.buffer.flush()
        except OSError as error:
            self._unprinted += 1
            discard_stdout()
            self._reader_gone = isinstance(error, BrokenPipeError)
            self.problem = "" if self._reader_gone else str(error)
            self._end()
            return
        self._printed += 1
        if self._printed == self._count:
            self._end()

    def _end(self) -> None:
        self._done.set()
        self.on_done()

    def wait(self, deadline: float) -> None:
        """Return when enough is printed, the time is over, or nobody reads any more."""
        while not self._done.wait(min(_LOOK_EVERY_S, max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                return
            if not stdout_is_read():
                # Noticed before the next notification is taken, which nobody would see.
                self._reader_gone = True
                return

    def summary(self, undecodable: int) -> str:
        """Tell what was printed and what was not."""
        parts = [f"Notifications printed: {self._printed}"]
        if self._reader_gone:
            parts.append("nobody reads stdout any more")
        if self._shared and self._unprinted:
            parts.append(f"taken from the pool and not printed: {self._unprinted}")
        if undecodable:
            parts.append(f"records skipped that are no notifications: {undecodable}")
        return "; ".join(parts)

    @property
    def exit_code(self) -> ExitCode:
        """How the command ends."""
        if self.problem:
            return ExitCode.INCOMPLETE
        missing = self._count is not None and self._printed < self._count
        return ExitCode.TIMEOUT if missing and not self._reader_gone else ExitCode.DONE


def _line(fields: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(fields) + b"\n"
    except TypeError:
        # What only Python's json reads: a lone surrogate, a huge number.
        return json.dumps(fields).encode() + b"\n"
