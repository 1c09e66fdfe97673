# SPDX-License-Identifier: Apache-2.0
"""Values: from the conf, over it from the URL's query, and what is said of wrong ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from oslo_config import cfg

from kafka_notify import options
from kafka_notify.core.settings import OPTIONS, NotifierSettings, Settings
from kafka_notify.core.url import TransportURL, parse_url
from kafka_notify.errors import ConfigurationError

ConfOf = Callable[[str], cfg.ConfigOpts]

URL = parse_url("kafka://h:9092/")
KAFKA = "oslo_messaging_kafka"
NOTIFICATIONS = "oslo_messaging_notifications"


def notifications(conf: cfg.ConfigOpts) -> NotifierSettings:
    return options.load(conf, URL).notifications


def test_defaults(conf_of: ConfOf) -> None:
    """An empty conf gives the defaults, as no conf does."""
    assert options.load(conf_of(""), URL) == Settings()
    assert options.load(None, URL) == Settings()


def test_every_kind_of_value(conf_of: ConfOf) -> None:
    """Each kind of option arrives in the type that Settings has."""
    conf = conf_of(
        f"[DEFAULT]\nexecutor_thread_pool_size = 7\n[{KAFKA}]\n"
        "delivery = confirm\nmax_poll_records = 5\nconfirm_timeout = 2\ncontext_fields = a, b\n"
        "client_options = socket.keepalive.enable:true, debug : broker\n"
    )

    settings = options.load(conf, URL)

    assert settings == Settings(
        executor_thread_pool_size=7,
        delivery="confirm",
        max_poll_records=5,
        confirm_timeout=2.0,
        context_fields=("a", "b"),
        client_options={"socket.keepalive.enable": "true", "debug": "broker"},
    )


def test_query_wins(conf_of: ConfOf) -> None:
    """An option in the URL's query wins over the conf; the rest of the conf stays."""
    conf = conf_of(f"[{KAFKA}]\nmax_poll_records = 5\nconsumer_group = g\n")
    url = parse_url("kafka://h/?max_poll_records=9&executor_thread_pool_size=3")

    settings = options.load(conf, url)

    assert (settings.max_poll_records, settings.consumer_group) == (9, "g")
    assert settings.executor_thread_pool_size == 3
    assert options.load(None, url).max_poll_records == 9


def test_unknown_option_in_query() -> None:
    """An unknown option in the query is refused, with the nearest name."""
    with pytest.raises(ConfigurationError, match=r"'max_pol_records'.*did you mean max_poll"):
        options.load(None, parse_url("kafka://h/?max_pol_records=9"))


def test_section_of_notifications(conf_of: ConfOf) -> None:
    """The section of the notifications fills NotifierSettings."""
    conf = conf_of(
        f"[{NOTIFICATIONS}]\ndriver = messagingv2\ndriver = log\ntopics = a,b\nretry = 3\n"
        "routing_config = routes.yaml\n"
    )

    assert notifications(conf) == NotifierSettings(
        driver=("messagingv2", "log"), topics=("a", "b"), retry=3, routing_config="routes.yaml"
    )


def test_driver_not_set(conf_of: ConfOf) -> None:
    """A driver that nobody set is None, which is not the same as an empty list."""
    assert notifications(conf_of("")).driver is None
    assert notifications(cfg.ConfigOpts()).driver is None


def test_driver_set_to_nothing(conf_of: ConfOf) -> None:
    """An empty driver is an empty list: in a file, or by the program."""
    assert notifications(conf_of(f"[{NOTIFICATIONS}]\ndriver =\n")).driver == ()

    conf = conf_of("")
    options.register(conf)
    conf.set_override("driver", [], group=NOTIFICATIONS)
    assert notifications(conf).driver == ()


def test_set_override_after_register() -> None:
    """A program may override and default our options as any others."""
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf.set_override("delivery", "confirm", group=KAFKA)
    conf.set_default("max_record_bytes", 2000, group=KAFKA)

    settings = options.load(conf, URL)

    assert (settings.delivery, settings.max_record_bytes) == ("confirm", 2000)
    with pytest.raises(ValueError, match=r"[Vv]alid values"):
        conf.set_override("delivery", "never", group=KAFKA)


@pytest.mark.parametrize(
    ("section", "line", "named"),
    [
        (KAFKA, "max_record_bytes = many", f"[{KAFKA}] max_record_bytes"),
        (KAFKA, "max_poll_records = many", f"[{KAFKA}] max_poll_records"),
        (KAFKA, "delivery = perhaps", f"[{KAFKA}] delivery"),
        (KAFKA, "connect_timeout = 0", f"[{KAFKA}] connect_timeout"),
        (KAFKA, "enable_auto_commit = perhaps", f"[{KAFKA}] enable_auto_commit"),
        (KAFKA, "client_options = debug", f"[{KAFKA}] client_options"),
        (NOTIFICATIONS, "retry = often", f"[{NOTIFICATIONS}] retry"),
        ("DEFAULT", "executor_thread_pool_size = x", "[DEFAULT] executor_thread_pool_size"),
    ],
)
def test_wrong_type(conf_of: ConfOf, section: str, line: str, named: str) -> None:
    """A value of the wrong type is an error that names section and option."""
    with pytest.raises(ConfigurationError) as caught:
        options.load(conf_of(f"[{section}]\n{line}\n"), URL)

    assert f"option {named}: " in str(caught.value)
    assert caught.value.__cause__ is not None


def test_all_problems_at_once(conf_of: ConfOf) -> None:
    """Every wrong value of a conf is named by the one error."""
    conf = conf_of(
        f"[{KAFKA}]\ndelivery = x\nmax_record_bytes = y\n[{NOTIFICATIONS}]\nretry = z\n"
    )

    with pytest.raises(ConfigurationError) as caught:
        options.load(conf, URL)

    for name in ("delivery", "max_record_bytes", "retry"):
        assert name in str(caught.value)


@pytest.mark.parametrize("line", ["max_poll_records = 0", "kafka_consumer_timeout = nan"])
def test_ranges_upstream_does_not_check(conf_of: ConfOf, line: str) -> None:
    """Our ranges hold for upstream's options as well, whose own definitions have none."""
    with pytest.raises(ConfigurationError, match=line.partition(" ")[0]):
        options.load(conf_of(f"[{KAFKA}]\n{line}\n"), URL)


def test_own_name_taken_by_the_program() -> None:
    """One of our own names with another definition is an error that names the option."""
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("delivery", default="dhl"), group=KAFKA)

    with pytest.raises(ConfigurationError, match=rf"option \[{KAFKA}\] delivery") as caught:
        options.register(conf)

    assert isinstance(caught.value.__cause__, cfg.DuplicateOptError)


def test_upstream_name_taken_by_the_program() -> None:
    """One of upstream's names that is registered already is read as it is."""
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.IntOpt("max_poll_records", default=33), group=KAFKA)
    conf.register_opt(cfg.StrOpt("transport_url", default=None))

    assert options.load(conf, URL).max_poll_records == 33
    with pytest.raises(ConfigurationError, match="nowhere"):
        options.configured_url(conf)


def test_upstream_name_of_another_type() -> None:
    """One of upstream's names registered as something else is refused, not misread."""
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("max_poll_records", default="many"), group=KAFKA)

    with pytest.raises(ConfigurationError, match="max_poll_records"):
        options.load(conf, URL)


def test_secrets_are_not_shown(conf_of: ConfOf, caplog: pytest.LogCaptureFixture) -> None:
    """Neither repr() nor an error shows a password; our own definitions are marked secret."""
    conf = conf_of(
        f"[{KAFKA}]\nssl_client_key_password = s3cret1\n"
        "client_options = ssl.keystore.password:s3cret2\n"
        "[DEFAULT]\ntransport_url = kafka://u:s3cret3@h/\n"
    )
    url, settings = options.resolve(conf, None)

    assert settings.ssl_client_key_password == "s3cret1"
    assert "s3cret" not in f"{settings!r} {url!r}"
    hidden = {opt.dest for _, opts in options.list_opts() for opt in opts if opt.secret}
    assert hidden == {"transport_url", "ssl_client_key_password", "client_options"}


def test_wrong_client_options_are_not_shown(conf_of: ConfOf) -> None:
    """An error about client_options, which may hold passwords, does not quote them."""
    wrong = "ssl.key.password:abc,s3cret"
    for load in (
        lambda: options.load(conf_of(f"[{KAFKA}]\nclient_options = {wrong}\n"), URL),
        lambda: options.load(None, TransportURL(query={"client_options": wrong})),
    ):
        with pytest.raises(ConfigurationError, match="client_options") as caught:
            load()
        assert "s3cret" not in f"{caught.value} {caught.value.__cause__!r}"


def test_missing_config_file(tmp_path: Path) -> None:
    """A config file that is not there is an error that names it."""
    with pytest.raises(ConfigurationError, match=r"absent\.conf"):
        options.make_conf([str(tmp_path / "absent.conf")])


def test_malformed_config_file(conf_of: ConfOf) -> None:
    """A malformed config file is named with the line, whose text may hold a password."""
    with pytest.raises(ConfigurationError, match=r"service\.conf: line 2") as caught:
        conf_of("[DEFAULT]\ntransport_url kafka;//u;s3cret@h/\n")

    assert "s3cret" not in str(caught.value)


def test_no_config_files(tmp_path: Path) -> None:
    """Without files there are the defaults, whatever lies about on the machine."""
    assert options.load(options.make_conf([]), URL) == Settings()


def test_registering_is_repeatable() -> None:
    """Each transport registers again."""
    conf = cfg.ConfigOpts()
    for _ in range(3):
        options.register(conf)


def test_every_option_is_listed_once() -> None:
    """list_opts() has each row of Settings in its section, with help, and nothing twice."""
    listed = [
        (section or "DEFAULT", opt.dest) for section, opts in options.list_opts() for opt in opts
    ]

    assert len(listed) == len(set(listed))
    assert {(option.group, name) for name, option in OPTIONS.items()} <= set(listed)
    assert all(opt.help for _, opts in options.list_opts() for opt in opts)


def test_importing_options_does_not_import_oslo_config() -> None:
    """Importing us stays cheap: oslo.config is loaded when a conf is there to be read."""
    code = "import sys, kafka_notify.options; sys.exit('oslo_config' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
