# SPDX-License-Identifier: Apache-2.0
"""Tokens as OPAL signs them, at the relay's doors."""

from __future__ import annotations

import datetime
import uuid
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kafka_notify.errors import ConfigurationError
from kafka_notify.opal.tokens import AUDIENCE, ISSUER, Tokens, Unauthorized, require_permitted
from tests.opal.websockets import Subscriber

ARRIVES_S = 60.0


@pytest.fixture(scope="module")
def private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(private: rsa.RSAPrivateKey, kind: str) -> str:
    encoding, form = {
        "pem": (
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        ),
        "ssh": (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
    }[kind]
    return private.public_key().public_bytes(encoding, form).decode()


def sign(private: rsa.RSAPrivateKey, **changes: Any) -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    claims = {
        "sub": str(uuid.uuid4()),
        "aud": AUDIENCE,
        "iss": ISSUER,
        "iat": now,
        "exp": now + datetime.timedelta(hours=1),
        "peer_type": "datasource",
        **changes,
    }
    return jwt.encode(claims, private, algorithm="RS256")


@pytest.mark.parametrize("form", ["pem", "ssh", "underscores", "file"])
def test_forms_of_the_key(private: Any, form: str, tmp_path: Path) -> None:
    """As PEM, as OpenSSH has it, in one line of an environment variable, in a file."""
    key = public(private, "ssh" if form == "ssh" else "pem")
    if form == "underscores":
        key = key.replace("\n", "_")
    if form == "file":
        path = tmp_path / "key.pem"
        path.write_text(key)
        key = str(path)
    claims = Tokens(key).check(f"Bearer {sign(private)}")
    assert claims["peer_type"] == "datasource"


def test_bad_tokens(private: Any) -> None:
    """Each is refused with the reason, and never shown."""
    tokens = Tokens(public(private, "pem"))
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for header, reason in (
        (None, "not provided"),
        ("Basic abc", "not provided"),
        ("Bearer nonsense", "Could not decode"),
        (f"Bearer {sign(other)}", "Could not decode"),
        (f"Bearer {sign(private, exp=past)}", "expired"),
        (f"Bearer {sign(private, aud='x')}", "audience"),
        (f"Bearer {sign(private, iss='x')}", "issuer"),
        (f"Bearer {sign(private, sub='me')}", "sub"),
        (f"Bearer {jwt.encode({'sub': 'x'}, 'k' * 40, algorithm='HS256')}", "Could not decode"),
    ):
        with pytest.raises(Unauthorized, match=reason) as raised:
            tokens.check(header)
        assert "eyJ" not in str(raised.value)


def test_bad_keys() -> None:
    """A key that is none, or an algorithm without public keys, is refused at the start."""
    # One in three hundred keys has no slash in 255 characters: no path has such a part.
    for unusable in (
        "A" * 300,
        f"-----BEGIN PUBLIC KEY-----_{'A' * 300}_-----END PUBLIC KEY-----",
    ):
        with pytest.raises(ConfigurationError, match="as PEM or as OpenSSH"):
            Tokens(unusable)
    with pytest.raises(ConfigurationError, match="public key") as raised:
        Tokens("-----BEGIN PUBLIC KEY-----\nnonsense\n")
    assert "nonsense" not in str(raised.value)
    with pytest.raises(ConfigurationError, match="HS256"):
        Tokens("x", algorithm="HS256")


def test_no_key_no_tokens() -> None:
    """Without a key everybody may do everything, as OPAL has it."""
    tokens = Tokens(None)
    assert not tokens.enabled
    assert tokens.check(None) == {}
    tokens.require_publisher({})


def test_permitted_topics() -> None:
    """Claims without the list permit all."""
    require_permitted({}, ["a"])
    require_permitted({"permitted_topics": ["a", "b"]}, ["a"])
    with pytest.raises(Unauthorized, match="c"):
        require_permitted({"permitted_topics": ["a"]}, ["a", "c"])


@pytest.mark.functional
def test_a_relay_with_a_key(relay: Any, example: Any, private: Any) -> None:
    """Clients and publishers need tokens; only data sources publish, to permitted topics."""
    server = relay("--public-key", public(private, "pem"))
    url = f"{server.url}/data/config"

    def bearer(**claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {sign(private, **claims)}"}

    update = {"entries": [{"url": "", "data": {"n": 1}, "topics": ["t"]}]}
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer x"}, 401),
        (bearer(peer_type="client"), 401),
        (bearer(permitted_topics=["other"]), 401),
    ):
        assert example.call(url, update, headers=headers)[0] == status
    assert example.call(url)[0] == 401
    assert example.call(url, headers=bearer(peer_type="client")) == (200, {"entries": []})
    assert example.call(f"{server.url}/ready")[0] == 200

    def connect(**claims: Any) -> Subscriber:
        headers = {"additional_headers": bearer(**claims)}
        return Subscriber(server.ws, "t", **headers)

    with connect(peer_type="client") as subscriber:
        assert example.call(url, update, headers=bearer()) == (200, {"status": "ok"})
        assert subscriber.wait_for(1, ARRIVES_S)
    with connect(peer_type="client", permitted_topics=["other"]) as unwelcome:
        assert example.call(url, update, headers=bearer()) == (200, {"status": "ok"})
        _, clients = example.call(f"{server.url}/pubsub_client_info", headers=bearer())
        assert all(not one["subscribed_topics"] for one in clients.values())
        assert not unwelcome.got
    _refused(server.ws)
    assert "eyJ" not in server.process.text


def _refused(url: str) -> None:
    import asyncio

    import websockets

    async def main() -> None:
        async with websockets.connect(url):
            pass

    with pytest.raises(websockets.InvalidStatus, match="403"):
        asyncio.run(main())
