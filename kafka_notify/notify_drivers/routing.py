# SPDX-License-Identifier: Apache-2.0
"""The notify driver that chooses others by event type and priority, by upstream's rules file.

::

    group_1:
      messaging:
        accepted_events: [compute.*]
        accepted_priorities: [info, error]
      log:
        accepted_events: ['*']
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kafka_notify.errors import ConfigurationError
from kafka_notify.notify_drivers.base import Driver
from kafka_notify.runtime.notifier import load_notify_driver

if TYPE_CHECKING:
    from kafka_notify.runtime.transport import NotificationTransport

_RULES = ("accepted_events", "accepted_priorities")


class RoutingDriver(Driver):
    """Call each driver whose rules accept a notification, once, in whichever group they are.

    The file is ``[oslo_messaging_notifications] routing_config``; it is read when the driver is
    made, so a mistake in it is an error then and not at the first notification.
    """

    def __init__(self, conf: Any, topics: Sequence[str], transport: NotificationTransport) -> None:
        super().__init__(conf, topics, transport)
        path = transport.settings.notifications.routing_config
        self._groups = _read(path)
        names = {name for group in self._groups.values() for name in group}
        if "routing" in names:
            raise ConfigurationError(f"routing_config {path}: routing cannot route to itself")
        self._drivers = {
            name: load_notify_driver(name, transport, topics) for name in sorted(names)
        }

    def notify(self, ctxt: Any, msg: dict[str, Any], priority: str, retry: int | None) -> None:
        """Pass one notification to all drivers that accept it."""
        for name, driver in self._drivers.items():
            if any(
                name in group and _accepts(group[name], msg["event_type"], priority.lower())
                for group in self._groups.values()
            ):
                driver.notify(ctxt, msg, priority, retry)


def _accepts(rules: dict[str, list[str]], event_type: str, priority: str) -> bool:
    events = rules.get("accepted_events")
    priorities = rules.get("accepted_priorities")
    return (events is None or any(fnmatch.fnmatch(event_type, one) for one in events)) and (
        priorities is None or any(fnmatch.fnmatch(priority, one.lower()) for one in priorities)
    )


def _read(path: str) -> dict[str, dict[str, dict[str, list[str]]]]:
    # oslo.config brings PyYAML along; only this driver needs it.
    import yaml

    if not path:
        raise ConfigurationError(
            "the notify driver 'routing' needs [oslo_messaging_notifications] routing_config"
        )
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"routing_config {path}: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"routing_config {path}: it must map group names to drivers")
    return {str(name): _checked(path, str(name), group) for name, group in content.items()}


def _checked(path: str, name: str, group: Any) -> dict[str, dict[str, list[str]]]:
    if not isinstance(group, dict):
        raise ConfigurationError(
            f"routing_config {path}: group {name!r} must map drivers to rules"
        )
    checked: dict[str, dict[str, list[str]]] = {}
    for driver, rules in group.items():
        for rule, patterns in (rules or {}).items():
            if rule not in _RULES or not isinstance(patterns, list):
                raise ConfigurationError(
                    f"routing_config {path}: {name}.{driver}.{rule}: known are "
                    f"{' and '.join(_RULES)}, each with a list of patterns"
                )
        checked[str(driver)] = dict(rules or {})
    return checked
