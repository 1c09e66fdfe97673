# SPDX-License-Identifier: Apache-2.0
"""Transport URLs: parse and format undo each other, and no password is ever shown."""

from __future__ import annotations

import traceback
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, example, given, reject
from hypothesis import strategies as st

from kafka_notify.core.url import (
    TransportHost,
    TransportURL,
    addresses,
    is_secret,
    parse_url,
    redact_text,
)
from kafka_notify.errors import ConfigurationError, InvalidTransportURL

PASSWORD = "S3CRET"
"""A mark that no other part of a generated URL holds."""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
hostnames = st.one_of(
    st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,10}[A-Za-z0-9_])?\.?", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
ports = st.none() | st.integers(1, 65535)


@st.composite
def hosts(draw: st.DrawFn, passwords: st.SearchStrategy[str] = texts) -> TransportHost:
    # A password without a user name is written with an empty one, so that is how it comes back.
    username = draw(st.none() | texts)
    password = None if username is None else draw(st.none() | passwords)
    return TransportHost(draw(hostnames), draw(ports), username, password)


def urls(passwords: st.SearchStrategy[str] = texts) -> st.SearchStrategy[TransportURL]:
    return st.builds(
        TransportURL,
        transport=st.from_regex(r"[a-z][a-z0-9+.-]{0,9}", fullmatch=True),
        virtual_host=st.none() | texts.filter(bool),
        hosts=st.lists(hosts(passwords), max_size=4),
        query=st.dictionaries(texts, texts, max_size=4),
    )


@given(urls())
def test_parse_undoes_format(url: TransportURL) -> None:
    """Whatever user, password, host, vhost and options hold, a written URL is read back whole."""
    parsed = parse_url(str(url))

    assert parsed == url
    assert hash(parsed) == hash(url)
    assert str(parsed) == str(url)


@given(urls(passwords=texts.map(lambda text: text + PASSWORD)))
def test_redacted_form_has_no_password(url: TransportURL) -> None:
    """The redacted form and the repr show no password, and can still be parsed."""
    for shown in (url.redacted(), repr(url), repr(url.hosts), redact_text(str(url))):
        assert PASSWORD not in shown
    redacted = parse_url(url.redacted())

    assert [host.address for host in redacted.hosts] == [host.address for host in url.hosts]
    assert redacted.virtual_host == url.virtual_host


secret_names = st.sampled_from(
    ["ssl_client_key_password", "client_options", "ssl.key.password", "sasl_token", "SECRET_x"]
)


@given(urls(), secret_names, texts)
def test_secret_options_are_redacted(url: TransportURL, name: str, value: str) -> None:
    """An option whose name, or whose value, speaks of a secret is not shown."""
    value = f"ssl.key.password:{value}{PASSWORD}"
    url.query[name] = value

    for shown in (url.redacted(), repr(url), redact_text(str(url))):
        assert PASSWORD not in shown


@pytest.mark.parametrize(
    "name",
    [
        "ssl_client_key_password",
        "sasl.password",
        "ssl.key.pem",
        "sasl.jaas.config",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
    ],
)
def test_names_of_secrets(name: str) -> None:
    """The client's options that hold secrets are known by their names."""
    assert is_secret(name)
    assert is_secret(name.upper())


MALFORMED = [
    "kafka://user:S3CRET",
    "kafka://user:S3CRET/",
    "kafka://user:S3CRET,host:9092/",
    "kafka://host:9092,user:S3CRET/vhost",
    "kafka://user:pa/S3CRET",
    "kafka://user:S3CRET%40host:9092/",
    "kafka://user:pa/S3CRET@host:9092/",
    "kafka://user:pa?S3CRET@host:9092/",
    "kafka://user:pa#S3CRET@host:9092/",
    "kafka://user:pa@S3CRET@host:port/",
    "kafka://user:pa@b?S3CRET@host:9092/",
    "kafka://user:pa@b/S3CRET@host:9092/",
    "kafka://user:pa@b?x=y&S3CRET@host:9092/",
    "kafka://user:S3CRET%zz@host/",
    "kafka://user:S3CRET%ff@host/",
    "kafka://user:S3CRET@ho st/",
    "kafka://user:S3CRET@[::1/",
    "kafka://user:S3CRET@::1:9092/",
    "kafka://user:S3CRET@host:99999/",
    "kafka://user:S3CRET@host,/",
    "kafka://user:S3CRET@,host/",
    "kafka://[user:S3CRET",
    "kafka://[::1]S3CRET",
    "kafka:/user:S3CRET@host/",
    "kafka:user:S3CRET",
    "kafka//user:S3CRET@host/",
    "user:S3CRET@host:9092",
    "user:S3CRET",
    "1kafka://user:S3CRET@host/",
    "kafka://host/?ssl_client_key_password=S3CRET&x",
    "kafka://host/?ssl_client_key_password=a&S3CRET",
    "kafka://host/?ssl_client_key_password=a@S3CRET",
    "kafka://host/?ssl_client_key_pass%77ord=S3CRET&x",
    "kafka://host/?ssl_client_key_password=S3CRET%zz",
    "kafka://host/?client_options=ssl.key%2Epassword:S3CRET&x",
    "kafka://user:pa@host/?ssl_client_key_password=S3CRET#x",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_urls_hide_the_password(text: str) -> None:
    """A malformed URL is refused, and no part of the error or its causes shows the password."""
    with pytest.raises(InvalidTransportURL) as caught:
        parse_url(text)

    shown = "".join(traceback.format_exception(caught.value, limit=0))
    assert PASSWORD not in shown + caught.value.url + caught.value.problem


@given(
    st.text("ab:/?#[]@&=%1 ", max_size=8),
    st.text("ab:/?#[]@&=%1 ", max_size=8),
    st.sampled_from(["@", "@host", "@host:9092/", "@host:port/v?a=b"]),
)
@example("", "", "@")
def test_no_mutilated_credentials_are_shown(before: str, after: str, rest: str) -> None:
    """However a password is mutilated by what belongs escaped, an error does not show it."""
    text = f"kafka://user:{before}{PASSWORD}{after}{rest}"
    try:
        url = parse_url(text)
    except InvalidTransportURL as error:
        assert PASSWORD not in f"{error} {error.url} {error.problem}"  # noqa: PT017 - or it parses
    else:
        assert PASSWORD not in url.redacted()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no scheme"),
        ("localhost:9092", "no scheme"),
        ("kafka:/host", "no scheme"),
        ("://host", "the scheme '' is malformed"),
        ("ka_fka://host", "the scheme 'ka_fka' is malformed"),
        ("kafka://host:port", "the port of host 'host' is not 1 to 65535"),
        ("kafka://host:0", "the port of host 'host' is not 1 to 65535"),
        ("kafka://host:65536", "the port of host 'host' is not 1 to 65535"),
        ("kafka://host:", "the port of host 'host' is not 1 to 65535"),
        ("kafka://host:٣", "the port of host 'host' is not 1 to 65535"),
        ("kafka://[::1]:x", "the port of host '[::1]' is not 1 to 65535"),
        ("kafka://ho st", "host 'ho st' is no host name"),
        ("kafka://:9092", "host '' is no host name"),
        ("kafka://::1:9092", "put an IPv6 address in brackets"),
        ("kafka://[::g]:9092", "no IPv6 address"),
        ("kafka://[::1", "has a '[' without a ']'"),
        ("kafka://[::1]9092", "after the brackets"),
        ("kafka://a,,b", "host 2 is empty"),
        ("kafka://u:p@", "host 1 is empty"),
        ("kafka://u%:p@h", "the user name has a '%'"),
        ("kafka://u:p%4@h", "the password has a '%'"),
        ("kafka://h/%x", "the virtual host has a '%'"),
        ("kafka://h/%ff", "the percent-encoding of the virtual host is not UTF-8"),
        ("kafka://h/?a=%f", "the value of 'a' has a '%'"),
        ("kafka://h/?a=%ff", "the percent-encoding of the value of 'a' is not UTF-8"),
        ("kafka://h/?a=1&b", "part 2 of the query has no '='"),
        ("kafka://h/#x", "'#' has no meaning"),
        ("kafka://h/v@x", "'@' comes after the host part"),
    ],
)
def test_malformed_urls_name_the_part(text: str, problem: str) -> None:
    """What is wrong with a URL is named."""
    with pytest.raises(InvalidTransportURL) as caught:
        parse_url(text)

    assert problem in caught.value.problem
    assert str(caught.value).startswith("transport URL ")
    assert isinstance(caught.value, ConfigurationError)


@pytest.mark.parametrize("value", [None, b"kafka://h", 3, ["kafka://h"]])
def test_a_url_is_text(value: object) -> None:
    """Anything but a text is refused."""
    with pytest.raises(InvalidTransportURL, match="a URL is a text"):
        parse_url(value)  # type: ignore[arg-type]


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """No text leads to anything but a URL or an InvalidTransportURL."""
    for candidate in (text, f"kafka://{text}"):
        try:
            url = parse_url(candidate)
            assume(not any("\ud800" <= char <= "\udfff" for char in candidate))
        except InvalidTransportURL:
            continue
        assert parse_url(str(url)) == url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kafka://", TransportURL("kafka")),
        ("KAFKA://Host/", TransportURL("kafka", hosts=[TransportHost("Host")])),
        (" kafka://h/v ", TransportURL("kafka", "v", [TransportHost("h")])),
        (
            "kafka://u:p@h:1, [::1]:2,h3/v/w?a=1&b=x%20y+z&a=2",
            TransportURL(
                "kafka",
                "v/w",
                [TransportHost("h", 1, "u", "p"), TransportHost("::1", 2), TransportHost("h3")],
                {"a": "1,2", "b": "x y z"},
            ),
        ),
        ("kafka://u@x:p@h", TransportURL("kafka", None, [TransportHost("h", None, "u@x", "p")])),
        ("kafka://:p@h", TransportURL("kafka", None, [TransportHost("h", None, "", "p")])),
    ],
)
def test_what_urls_mean(text: str, expected: TransportURL) -> None:
    """Hosts, credentials, virtual host and options are taken apart."""
    assert parse_url(text) == expected


def test_credentials_of_a_url() -> None:
    """One cluster has one user: the first that is named."""
    url = parse_url("kafka://a,u:p@b,v:q@c/")

    assert (url.username, url.password) == ("u", "p")
    assert (TransportURL().username, TransportURL().password) == (None, None)


def test_addresses() -> None:
    """A client gets host:port pairs, IPv6 in brackets, the default port where none is named."""
    url = parse_url("kafka://u:p@a,b:1,[::1]:2,[::2]/")

    assert addresses(url.hosts, 9092) == "a:9092,b:1,[::1]:2,[::2]:9092"


@pytest.mark.functional
@given(url=urls())
def test_upstream_reads_what_we_write(url: TransportURL) -> None:
    """oslo.messaging's parser finds the same parts in a URL that we have written."""
    upstream = pytest.importorskip("oslo_messaging").TransportURL
    conf = pytest.importorskip("oslo_config.cfg").ConfigOpts()
    # Python's parse_qs, which upstream uses, drops options without a value.
    assume(all(url.query.values()))
    try:
        urlsplit(str(url))
    except ValueError:
        reject()  # newer Pythons take no brackets beside another host, and so upstream does not

    theirs = upstream.parse(conf, str(url))

    assert (theirs.transport, theirs.virtual_host or None) == (url.transport, url.virtual_host)
    assert theirs.query == url.query
    assert [vars(host) for host in theirs.hosts] == [
        {field: getattr(host, field) for field in ("hostname", "port", "username", "password")}
        for host in url.hosts
    ]
