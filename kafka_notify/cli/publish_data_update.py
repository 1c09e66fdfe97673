# SPDX-License-Identifier: Apache-2.0
"""``kafka-notify publish-data-update``: what opal-client's command does, and to Kafka directly."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import orjson

from kafka_notify.cli.arguments import positive_number
from kafka_notify.cli.base import PlainCommand
from kafka_notify.errors import ConfigurationError


class PublishDataUpdate(PlainCommand):
    """Publish a DataUpdate to OPAL's clients.

    Through a server (--server-url, OPAL's or a relay's), or with --url written to
    the topic that links the servers. Either one entry (--src-url or --data, -t,
    --dst-path), or several (--entries). The names are those of 'opal-client
    publish-data-update'. Needs the [opal] extra.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        self._add_where(parser)
        self._add_entry(parser)
        parser.add_argument(
            "-e",
            "--entries",
            metavar="JSON",
            help="DataSourceEntries, instead of a single one or before it",
        )
        parser.add_argument("--reason", default="", help="why the data changes")
        parser.add_argument("--id", help="the update's, for reports on it (the clients make one)")
        parser.add_argument(
            "--callback",
            action="append",
            default=[],
            metavar="URL",
            help="whom clients tell how it went; can be repeated; JSON for a URL with its "
            "configuration, [URL, {…}]",
        )
        parser.add_argument(
            "--timeout",
            type=positive_number,
            default=30.0,
            metavar="S",
            help="seconds until the server, or Kafka, must have it (30)",
        )
        return parser

    @staticmethod
    def _add_where(parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group("where to")
        group.add_argument(
            "token",
            nargs="?",
            default=os.environ.get("OPAL_CLIENT_TOKEN"),
            help="a data source's JWT, where the server asks for one [OPAL_CLIENT_TOKEN]",
        )
        group.add_argument(
            "--server-url",
            default="http://localhost:7002",
            help="of an OPAL server or a relay (%(default)s)",
        )
        group.add_argument(
            "--server-route", default="/data/config", help="in the server (%(default)s)"
        )
        group.add_argument(
            "--url", help="transport URL of Kafka: write to the topic, without any server"
        )
        group.add_argument(
            "--channel",
            default=os.environ.get("OPAL_BROADCAST_CHANNEL_NAME", "EventNotifier"),
            help="with --url: the topic [OPAL_BROADCAST_CHANNEL_NAME] (EventNotifier)",
        )

    @staticmethod
    def _add_entry(parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group("a single entry")
        group.add_argument("--src-url", help="where clients get the data")
        group.add_argument(
            "--src-config", metavar="JSON", default="{}", help="how they get it ({})"
        )
        group.add_argument(
            "-t",
            "--topic",
            action="append",
            metavar="TOPIC",
            help="whom it concerns; can be repeated; a/b/c concerns a and a/b, too (policy_data)",
        )
        data = group.add_mutually_exclusive_group()
        data.add_argument("--data", metavar="JSON", help="the data itself")
        data.add_argument("--data-file", metavar="FILE", help="a file with it")
        group.add_argument("--dst-path", default="", help="where clients store it")
        group.add_argument(
            "--save-method",
            type=str.upper,
            choices=("PUT", "PATCH"),
            default="PUT",
            help="PATCH: the data is a list of JSON patch operations (PUT)",
        )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Publish."""
        from kafka_notify.opal import publish
        from kafka_notify.opal.schemas import DataUpdate

        update = DataUpdate.parse(_update(parsed_args))
        if parsed_args.url:
            found = publish.events(update)
            publish.write(
                found, parsed_args.url, parsed_args.channel, timeout_s=parsed_args.timeout
            )
            topics = ", ".join(each for event in found for each in event.topics)
            self.terminal.say(f"Published to the topics {topics}, on {parsed_args.channel}")
        else:
            url = parsed_args.server_url.rstrip("/") + parsed_args.server_route
            publish.post(update, url, token=parsed_args.token, timeout_s=parsed_args.timeout)
            self.terminal.say(f"Published through {url}")
        return 0


def _update(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the update that the arguments spell; raise ConfigurationError."""
    entries = [] if parsed.entries is None else _json(parsed.entries, "--entries")
    if not isinstance(entries, list):
        raise ConfigurationError("--entries: a JSON list of entries is needed")
    data = _data(parsed)
    if parsed.src_url is not None or data is not None:
        entry = {
            "url": parsed.src_url or "",
            "config": _json(parsed.src_config, "--src-config"),
            "dst_path": parsed.dst_path,
            "save_method": parsed.save_method,
            "data": data,
        }
        entries = [*entries, {**entry, **({"topics": parsed.topic} if parsed.topic else {})}]
    if not entries:
        raise ConfigurationError("nothing to publish: give --src-url, --data, or --entries")
    callbacks = [
        _json(each, "--callback") if each.startswith("[") else each for each in parsed.callback
    ]
    return {
        "id": parsed.id,
        "entries": entries,
        "reason": parsed.reason,
        "callback": {"callbacks": callbacks},
    }


def _data(parsed: argparse.Namespace) -> Any:
    if parsed.data_file is not None:
        try:
            return _json(Path(parsed.data_file).read_bytes(), f"--data-file {parsed.data_file}")
        except OSError as error:
            raise ConfigurationError(
                f"--data-file {parsed.data_file}: {error.strerror}"
            ) from error
    return None if parsed.data is None else _json(parsed.data, "--data")


def _json(text: str | bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{what} is not JSON: {error}") from error
