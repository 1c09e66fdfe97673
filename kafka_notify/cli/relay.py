# SPDX-License-Identifier: Apache-2.0
"""``kafka-notify relay``: a websocket pub/sub server for OPAL's clients, linked by Kafka."""

from __future__ import annotations

import argparse
import json
import logging
import os
from typing import Any

from kafka_notify.cli.arguments import positive_number, whole_number
from kafka_notify.cli.base import PlainCommand
from kafka_notify.errors import ConfigurationError, MissingExtra

_APP = "kafka_notify.opal.relay:app"
_STOP_S = 10  # what connections may take to close
_PONG_S = 60.0


class Relay(PlainCommand):
    """Run a websocket pub/sub server that OPAL's clients take for an OPAL server.

    Any number of relays, their workers, and OPAL servers share the events of a
    Kafka topic. Clients connect to /ws; updates are posted to /data/config, or
    written to the topic. Probes: /health (alive), /ready. With a public key
    clients and publishers need tokens of OPAL's.

    Options without a value here come from the environment variables in
    brackets, which are OPAL's own; KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_MECHANISM,
    KAFKA_PLAIN_USERNAME and the like count, too. Needs the [opal] extra.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--url",
            default=os.environ.get("OPAL_BROADCAST_URI"),
            help="transport URL of Kafka, kafka://[user:password@]host:9092[?option=value]; a "
            "password is better kept in the environment [OPAL_BROADCAST_URI]",
        )
        parser.add_argument(
            "--channel",
            default=os.environ.get("OPAL_BROADCAST_CHANNEL_NAME", "EventNotifier"),
            help="the topic that links the servers [OPAL_BROADCAST_CHANNEL_NAME] (EventNotifier)",
        )
        parser.add_argument("--host", default="127.0.0.1", help="to listen on (%(default)s)")
        parser.add_argument(
            "--port", type=whole_number(0, 65535), default=7002, help="to listen on (7002)"
        )
        parser.add_argument(
            "--workers", type=whole_number(1, 256), default=1, help="processes (1)"
        )
        parser.add_argument(
            "--data-config",
            default=os.environ.get("OPAL_DATA_CONFIG_SOURCES"),
            metavar="JSON",
            help="where clients get all of their data, as OPAL has it: "
            '{"config": {"entries": […]}} or {"external_source_url": "…"} '
            "[OPAL_DATA_CONFIG_SOURCES]",
        )
        self._add_tokens(parser)
        self._add_limits(parser)
        return parser

    @staticmethod
    def _add_tokens(parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group("tokens")
        group.add_argument(
            "--public-key",
            default=os.environ.get("OPAL_AUTH_PUBLIC_KEY", ""),
            metavar="KEY",
            help="PEM or OpenSSH, or the file of one; without it no tokens are asked for "
            "[OPAL_AUTH_PUBLIC_KEY]",
        )
        for name, what in (
            ("algorithm", "RS256"),
            ("audience", "https://api.opal.ac/v1/"),
            ("issuer", "https://opal.ac/"),
        ):
            variable = f"OPAL_AUTH_JWT_{name.upper()}"
            group.add_argument(
                f"--jwt-{name}",
                default=os.environ.get(variable, what),
                help=f"of tokens [{variable}] ({what})",
            )

    @staticmethod
    def _add_limits(parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group("limits")
        group.add_argument(
            "--client-events",
            type=whole_number(1, 1_000_000),
            default=1000,
            metavar="N",
            help="a client that leaves so many events waiting is dropped (1000)",
        )
        group.add_argument(
            "--client-bytes",
            type=whole_number(1024),
            default=8 * 1024 * 1024,
            metavar="N",
            help="the same for their size (8388608)",
        )
        group.add_argument(
            "--publish-timeout",
            type=positive_number,
            default=5.0,
            metavar="S",
            help="seconds that a post waits for Kafka before it answers 202 (5)",
        )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Serve until a signal."""
        try:
            import uvicorn

            from kafka_notify.opal import relay_settings
            from kafka_notify.opal.relay import create_app
        except ImportError as error:
            raise MissingExtra("opal", needed_for="kafka-notify relay") from error
        if not parsed_args.url:
            raise ConfigurationError("where is Kafka? give --url kafka://host:9092")
        settings = relay_settings.RelaySettings(
            url=parsed_args.url,
            channel=parsed_args.channel,
            **_data_config(parsed_args.data_config),
            public_key=parsed_args.public_key,
            algorithm=parsed_args.jwt_algorithm,
            audience=parsed_args.jwt_audience,
            issuer=parsed_args.jwt_issuer,
            client_events=parsed_args.client_events,
            client_bytes=parsed_args.client_bytes,
            publish_timeout_s=parsed_args.publish_timeout,
        )
        create_app(settings)  # raises here what every worker would raise
        # Workers are processes of their own; nobody else can read their environment.
        os.environ[relay_settings.VARIABLE] = settings.to_json()
        logging.getLogger("kafka_notify").setLevel(logging.INFO)
        uvicorn.run(
            _APP,
            factory=True,
            host=parsed_args.host,
            port=parsed_args.port,
            workers=parsed_args.workers,
            log_config=_LOGGING,
            access_log=False,
            ws_per_message_deflate=False,  # 0.3 MB of each client's memory
            # A client that has much to read answers a ping late; one that is gone, never.
            ws_ping_timeout=_PONG_S,
            timeout_graceful_shutdown=_STOP_S,
        )
        return 0


def _data_config(text: str | None) -> dict[str, Any]:
    """Return the settings that OPAL's form of them means; raise ConfigurationError."""
    if not text:
        return {}
    from kafka_notify.opal.schemas import DataSourceConfig

    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"--data-config is not JSON: {error}") from error
    if not isinstance(found, dict) or len(found.keys() & {"config", "external_source_url"}) != 1:
        raise ConfigurationError(
            '--data-config needs one of {"config": {"entries": […]}} and {"external_source_url": '
            '"…"}'
        )
    if "external_source_url" in found:
        return {"data_config_url": str(found["external_source_url"])}
    return {"data_config": DataSourceConfig.parse(found["config"]).to_dict()}


_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"format": "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"}
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {
        name: {"handlers": ["stderr"], "level": "INFO", "propagate": False}
        for name in ("kafka_notify", "uvicorn")
    },
}
