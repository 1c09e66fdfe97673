# SPDX-License-Identifier: Apache-2.0
"""Tokens as OPAL has them: JWTs that its server signs, checked with its public key."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from kafka_notify.errors import ConfigurationError, KafkaNotifyError, MissingExtra

ALGORITHM = "RS256"
AUDIENCE = "https://api.opal.ac/v1/"
ISSUER = "https://opal.ac/"
"""OPAL's defaults (OPAL_AUTH_JWT_ALGORITHM, _AUDIENCE, _ISSUER)."""

PUBLISHER = "datasource"
"""The peer type that may publish updates."""

Claims = Mapping[str, Any]


class Unauthorized(KafkaNotifyError):
    """Raised when a caller may not do what it asks for; the text is for it, too."""


class Tokens:
    """Checks tokens; without a key everybody may do everything, as OPAL has it.

    ``key`` is a public key, as PEM or as OpenSSH writes it (with '_' for newlines, if need be), or
    the path of a file with one. Raises ConfigurationError for a key that is none.
    """

    def __init__(
        self,
        key: str | None,
        *,
        algorithm: str = ALGORITHM,
        audience: str = AUDIENCE,
        issuer: str = ISSUER,
    ) -> None:
        self._key = _load(key, algorithm) if key else None
        self._algorithm = algorithm
        self._audience = audience
        self._issuer = issuer

    @property
    def enabled(self) -> bool:
        """Whether a token is needed."""
        return self._key is not None

    def check(self, header: str | None) -> Claims:
        """Return the claims of an Authorization header; raise Unauthorized. No key: no claims."""
        if self._key is None:
            return {}
        import jwt

        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("access token was not provided")
        try:
            claims: Claims = jwt.decode(
                token.strip(),
                self._key,
                algorithms=[self._algorithm],
                audience=self._audience,
                issuer=self._issuer,
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized("Access token is expired") from error
        except jwt.InvalidAudienceError as error:
            raise Unauthorized("Invalid access token: invalid audience claim") from error
        except jwt.InvalidIssuerError as error:
            raise Unauthorized("Invalid access token: invalid issuer claim") from error
        except jwt.PyJWTError as error:
            raise Unauthorized("Could not decode access token") from error
        try:
            UUID(str(claims.get("sub", "")))
        except ValueError as error:
            raise Unauthorized("invalid sub claim") from error
        return claims

    def require_publisher(self, claims: Claims) -> None:
        """Raise Unauthorized unless the claims are those of a data source."""
        if self.enabled and claims.get("peer_type") != PUBLISHER:
            raise Unauthorized(
                f"Incorrect 'peer_type' claim for OPAL jwt token: {claims.get('peer_type')}, "
                f"expected: {PUBLISHER}"
            )


def require_permitted(claims: Claims, topics: Iterable[str]) -> None:
    """Raise Unauthorized if the claims name the topics they permit, and not all of these."""
    if "permitted_topics" in claims:
        refused = set(topics).difference(claims["permitted_topics"])
        if refused:
            raise Unauthorized(f"Invalid 'topics' {', '.join(sorted(refused))}")


def _load(key: str, algorithm: str) -> Any:
    try:
        import jwt
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise MissingExtra("opal", needed_for="checking tokens") from error
    if algorithm not in jwt.algorithms.get_default_algorithms() or algorithm.startswith("HS"):
        raise ConfigurationError(
            f"the JWT algorithm {algorithm!r} is none with a public key; OPAL's is {ALGORITHM}"
        )
    path = os.path.expanduser(key)
    text = key
    # Unlike Path.is_file, this takes a key for no file, too, whose name would be too long.
    if os.path.isfile(path):
        text = Path(path).read_text()
    elif "\n" not in text and not text.startswith(("ssh-", "ecdsa-")):
        text = text.replace("_", "\n") + "\n"
    raw = text.encode()
    try:
        if text.startswith(("ssh-", "ecdsa-")):
            return serialization.load_ssh_public_key(raw)
        return serialization.load_pem_public_key(raw)
    except Exception as error:
        raise ConfigurationError(
            "the public key for tokens is none: give one as PEM or as OpenSSH writes it, or the "
            "path of a file that has one"
        ) from error
