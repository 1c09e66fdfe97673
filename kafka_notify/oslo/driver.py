# SPDX-License-Identifier: Apache-2.0
"""The transport driver ``kafka-notify`` of oslo.messaging: a thin face over the transport.

URL: ``kafka-notify://[user:password@]host[:9092][,host…]/vhost?option=value``. With
``kafka-notify+embedded://`` or ``kafka-notify+memory://`` another of our drivers is beneath.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from oslo_messaging import DriverLoadFailure, Target
from oslo_messaging import TransportURL as OsloURL
from oslo_messaging._drivers import base

from kafka_notify import native, options
from kafka_notify.core import naming
from kafka_notify.core.batching import BatchRule
from kafka_notify.core.url import TransportHost, TransportURL
from kafka_notify.errors import KafkaNotifyError
from kafka_notify.oslo.errors import (
    DRIVER,
    RPCUnsupported,
    not_sent,
    while_loading,
    while_starting,
)
from kafka_notify.oslo.listener import Adapter, PollListener
from kafka_notify.oslo.log_relay import relay_logs
from kafka_notify.oslo.waiting import aside
from kafka_notify.runtime.transport import NotificationTransport


class KafkaNotifyDriver(base.BaseDriver):
    """Notifications over Kafka for oslo.messaging. Threads: any; green ones, too; survives fork.

    Raises InvalidTransportURL or DriverLoadFailure, which say what is wrong; connects to nothing.
    """

    def __init__(
        self,
        conf: Any,
        url: OsloURL,
        default_exchange: str | None = None,
        allowed_remote_exmods: list[str] | None = None,
    ) -> None:
        super().__init__(conf, url, default_exchange, allowed_remote_exmods)
        if native.is_patched_too_late():
            raise DriverLoadFailure(
                DRIVER,
                "eventlet.monkey_patch() ran after kafka_notify was imported; call it first",
            )
        _prepare()
        with while_loading():
            found, settings = options.resolve(conf, _our_url(url))
            self._transport = NotificationTransport(found, settings, conf=conf)

    def require_features(self, requeue: bool = False) -> None:
        """Return: what oslo.messaging can ask for, requeueing, is there."""

    def send(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse RPC."""
        raise RPCUnsupported

    def listen(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse RPC."""
        raise RPCUnsupported

    def send_notification(
        self,
        target: Target,
        ctxt: Any,
        message: Mapping[str, Any],
        version: float,
        retry: int | None = None,
    ) -> None:
        """Send to the target's topic; returns as the option ``delivery`` says.

        Raises MessageDeliveryFailure or InvalidTarget. With delivery=report a record that fails
        later is an ERROR in the log; ``retry`` counts with delivery=confirm.
        """
        _prepare()
        try:
            # Encoded here: what is read of a context or payload may belong to this thread.
            record = self._transport.prepare(target.topic, ctxt=ctxt, message=message)
            aside(self._transport.send_prepared, record, retry)
        except KafkaNotifyError as error:
            raise not_sent(error, target.topic) from error

    def listen_for_notifications(
        self,
        targets_and_priorities: Iterable[tuple[Target, str]],
        pool: str | None,
        batch_size: int | None,
        batch_timeout: float | None,
    ) -> base.PollStyleListenerAdapter:
        """Return a listener that has joined its group: nothing sent from now on is missed.

        Blocks at most ``start_timeout``. Raises ListenFailure.
        """
        _prepare()
        transport = self._transport
        with while_starting():
            names = {
                naming.topic_name(target.topic, priority, transport.vhost)
                for target, priority in targets_and_priorities
            }
            batch = None
            if batch_size is not None and batch_size > 1:
                batch = BatchRule(size=batch_size, timeout_s=batch_timeout)
            listener = PollListener(
                transport,
                group=naming.group_name(pool, transport.settings.consumer_group),
                topics=sorted(names),
                batch=batch,
            )
            listener.start()
        return Adapter(listener, batch_size, batch_timeout)

    def cleanup(self) -> None:
        """Stop the listeners and deliver what the brokers can take. Idempotent.

        Blocks at most ``close_timeout``, and what ``PollListener.stop`` says for each listener.
        """
        aside(self._transport.cleanup)


def _prepare() -> None:
    """See to what green threads need; again and again, since a service may have forked."""
    if native.PATCHED:
        relay_logs()


def _our_url(url: OsloURL) -> TransportURL:
    """Return oslo.messaging's URL as ours; the part behind a plus names another driver of ours."""
    driver = url.transport.partition("+")[2]
    hosts = [
        TransportHost(host.hostname, host.port, host.username, host.password) for host in url.hosts
    ]
    return TransportURL(driver or DRIVER, url.virtual_host, hosts, dict(url.query))
