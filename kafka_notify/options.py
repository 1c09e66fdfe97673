# SPDX-License-Identifier: Apache-2.0
"""The only module that reads a conf: options registered, values loaded, the transport URL found.

oslo.messaging may live in the same process and register its own options on the same conf, before
or after us. What an option is and which there are is told by ``core.settings``. oslo.config is
imported on first use: it costs 0.18 s that ``import kafka_notify`` need not.
"""

from __future__ import annotations

import functools
import logging
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from kafka_notify.core import url as core_url
from kafka_notify.core.option import Option
from kafka_notify.core.settings import OPTIONS, NotifierSettings, Settings, parse_query
from kafka_notify.errors import ConfigurationError

if TYPE_CHECKING:
    from oslo_config.cfg import ConfigOpts, Opt

_LOG = logging.getLogger(__name__)

_NOTIFICATIONS = "oslo_messaging_notifications"
_URL_FORM = "kafka://[user:password@]host:port[,host:port...]/[virtual_host][?option=value&...]"
_NO_URL = (
    "a transport URL is nowhere: set [oslo_messaging_notifications] transport_url or [DEFAULT] "
    "transport_url, or give url="
)


def list_opts() -> list[tuple[str | None, list[Opt]]]:
    """Return all options with their sections (None is [DEFAULT]), for oslo.config's generators."""
    defaults = [_default_url_opt()]
    sections: dict[str | None, list[Opt]] = {None: defaults, _NOTIFICATIONS: _notification_opts()}
    for option in OPTIONS.values():
        sections.setdefault(_section(option), []).append(_make_opt(option))
    return list(sections.items())


def register(conf: ConfigOpts) -> None:
    """Register every option that ``conf`` has not got yet. Repeatable.

    A name that oslo.messaging owns is left as it is where ``conf`` has it, and registered as the
    installed oslo.messaging defines it where not: so that either can come first.

    Raises ConfigurationError when somebody else has registered one of our own names differently.
    """
    from oslo_config import cfg

    absent = [
        (section, opt)
        for section, opts in list_opts()
        for opt in opts
        if not (_is_upstreams(section, opt.name) and _has(conf, section, opt.name))
    ]
    upstreams = any(_is_upstreams(section, opt.name) for section, opt in absent)
    definitions = _upstream_definitions() if upstreams else {}
    for section, opt in absent:
        if _is_upstreams(section, opt.name):
            opt = definitions.get((section, opt.name), opt)  # noqa: PLW2901 - theirs instead of ours
        try:
            conf.register_opt(opt, group=section)
        except cfg.DuplicateOptError as error:
            raise ConfigurationError(
                f"option {_shown(section, opt.name)}: the program has registered another option "
                "of this name; kafka-notify needs its own, so rename the other"
            ) from error


def load(conf: ConfigOpts | None, url: core_url.TransportURL) -> Settings:
    """Return the settings of ``conf`` with the overrides of the URL's query over them.

    Without a conf the defaults stand in for it. Raises ConfigurationError that names every option
    whose value is wrong.
    """
    overrides = parse_query(url.query)
    if conf is None:
        return Settings(**overrides)
    register(conf)
    reader = _Reader(conf)
    values = {**reader.settings(), "notifications": reader.notifications(), **overrides}
    reader.raise_problems()
    return Settings(**values)


def configured_url(conf: ConfigOpts | None) -> str:
    """Return the transport URL that the user has configured, never a default.

    The section of the notifications comes first, then [DEFAULT]. Raises ConfigurationError that
    says where to set it.
    """
    if conf is None:
        raise ConfigurationError(_NO_URL)
    register(conf)
    reader = _Reader(conf)
    found = [
        reader.value(section, "transport_url")
        for section in (_NOTIFICATIONS, None)
        if reader.is_set(section, "transport_url")
    ]
    reader.raise_problems()
    for text in filter(None, found):
        return str(text)
    raise ConfigurationError(_NO_URL)


class TransportURL(core_url.TransportURL):
    """A transport URL as oslo.messaging's class of this name makes, parses and compares it.

    Equal are URLs of the same transport, virtual host and hosts; the query takes no part.
    """

    __slots__ = ("conf",)

    def __init__(
        self,
        conf: ConfigOpts | None = None,
        transport: str | None = None,
        virtual_host: str | None = None,
        hosts: list[core_url.TransportHost] | None = None,
        query: dict[str, str] | None = None,
    ) -> None:
        super().__init__(
            transport,
            virtual_host,
            [] if hosts is None else hosts,
            {} if query is None else query,
        )
        self.conf = conf

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, core_url.TransportURL):
            return NotImplemented
        return (self.transport, self.virtual_host, self.hosts) == (
            other.transport,
            other.virtual_host,
            other.hosts,
        )

    __hash__ = core_url.TransportURL.__hash__

    @classmethod
    def parse(
        cls, conf: ConfigOpts | None = None, url: str | core_url.TransportURL | None = None
    ) -> TransportURL:
        """Return the URL that ``url`` spells, without one the URL that ``conf`` holds.

        Raises InvalidTransportURL that names the part that is wrong, or ConfigurationError when
        there is no URL anywhere.
        """
        if isinstance(url, cls):
            return url
        if not isinstance(url, core_url.TransportURL):
            url = core_url.parse_url(url or configured_url(conf))
        return cls(conf, url.transport, url.virtual_host, url.hosts, url.query)


def transport_url(
    conf: ConfigOpts | None, url: str | core_url.TransportURL | None
) -> core_url.TransportURL:
    """Return the URL to connect to: ``url`` if there is one, else what ``conf`` says.

    Raises as ``TransportURL.parse``.
    """
    return TransportURL.parse(conf, url)


def resolve(
    conf: ConfigOpts | None, url: str | core_url.TransportURL | None
) -> tuple[core_url.TransportURL, Settings]:
    """Return the URL to connect to and the settings that go with it.

    Raises as ``transport_url`` and ``load``.
    """
    found = transport_url(conf, url)
    return found, load(conf, found)


def make_conf(config_files: Iterable[str]) -> ConfigOpts:
    """Return a conf that holds these files, and no other; for programs that have none.

    Raises ConfigurationError that names a file which is missing, unreadable or malformed.
    """
    from oslo_config import cfg

    conf = cfg.ConfigOpts()
    try:
        conf(
            [],
            project="kafka-notify",
            default_config_files=list(config_files),
            default_config_dirs=[],
        )
    except cfg.ConfigFileParseError as error:
        # Its text quotes the line, which may hold a password.
        line = getattr(error.__context__, "lineno", "?")
        raise ConfigurationError(
            f"config file {error.config_file}: line {line} is neither a [section], nor "
            "name = value, nor a # comment"
        ) from error
    except cfg.Error as error:
        raise ConfigurationError(f"config files: {error}") from error
    return conf


class _Reader:
    """Reads one conf and gathers what is wrong in it, so that all of it is told at once."""

    def __init__(self, conf: ConfigOpts) -> None:
        self._conf = conf
        self._problems: list[tuple[str, Exception]] = []

    def value(self, section: str | None, name: str) -> Any:
        """Return an option's value, None where it is wrong."""
        return self._guarded(section, name, lambda: _options_in(self._conf, section)[name])

    def is_set(self, section: str | None, name: str) -> bool:
        """Tell whether the user, or the program, has set the option at all."""
        location = self._guarded(section, name, lambda: self._conf.get_location(name, section))
        return location is not None and location.location.name != "opt_default"

    def settings(self) -> dict[str, Any]:
        """Return the values that Settings takes; left out is what its own default stands for."""
        values = {}
        for name, option in OPTIONS.items():
            value = self.value(_section(option), name)
            if value is not None:
                values[name] = tuple(value) if option.kind is tuple else value
        return values

    def notifications(self) -> NotifierSettings:
        """Return what [oslo_messaging_notifications] says."""
        driver = None
        if self.is_set(_NOTIFICATIONS, "driver"):
            # An empty setting gives [''] from a file, [] from a program.
            driver = tuple(filter(None, self.value(_NOTIFICATIONS, "driver") or ()))
        defaults = NotifierSettings()
        topics = self.value(_NOTIFICATIONS, "topics")
        retry = self.value(_NOTIFICATIONS, "retry")
        return NotifierSettings(
            driver=driver,
            topics=defaults.topics if topics is None else tuple(topics),
            retry=defaults.retry if retry is None else retry,
            routing_config=self.value(_NOTIFICATIONS, "routing_config") or "",
        )

    def raise_problems(self) -> None:
        """Raise one ConfigurationError for all that was wrong so far."""
        if self._problems:
            texts = dict.fromkeys(text for text, _ in self._problems)
            raise ConfigurationError("; ".join(texts)) from self._problems[0][1]

    def _guarded(self, section: str | None, name: str, read: Callable[[], Any]) -> Any:
        from oslo_config import cfg

        try:
            return read()
        except (cfg.Error, ValueError) as error:
            self._problems.append((f"option {_shown(section, name)}: {error}", error))
            return None


def _section(option: Option) -> str | None:
    return None if option.group == "DEFAULT" else option.group


def _shown(section: str | None, name: str) -> str:
    return f"[{section or 'DEFAULT'}] {name}"


def _is_upstreams(section: str | None, name: str) -> bool:
    option = OPTIONS.get(name)
    return section == _NOTIFICATIONS or option is None or option.upstream


def _options_in(conf: ConfigOpts, section: str | None) -> Any:
    return conf if section is None else conf[section]


def _has(conf: ConfigOpts, section: str | None, name: str) -> bool:
    return (section is None or section in conf) and name in _options_in(conf, section)


def _upstream_definitions() -> dict[tuple[str | None, str], Opt]:
    """Return the installed oslo.messaging's options; asked anew each time, defaults may change."""
    found: dict[tuple[str | None, str], Opt] = {}
    routing = _upstream_object("oslo.messaging.notify.drivers", "routing")
    if routing is not None:
        # Not in its list_opts(): the driver's module registers this one on its own.
        opt = getattr(sys.modules[routing.__module__], "router_config", None)
        if opt is not None:
            found[_NOTIFICATIONS, opt.name] = opt
    list_upstreams = _upstream_object("oslo.config.opts", "oslo.messaging")
    for group, opts in list_upstreams() if list_upstreams is not None else ():
        section = getattr(group, "name", group)
        for opt in opts:
            found[None if section == "DEFAULT" else section, opt.name] = opt
    return found


@functools.cache
def _upstream_object(group: str, name: str) -> Any:
    """Return what an entry point names; None where it is not installed or cannot be loaded."""
    from importlib import metadata

    for entry_point in metadata.entry_points(group=group, name=name):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # eventlet's, which is no fault of our user
                return entry_point.load()
        except Exception as error:  # noqa: BLE001 - another project's code, which we can do without
            _LOG.warning(
                "oslo.messaging is installed, but %s of %s cannot be loaded (%s: %s); "
                "kafka-notify's own definitions of its options stand in",
                name,
                group,
                type(error).__name__,
                error,
            )
    return None


def _make_opt(option: Option) -> Opt:
    """Return oslo.config's form of an option."""
    from oslo_config import cfg

    details: dict[str, Any] = {"default": option.default, "help": option.full_help()}
    if option.secret or option.kind is dict:
        # A dict of librdkafka's options may hold passwords; oslo.config logs all values at start.
        details["secret"] = True
    if option.kind in (int, float):
        details |= {"min": option.minimum, "max": option.maximum}
        return (cfg.IntOpt if option.kind is int else cfg.FloatOpt)(option.name, **details)
    if option.choices:
        details["choices"] = list(option.choices.items())
    if option.kind is tuple:
        details["default"] = list(option.default)
    opt_class = {bool: cfg.BoolOpt, tuple: cfg.ListOpt, dict: cfg.DictOpt}
    made: Opt = opt_class.get(option.kind, cfg.StrOpt)(option.name, **details)
    return made


def _default_url_opt() -> Opt:
    from oslo_config import cfg

    return cfg.StrOpt(
        "transport_url",
        # Upstream's default, which another definition would clash with; we never connect to it.
        default="rabbit://",
        sample_default=_URL_FORM,
        secret=True,
        help="Where RPC goes, and notifications where [oslo_messaging_notifications] has no "
        "transport_url. There is no default for notifications: without a URL nothing starts.",
    )


def _notification_opts() -> list[Opt]:
    from oslo_config import cfg

    return [
        cfg.MultiStrOpt(
            "driver",
            default=[],
            help="What a notifier does with notifications; give it several times for several "
            "drivers. 'messaging' and 'messagingv2' send them to Kafka (over Kafka they are the "
            "same), 'log' writes them to the log, 'routing' chooses by routing_config, 'noop' "
            "and 'test' send nothing. Not set at all means messagingv2; set to nothing means "
            "that nothing is sent, and one warning says so.",
        ),
        cfg.StrOpt(
            "transport_url",
            secret=True,
            sample_default=_URL_FORM,
            help="The Kafka cluster for notifications. User, password and virtual host are "
            "percent-encoded; the query overrides options of [oslo_messaging_kafka], for example "
            "?delivery=confirm. Without it [DEFAULT] transport_url is used.",
        ),
        cfg.ListOpt(
            "topics",
            default=["notifications"],
            help="Topics that notifiers send to. The priority is added, and the URL's virtual "
            "host: notifications.info, notifications.info.vhost.",
        ),
        cfg.IntOpt(
            "retry",
            default=-1,
            help="How often a failed send is repeated: -1 without end, 0 never. Upstream's Kafka "
            "driver ignores it; here it counts with delivery=confirm.",
        ),
        cfg.StrOpt(
            "routing_config",
            default="",
            help="YAML file with the rules of the notifier driver 'routing'.",
        ),
    ]
