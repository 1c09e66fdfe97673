# SPDX-License-Identifier: Apache-2.0
"""What a relay is told: once, by its command, and to its workers in the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from kafka_notify.errors import ConfigurationError
from kafka_notify.opal import tokens

VARIABLE = "KAFKA_NOTIFY_RELAY"
"""Where the command leaves the settings for the processes of its workers, as JSON."""

DEFAULT_CHANNEL = "EventNotifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """All options of one relay.

    Attributes:
        url: The backbone's transport URL.
        channel: Its topic.
        data_config: What ``GET /data/config`` answers: where clients get all of their data.
        data_config_url: Where clients are sent for that instead.
        public_key: For tokens; empty: everybody may do everything.
        algorithm, audience, issuer: What tokens must have.
        client_events: The most frames that wait for one client.
        client_bytes: The most characters of them.
        publish_timeout_s: How long a post waits for Kafka before it answers 202.
    """

    url: str
    channel: str = DEFAULT_CHANNEL
    data_config: dict[str, Any] = field(default_factory=lambda: {"entries": []})
    data_config_url: str = ""
    public_key: str = field(default="", repr=False)
    algorithm: str = tokens.ALGORITHM
    audience: str = tokens.AUDIENCE
    issuer: str = tokens.ISSUER
    client_events: int = 1000
    client_bytes: int = 8 * 1024 * 1024
    publish_timeout_s: float = 5.0

    def to_json(self) -> str:
        """Return them as a text for ``from_environment``. It may hold a password."""
        return json.dumps(asdict(self))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> RelaySettings:
        """Return what the variable holds; raise ConfigurationError if it is not set, or broken."""
        text = environment.get(VARIABLE)
        if not text:
            raise ConfigurationError(
                f"{VARIABLE} is not set: start the relay with 'kafka-notify relay'"
            )
        try:
            found = json.loads(text)
            unknown = sorted(found.keys() - {one.name for one in fields(cls)})
        except (ValueError, AttributeError) as error:
            raise ConfigurationError(f"{VARIABLE} holds no JSON object") from error
        if unknown:
            raise ConfigurationError(f"{VARIABLE}: {unknown[0]!r} is unknown")
        return cls(**found)
