# SPDX-License-Identifier: Apache-2.0
"""Settings: defaults that are legal, all problems at once, no secret shown."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import pytest

from kafka_notify.core.settings import OPTIONS, Settings, parse_query
from kafka_notify.core.url import is_secret
from kafka_notify.errors import ConfigurationError


def test_defaults_are_legal() -> None:
    """Settings can be made of nothing, and each default passes its own check."""
    settings = Settings()

    for name, option in OPTIONS.items():
        assert getattr(settings, name) == option.default
        option.check(option.default)


def test_every_field_is_an_option() -> None:
    """Each field is a row, but for the notifiers' section, which is a value of its own."""
    names = [spec.name for spec in dataclasses.fields(Settings)]

    assert names == [*OPTIONS, "notifications"]


@pytest.mark.parametrize("name", OPTIONS)
def test_rows_are_complete(name: str) -> None:
    """Each option has a help sentence, and each number of ours a range."""
    option = OPTIONS[name]

    assert re.fullmatch(r"[A-Z'].*\.", option.help)
    if option.kind in (int, float):
        assert option.minimum is not None
        assert option.maximum is not None
    if name.endswith(("_timeout", "_bytes")):
        assert option.unit in ("seconds", "bytes")
    assert option.secret == (is_secret(name) and option.kind is str)


@pytest.mark.parametrize("name", [n for n, o in OPTIONS.items() if o.kind in (int, float)])
def test_ranges(name: str) -> None:
    """Both ends of a range are legal, what lies beyond is not."""
    option = OPTIONS[name]
    assert option.minimum is not None
    assert option.maximum is not None

    Settings(**{name: option.kind(option.minimum)})
    Settings(**{name: option.kind(option.maximum)})
    for wrong in (option.minimum - 1, option.maximum + 1, math.nan, "3"):
        with pytest.raises(ConfigurationError, match=name):
            Settings(**{name: wrong})


def test_all_problems_at_once() -> None:
    """One error names everything that is wrong, ranges and combinations alike."""
    wrong: dict[str, Any] = {
        "delivery": "never",
        "max_poll_records": 0,
        "connect_timeout": math.inf,
        "enable_auto_commit": True,
        "ssl_client_cert_file": "cert.pem",
        "record_key": "nonsense",
    }

    with pytest.raises(ConfigurationError) as caught:
        Settings(**wrong)

    for name in wrong:
        assert f"{name}" in str(caught.value)


def test_automatic_commits_are_refused() -> None:
    """enable_auto_commit is never ignored: it says why it is refused and what to do."""
    with pytest.raises(ConfigurationError, match=r"enable_auto_commit.*loses.*remove"):
        Settings(enable_auto_commit=True)


def test_certificate_and_key_belong_together() -> None:
    """A certificate without its key cannot work, nor a key alone."""
    for name in ("ssl_client_cert_file", "ssl_client_key_file"):
        with pytest.raises(ConfigurationError, match="one is set without the other"):
            Settings(**{name: "file.pem"})
    Settings(ssl_client_cert_file="c.pem", ssl_client_key_file="k.pem")


def test_no_secret_in_the_repr() -> None:
    """The repr shows no password, and none of the client's own options."""
    settings = Settings(ssl_client_key_password="S3CRET", client_options={"x": "S3CRET"})

    assert "S3CRET" not in repr(settings)


def test_settings_cannot_be_changed() -> None:
    """What was validated stays as it was."""
    with pytest.raises(AttributeError):
        Settings().delivery = "confirm"  # type: ignore[misc]


class TestQuery:
    """Overrides in a URL's query."""

    def test_values_have_their_types(self) -> None:
        """Each option is read by its own kind."""
        query = {
            "delivery": "confirm",
            "max_poll_records": "7",
            "connect_timeout": "0.5",
            "context_fields": "a,b",
            "client_options": "debug:broker",
        }

        assert parse_query(query) == {
            "delivery": "confirm",
            "max_poll_records": 7,
            "connect_timeout": 0.5,
            "context_fields": ("a", "b"),
            "client_options": {"debug": "broker"},
        }

    def test_unknown_names_and_wrong_values_at_once(self) -> None:
        """One error names every unknown option, with the nearest known one, and wrong value."""
        query = {"deliverry": "confirm", "zzz": "1", "max_poll_records": "many"}

        with pytest.raises(ConfigurationError) as caught:
            parse_query(query)

        text = str(caught.value)
        assert "'deliverry' is unknown; did you mean delivery?" in text
        assert "'zzz' is unknown (librdkafka's own options go into client_options" in text
        assert "'many' is no whole number" in text

    def test_notifications_are_no_option_of_a_url(self) -> None:
        """The notifiers' section is not reached by a URL."""
        with pytest.raises(ConfigurationError, match="'notifications' is unknown"):
            parse_query({"notifications": "x"})

    def test_secrets_are_not_shown(self) -> None:
        """A wrong value that may hold a password is not quoted."""
        with pytest.raises(ConfigurationError, match="client_options") as caught:
            parse_query({"client_options": "ssl.key.password:a,S3CRET"})

        assert "S3CRET" not in str(caught.value)
