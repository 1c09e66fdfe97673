# SPDX-License-Identifier: Apache-2.0
"""oslo.messaging and kafka-notify register their options on one conf, in either order."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg

from kafka_notify import options
from kafka_notify.core.settings import OPTIONS, Settings
from kafka_notify.core.url import parse_url

KAFKA = "oslo_messaging_kafka"
NOTIFICATIONS = "oslo_messaging_notifications"
NOTIFIER_NAMES = ("driver", "transport_url", "topics", "retry", "routing_config")
UPSTREAMS = [
    ("DEFAULT", "transport_url"),
    *((NOTIFICATIONS, name) for name in NOTIFIER_NAMES),
    *((option.group, name) for name, option in OPTIONS.items() if option.upstream),
]


GROUPS = {
    ("oslo.config.opts", "oslo.messaging"): "listed",
    ("oslo.messaging.notify.drivers", "routing"): "routing",
}


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function that says which entry points of oslo.messaging are installed."""

    def install(**found: Callable[[], Any]) -> None:
        points = {name: [SimpleNamespace(load=load)] for name, load in found.items()}
        monkeypatch.setattr(
            metadata, "entry_points", lambda *, group, name: points.get(GROUPS[group, name], [])
        )

    options._upstream_object.cache_clear()
    yield install
    options._upstream_object.cache_clear()


def defined(conf: cfg.ConfigOpts, section: str, name: str) -> Any:
    """Return the definition that a conf has of an option."""
    group = conf if section == "DEFAULT" else conf._groups[section]
    return group._opts[name]["opt"]


def our_definitions() -> dict[tuple[str, str], Any]:
    """Return the definitions of our own table."""
    return {
        (section or "DEFAULT", opt.name): opt
        for section, opts in options.list_opts()
        for opt in opts
    }


def test_ours_stand_in(entry_points: Callable[..., None]) -> None:
    """Without oslo.messaging our own definitions are registered, upstream's names among them."""
    entry_points()
    conf = cfg.ConfigOpts()

    options.register(conf)

    assert options.load(conf, parse_url("kafka://h/")) == Settings()
    ours = our_definitions()
    for section, name in UPSTREAMS:
        assert defined(conf, section, name) == ours[section, name]


def test_broken_oslo_messaging(
    entry_points: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """An oslo.messaging that cannot be imported costs a warning, and ours stand in."""

    def load() -> None:
        raise RuntimeError("no greenlet for this Python")

    entry_points(listed=load, routing=load)

    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert options.load(cfg.ConfigOpts(), parse_url("kafka://h/")) == Settings()

    assert len(caplog.records) == 2  # one for each of the two, not for each conf
    assert "no greenlet for this Python" in caplog.text


def test_another_version_of_oslo_messaging(entry_points: Callable[..., None]) -> None:
    """What the installed version defines is registered, whatever version it is; ours fill gaps."""
    theirs = cfg.IntOpt("max_poll_records", default=42, help="Other words.")
    listing = [
        (cfg.OptGroup(KAFKA), [theirs]),
        ("DEFAULT", [cfg.StrOpt("transport_url", default="amqp://")]),
    ]
    entry_points(listed=lambda: lambda: listing)
    conf = cfg.ConfigOpts()

    settings = options.load(conf, parse_url("kafka://h/"))

    assert defined(conf, KAFKA, "max_poll_records") is theirs
    assert conf.transport_url == "amqp://"
    assert settings == Settings(max_poll_records=42)


@pytest.mark.functional
class TestInstalled:
    """Beside the real oslo.messaging."""

    @pytest.fixture(autouse=True)
    def oslo_messaging(self) -> Any:
        return pytest.importorskip("oslo_messaging")

    @pytest.mark.parametrize(("section", "name"), UPSTREAMS, ids="-".join)
    def test_ours_are_like_upstreams(self, section: str, name: str) -> None:
        """Each option that upstream owns has upstream's type and default in our own table."""
        theirs = {
            (group or "DEFAULT", opt.name): opt
            for (group, _), opt in options._upstream_definitions().items()
        }
        ours = our_definitions()[section, name]

        assert type(ours) is type(theirs[section, name])
        assert ours.default == theirs[section, name].default
        assert type(ours.type) is type(theirs[section, name].type)
        choices = getattr(theirs[section, name].type, "choices", None)
        assert list(getattr(ours.type, "choices", None) or ()) == list(choices or ())

    def test_upstreams_are_registered(self) -> None:
        """A fresh conf gets the installed definitions, equal in all that oslo.config compares."""
        conf = cfg.ConfigOpts()

        options.register(conf)

        theirs = options._upstream_definitions()
        assert len(theirs) > 20
        for section, name in UPSTREAMS:
            key = (None if section == "DEFAULT" else section, name)
            assert defined(conf, section, name) == theirs[key]

    @pytest.mark.parametrize("first", ["ours", "theirs"])
    def test_either_order(self, first: str) -> None:
        """RPC and notifications of oslo.messaging work on our conf, and ours on theirs.

        In a process of its own, for oslo.messaging keeps options in cfg.CONF, too.
        """
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", EITHER_ORDER, first],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr

    def test_warnings_of_oslo_messaging(self) -> None:
        """Where warnings are errors, those of its imports do not keep its options away."""
        code = "from kafka_notify import options; assert len(options._upstream_definitions()) > 20"

        subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)

    def test_default_changed_by_the_program(self, oslo_messaging: Any) -> None:
        """A default that the program changes in oslo.messaging's own table is no clash."""
        from oslo_messaging.notify import notifier

        before = [vars(opt).copy() for opt in notifier._notifier_opts]
        cfg.set_defaults(notifier._notifier_opts, topics=["changed"])
        try:
            conf = cfg.ConfigOpts()
            options.register(conf)
            oslo_messaging.Notifier(oslo_messaging.get_notification_transport(conf, "fake://"))
        finally:
            for opt, was in zip(notifier._notifier_opts, before, strict=True):
                vars(opt).update(was)

        assert options.load(conf, parse_url("kafka://h/")).notifications.topics == ("changed",)


EITHER_ORDER = """
import sys
from oslo_config import cfg
from kafka_notify import options
from kafka_notify.core.url import parse_url

def ours(conf):
    url, settings = options.resolve(conf, "kafka://h/")
    assert settings.max_poll_records == 11 and settings.delivery == "confirm"
    assert settings.executor_thread_pool_size == 5 and settings.notifications.retry == 4
    assert options.configured_url(conf) == "kafka://here/"

def theirs(conf):
    import oslo_messaging
    from oslo_messaging._drivers.kafka_driver import kafka_options
    from oslo_messaging.notify import _impl_routing

    target = oslo_messaging.Target(topic="t", server="s")
    rpc = oslo_messaging.get_rpc_transport(conf, "fake://")
    getattr(oslo_messaging, "get_rpc_client", oslo_messaging.RPCClient)(rpc, target)
    server = oslo_messaging.get_rpc_server(rpc, target, [object()], executor="threading")
    server.start(); server.stop(); server.wait()
    transport = oslo_messaging.get_notification_transport(conf, "fake://")
    notifier = oslo_messaging.Notifier(transport, "p", driver="messaging")
    notifier.info({}, "e", {})
    listener = oslo_messaging.get_notification_listener(
        transport, [target], [type("E", (), {"info": print})()], executor="threading"
    )
    listener.start(); listener.stop(); listener.wait()
    kafka_options.register_opts(conf, oslo_messaging.TransportURL.parse(conf, "kafka://h/"))
    conf.register_opts([_impl_routing.router_config], group="oslo_messaging_notifications")
    assert conf.control_exchange == "openstack" and conf.rpc_response_timeout == 60

conf = cfg.CONF
import tempfile
with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
    file.write(
        "[DEFAULT]\\ntransport_url = kafka://here/\\nexecutor_thread_pool_size = 5\\n"
        "[oslo_messaging_notifications]\\nretry = 4\\n"
        "[oslo_messaging_kafka]\\nmax_poll_records = 11\\ndelivery = confirm\\n"
    )
    file.flush()
    conf([], project="p", default_config_files=[file.name], default_config_dirs=[])
order = [ours, theirs] if sys.argv[1] == "ours" else [theirs, ours]
for step in order + order:
    step(conf)
print("done")
"""
