# SPDX-License-Identifier: Apache-2.0
"""``kafka-notify notify``: send notifications, and tell which of them Kafka has confirmed."""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

import kafka_notify
from kafka_notify.cli.arguments import add_connection, positive_number, topics_of, transport_of
from kafka_notify.cli.base import Row, TableCommand
from kafka_notify.cli.exit_codes import ExitCode
from kafka_notify.cli.sources import BadLine, Defaults, Draft, parse_payload, read_drafts
from kafka_notify.cli.terminal import ShowProgress
from kafka_notify.core.message import PRIORITIES
from kafka_notify.errors import (
    ConfigurationError,
    DeliveryRefused,
    SendBufferFull,
    SerializationError,
)

_FLUSH_S = 0.2
# What cleaning up may add to --timeout, and what Ctrl-C leaves to records on their way.
_CLOSE_TIMEOUT_S = 2


class Notify(TableCommand):
    """Send notifications and show how many Kafka has confirmed.

    Either one notification, from --event-type and --payload, or those of
    --file: one JSON object per line with priority, publisher_id, event_type,
    payload and optionally ctxt, as 'kafka-notify listen' writes them. What a
    line leaves out comes from the arguments. A line that is no notification is
    named on stderr and costs itself only. Of a ctxt travel the fields that
    oslo.context takes for safe, never a token.

    The table: sent (records handed to the client), confirmed (Kafka has them),
    failed (sent and not confirmed), refused (lines and notifications that were
    not sent at all).
    """

    columns = ("sent", "confirmed", "failed", "refused")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        add_connection(parser)
        what = parser.add_argument_group("what to send")
        source = what.add_mutually_exclusive_group()
        source.add_argument(
            "--payload", default="{}", metavar="JSON", help="the payload of one notification ({})"
        )
        source.add_argument("--file", metavar="FILE", help="JSON lines; - is stdin")
        what.add_argument("--event-type", help="such as compute.instance.create.end")
        what.add_argument(
            "--publisher-id",
            default=f"kafka-notify.{socket.gethostname()}",
            help="who sends (%(default)s)",
        )
        what.add_argument(
            "--priority",
            type=str.lower,
            choices=PRIORITIES,
            default="info",
            metavar="PRIORITY",
            help=f"{', '.join(PRIORITIES)} (info)",
        )
        what.add_argument(
            "--topic", help="without the priority (notifications, or what a --config-file says)"
        )
        parser.add_argument(
            "--timeout",
            type=positive_number,
            default=30.0,
            metavar="S",
            help="seconds to wait for delivery reports after the last notification (30); what has "
            "none by then counts as failed. Connecting comes before, bounded by the option "
            "connect_timeout",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[Row]]:
        """Send, wait for the delivery reports, return the counts."""
        with ExitStack() as stack:
            drafts = _drafts(parsed_args, stack)
            show = stack.enter_context(self.terminal.progress())
            transport = stack.enter_context(
                transport_of(parsed_args, delivery="report", close_timeout=_CLOSE_TIMEOUT_S)
            )
            sending = _Sending(transport, topic=parsed_args.topic, show=show)
            try:
                sending.send_all(drafts, on_refused=self.app.LOG.error)
                sending.wait_for_reports(parsed_args.timeout)
            except KeyboardInterrupt:
                self.terminal.say(f"Interrupted; {sending.summary()}")
                raise
        # Only now every record has its report.
        row = sending.counts()
        if row[-2:] != (0, 0):
            self.exit_code = ExitCode.INCOMPLETE
        return self.columns, [row]


class _Sending:
    """One run of the command over one transport."""

    def __init__(
        self,
        transport: kafka_notify.NotificationTransport,
        *,
        topic: str | None,
        show: ShowProgress,
    ) -> None:
        self._transport = transport
        self._notifier = kafka_notify.Notifier(
            transport,
            # Never the driver that a configuration names: 'noop' would send nothing, in silence.
            driver="messagingv2",
            topics=topics_of(topic and [topic], transport),
        )
        self._show = show
        self._shown_at = 0.0
        self._all_handed_over = False
        self._refused = 0

    def send_all(
        self, drafts: Iterable[Draft | BadLine], *, on_refused: Callable[[object], None]
    ) -> None:
        """Hand all to the client; what is refused costs itself only.

        A client that takes nothing any more ends it.
        """
        for draft in drafts:
            try:
                self._send(draft)
            except (BadLine, DeliveryRefused, SerializationError) as error:
                self._refused += 1
                on_refused(_located(draft, error))
            except SendBufferFull as error:
                self._refused += 1
                on_refused(
                    f"{_located(draft, error)}; given up here, what comes after is not sent"
                )
                return
            self._show_counts(at_most_every_s=0.1)

    def _send(self, draft: Draft | BadLine) -> None:
        if isinstance(draft, BadLine):
            raise draft
        notifier = self._notifier.prepare(publisher_id=draft.publisher_id)
        getattr(notifier, draft.priority)(draft.ctxt, draft.event_type, draft.payload)

    def wait_for_reports(self, timeout_s: float) -> None:
        """Return when each record has its delivery report, or the time is over."""
        self._all_handed_over = True
        deadline = time.monotonic() + timeout_s
        while (remaining := deadline - time.monotonic()) > 0:
            left = self._transport.flush(min(remaining, _FLUSH_S))
            self._show_counts()
            if not left:
                return

    def counts(self) -> tuple[int, int, int, int]:
        """Return what is sent, confirmed, failed (or not confirmed yet) and refused."""
        counts = self._transport.stats()
        sent, confirmed = counts["sent"], counts["confirmed"]
        return sent, confirmed, sent - confirmed, self._refused

    def summary(self) -> str:
        """Return the counts in words."""
        return "{} sent, {} of them confirmed so far".format(*self.counts())

    def _show_counts(self, at_most_every_s: float = 0.0) -> None:
        now = time.monotonic()
        if now - self._shown_at >= at_most_every_s:
            self._shown_at = now
            sent, confirmed, *_ = self.counts()
            self._show("sent", sent, sent if self._all_handed_over else None)
            self._show("confirmed", confirmed, sent)


def _located(draft: Draft | BadLine, error: Exception) -> str:
    if isinstance(draft, Draft) and draft.line:
        return f"line {draft.line}: {error}"
    return str(error)


def _drafts(parsed: argparse.Namespace, stack: ExitStack) -> Iterable[Draft | BadLine]:
    """Return what is to be sent; the stack closes the file. Raises ConfigurationError."""
    if parsed.file is None:
        if not parsed.event_type:
            raise ConfigurationError("--event-type is needed, or a --file that has them")
        payload = parse_payload(parsed.payload)
        return [
            Draft(
                priority=parsed.priority,
                publisher_id=parsed.publisher_id,
                event_type=parsed.event_type,
                payload=payload,
                ctxt={},
            )
        ]
    defaults = Defaults(
        priority=parsed.priority,
        publisher_id=parsed.publisher_id,
        event_type=parsed.event_type,
    )
    if parsed.file == "-":
        return read_drafts(sys.stdin.buffer, defaults)
    try:
        return read_drafts(stack.enter_context(open(parsed.file, "rb")), defaults)
    except OSError as error:
        raise ConfigurationError(f"--file {parsed.file}: {error.strerror}") from error
