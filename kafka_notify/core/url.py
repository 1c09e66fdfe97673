# SPDX-License-Identifier: Apache-2.0
"""Transport URLs: ``driver://[user:password@]host:port[,…]/vhost?option=value``.

Parsing and formatting are inverse to each other; the redacted form is for logs and errors.
Which drivers and options exist is not known here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib import parse

from kafka_notify.errors import InvalidTransportURL

REDACTED = "***"
SECRET_NAMES = ("password", "passphrase", "secret", "token", "jaas", "key.pem")
"""A query option or client option whose name contains one of these is never shown."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*\Z", re.IGNORECASE)
_HOSTNAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?\Z")
_ADDRESS = re.compile(r"(?:\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MAX_PORT = 65535


def is_secret(name: str) -> bool:
    """Tell whether an option of this name holds something that must not be shown."""
    lowered = name.lower()
    return any(part in lowered for part in SECRET_NAMES)


@dataclass(slots=True)
class TransportHost:
    """One host of a transport URL; a missing port means the driver's default."""

    hostname: str | None = None
    port: int | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __hash__(self) -> int:
        """Hash by value: equal hosts count as one."""
        return hash((self.hostname, self.port, self.username, self.password))

    @property
    def address(self) -> str:
        """``host:port`` or ``[v6]:port``, without the credentials."""
        name = self.hostname or ""
        if ":" in name:
            name = f"[{name}]"
        return name if self.port is None else f"{name}:{self.port}"


@dataclass(slots=True)
class TransportURL:
    """A parsed transport URL; ``str()`` gives it back whole, ``redacted()`` without secrets."""

    transport: str | None = None
    virtual_host: str | None = None
    hosts: list[TransportHost] = field(default_factory=list)
    query: dict[str, str] = field(default_factory=dict)

    def __hash__(self) -> int:
        """Hash by value, as upstream does."""
        return hash((self.transport, self.virtual_host, tuple(self.hosts)))

    def __str__(self) -> str:
        """Return the URL with its credentials: for configuration, never for a log."""
        return self._format(secrets=True)

    def __repr__(self) -> str:
        """Show the redacted form."""
        return f"<{type(self).__name__} {self.redacted()}>"

    def redacted(self) -> str:
        """Return the URL with every password replaced by ``***``."""
        return self._format(secrets=False)

    @property
    def username(self) -> str | None:
        """The first user name of the hosts: one cluster has one set of credentials."""
        return next((host.username for host in self.hosts if host.username), None)

    @property
    def password(self) -> str | None:
        """The password that belongs to ``username``."""
        return next((host.password for host in self.hosts if host.username), None)

    def _format(self, *, secrets: bool) -> str:
        hosts = ",".join(_format_host(host, secrets=secrets) for host in self.hosts)
        text = f"{self.transport}://{hosts}/{parse.quote(self.virtual_host or '', safe='')}"
        return text + _format_query(self.query, secrets=secrets)


def _format_host(host: TransportHost, *, secrets: bool) -> str:
    if host.username is None and host.password is None:
        return host.address
    login = parse.quote(host.username or "", safe="")
    if host.password is not None:
        login += ":" + (parse.quote(host.password, safe="") if secrets else REDACTED)
    return f"{login}@{host.address}"


def _format_query(query: Mapping[str, str], *, secrets: bool) -> str:
    if not query:
        return ""
    shown = {
        name: value if secrets or not is_secret(name + value) else REDACTED
        for name, value in query.items()
    }
    return "?" + parse.urlencode(shown, safe="/:,*" if not secrets else "/:,")


def redact_text(text: str) -> str:
    """Return a text that may be a malformed URL with all that could be a secret blotted out."""
    scheme, separator, rest = text.partition("://")
    if not (separator and _SCHEME.match(scheme)):
        scheme, separator, rest = "", "", text
    credentials, at, shown = rest.rpartition("@")
    if "?" in credentials:
        # A '?' in a password, or an '@' in a secret option: nothing tells which.
        return f"{scheme}{separator}{REDACTED}"
    location, mark, query = shown.partition("?")
    netloc, slash, path = location.partition("/")
    safe_netloc = ",".join(_redact_address(part) for part in netloc.split(","))
    if safe_netloc != netloc:
        path = REDACTED if path else ""
    safe_query = "&".join(_redact_pair(pair) for pair in query.split("&"))
    return (
        f"{scheme}{separator}{REDACTED + at if at else ''}{safe_netloc}{slash}{path}"
        f"{mark}{safe_query}"
    )


def _redact_address(address: str) -> str:
    """Blot out what is no port in a port's place: with the host forgotten it is a password."""
    match = _ADDRESS.match(address)
    if match and (match[1] is None or _is_port(match[1])):
        return address
    if address.startswith("["):
        host, bracket, _ = address.partition("]")
        return f"{host}]{REDACTED}" if bracket else REDACTED
    return f"{address.partition(':')[0]}:{REDACTED}"


def _redact_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    if pair and not equals:
        return REDACTED  # it may be the rest of a password with an '&' in it
    return f"{name}={REDACTED}" if is_secret(parse.unquote_plus(pair)) else pair


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= _MAX_PORT


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def parse_url(text: str) -> TransportURL:
    """Return the URL that ``text`` spells.

    Raises InvalidTransportURL that names the part that is wrong and never shows a password.
    """
    if not isinstance(text, str):
        raise InvalidTransportURL(f"<{type(text).__name__}>", "a URL is a text")
    return _Parser(text).parse()


class _Parser:
    """One pass over one text; exists so that every complaint carries the redacted URL."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._safe = redact_text(text)

    def _error(self, problem: str) -> InvalidTransportURL:
        return InvalidTransportURL(self._safe, problem)

    def parse(self) -> TransportURL:
        scheme, separator, rest = self._text.strip().partition("://")
        if not separator:
            raise self._error("no scheme; it must begin with driver://, for example kafka://")
        if not _SCHEME.match(scheme):
            raise self._error(f"the scheme {redact_text(scheme)!r} is malformed; try kafka://")
        if "#" in rest:
            raise self._error("'#' has no meaning here; in a password write it as %23")
        location, _, query = rest.partition("?")
        netloc, _, path = location.partition("/")
        if "@" in path or "@" in query:
            raise self._error(
                "an '@' comes after the host part; write '/', '?' and '@' inside credentials, "
                "vhost or options as %2F, %3F and %40"
            )
        return TransportURL(
            transport=scheme.lower(),
            virtual_host=self._decode(path, "virtual host") or None,
            hosts=self._hosts(netloc),
            query=self._query(query),
        )

    def _decode(self, text: str, what: str) -> str:
        if _BAD_ESCAPE.search(text):
            raise self._error(f"the {what} has a '%' without two hex digits; write '%' as %25")
        try:
            return parse.unquote(text, errors="strict")
        except UnicodeDecodeError as error:
            raise self._error(f"the percent-encoding of the {what} is not UTF-8") from error

    def _hosts(self, netloc: str) -> list[TransportHost]:
        if not netloc:
            return []
        return [
            self._host(part.strip(), number) for number, part in enumerate(netloc.split(","), 1)
        ]

    def _host(self, part: str, number: int) -> TransportHost:
        login, at, address = part.rpartition("@")
        username = password = None
        if at:
            username, colon, secret = login.partition(":")
            username = self._decode(username, "user name")
            password = self._decode(secret, "password") if colon else None
        if not address:
            raise self._error(f"host {number} is empty; remove the superfluous comma")
        hostname, port = self._address(address)
        return TransportHost(hostname, port, username, password)

    def _address(self, address: str) -> tuple[str, int | None]:
        safe = _redact_address(address)
        if address.startswith("["):
            hostname, bracket, rest = address[1:].partition("]")
            if not bracket:
                raise self._error(f"host {safe!r} has a '[' without a ']'")
            if not _is_ipv6(hostname):
                raise self._error(f"host {safe!r} is no IPv6 address in brackets")
            if rest and not rest.startswith(":"):
                raise self._error(f"host {safe!r}: after the brackets goes :port")
            return hostname, self._port(rest[1:], f"[{hostname}]") if rest else None
        hostname, colon, port = address.partition(":")
        if ":" in port:
            raise self._error(f"host {safe!r}: put an IPv6 address in brackets, [::1]:9092")
        if not _HOSTNAME.match(hostname):
            raise self._error(f"host {hostname!r} is no host name")
        return hostname, self._port(port, hostname) if colon else None

    def _port(self, text: str, host: str) -> int:
        if not _is_port(text):
            # The text is not shown: without a host, 'user:password' looks like one with a port.
            raise self._error(f"the port of host {host!r} is not 1 to {_MAX_PORT}")
        return int(text)

    def _query(self, text: str) -> dict[str, str]:
        query: dict[str, str] = {}
        for number, pair in enumerate(text.split("&"), 1):
            raw_name, equals, raw_value = pair.partition("=")
            if not pair:
                continue
            if not equals:
                raise self._error(
                    f"part {number} of the query has no '='; write option=value, and '&' in a "
                    "value as %26"
                )
            name = self._decode(raw_name.replace("+", " "), "option's name")
            value = self._decode(raw_value.replace("+", " "), f"value of {name!r}")
            # A name given twice makes a list, as oslo.messaging does.
            query[name] = f"{query[name]},{value}" if name in query else value
        return query


def addresses(hosts: Iterable[TransportHost], default_port: int) -> str:
    """Return ``host:port,host:port`` for a client; the default port stands in where none is."""
    return ",".join(
        TransportHost(host.hostname, host.port or default_port).address for host in hosts
    )
