# SPDX-License-Identifier: Apache-2.0
"""Notifications of the shape and size of Nova's versioned ones, made up: 0.3 to 3.3 kB of JSON.

Shapes after https://docs.openstack.org/nova/latest/reference/notifications.html. The same seed
gives the same notifications.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_COMPUTES = tuple(f"compute-{number}" for number in range(1, 17))
_API = "nova-api:controller-1"
_CONDUCTOR = "nova-conductor:controller-1"
_SCHEDULER = "nova-scheduler:controller-1"

_ACTIONS = (
    "create",
    "delete",
    "power_off",
    "power_on",
    "reboot",
    "rebuild",
    "resize",
    "resume",
    "shutdown",
    "snapshot",
    "suspend",
    "live_migration_post",
    "volume_attach",
)


class Sample(NamedTuple):
    """One notification to emit; ``priority`` names the notifier's method."""

    priority: str
    publisher_id: str
    event_type: str
    payload: dict[str, Any]


def sample_notifications(count: int, *, seed: int = 0) -> Iterator[Sample]:
    """Yield ``count`` notifications: mostly of instances, by several publishers, some errors."""
    source = random.Random(seed)  # noqa: S311 - made-up data, no secrets
    makers, weights = zip(*_MAKERS, strict=True)
    for _ in range(count):
        maker: Callable[[random.Random], Sample] = source.choices(makers, weights)[0]
        yield maker(source)


def _instance_action(source: random.Random) -> Sample:
    host = source.choice(_COMPUTES)
    action, failed = source.choice(_ACTIONS), source.random() < 0.1
    phase = "error" if failed else source.choice(("start", "end"))
    fault = _exception(source, "nova.compute.manager") if failed else None
    return Sample(
        "error" if failed else "info",
        f"nova-compute:{host}",
        f"instance.{action}.{phase}",
        _nova_object("InstanceActionPayload", "1.8", {**_instance(source, host), "fault": fault}),
    )


def _instance_update(source: random.Random) -> Sample:
    host = source.choice(_COMPUTES)
    update = {
        **_instance(source, host),
        "audit_period": _nova_object(
            "AuditPeriodPayload",
            "1.0",
            {
                "audit_period_beginning": "2026-10-01T00:00:00Z",
                "audit_period_ending": "2026-10-29T13:42:11Z",
            },
        ),
        "old_display_name": None,
        "state_update": _nova_object(
            "InstanceStateUpdatePayload",
            "1.0",
            {
                "old_state": "active",
                "state": "active",
                "old_task_state": source.choice((None, "scheduling", "networking", "spawning")),
                "new_task_state": None,
            },
        ),
        "bandwidth": [],
        "tags": [],
    }
    return Sample(
        "info",
        f"nova-compute:{host}",
        "instance.update",
        _nova_object("InstanceUpdatePayload", "2.0", update),
    )


def _aggregate(source: random.Random) -> Sample:
    data = {
        "name": "rack-" + str(source.randint(1, 40)),
        "metadata": {"availability_zone": "nova"},
        "uuid": _uuid(source),
        "hosts": list(_COMPUTES[: source.randint(0, 2)]),
        "id": source.randint(1, 400),
    }
    return Sample(
        "info",
        _API,
        f"aggregate.{source.choice(('add_host', 'remove_host', 'update_prop'))}.end",
        _nova_object("AggregatePayload", "1.1", data),
    )


def _service(source: random.Random) -> Sample:
    host = source.choice(_COMPUTES)
    data = {
        "host": host,
        "disabled": False,
        "last_seen_up": "2026-10-29T13:42:05Z",
        "binary": "nova-compute",
        "topic": "compute",
        "disabled_reason": None,
        "report_count": source.randint(1, 90_000),
        "forced_down": False,
        "version": 68,
        "availability_zone": None,
        "uuid": _uuid(source),
    }
    return Sample(
        "info",
        f"nova-compute:{host}",
        "service.update",
        _nova_object("ServiceStatusPayload", "1.1", data),
    )


def _select_destinations(source: random.Random) -> Sample:
    return Sample(
        "info",
        _SCHEDULER,
        f"scheduler.select_destinations.{source.choice(('start', 'end'))}",
        _request_spec(source),
    )


def _build_failed(source: random.Random) -> Sample:
    data = {
        "instance_uuid": _uuid(source),
        "request_spec": _request_spec(source),
        "state": "error",
        "reason": _exception(source, "nova.conductor.manager"),
    }
    return Sample(
        "error",
        _CONDUCTOR,
        "compute_task.build_instances.error",
        _nova_object("ComputeTaskPayload", "1.0", data),
    )


_MAKERS: tuple[tuple[Callable[[random.Random], Sample], int], ...] = (
    (_instance_action, 60),
    (_instance_update, 12),
    (_aggregate, 11),
    (_service, 11),
    (_select_destinations, 3),
    (_build_failed, 3),
)


def _nova_object(name: str, version: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "nova_object.name": name,
        "nova_object.namespace": "nova",
        "nova_object.version": version,
        "nova_object.data": data,
    }


def _uuid(source: random.Random) -> str:
    return str(uuid.UUID(int=source.getrandbits(128), version=4))


def _hex(source: random.Random, digits: int) -> str:
    return f"{source.getrandbits(4 * digits):0{digits}x}"


def _instance(source: random.Random, host: str) -> dict[str, Any]:
    return {
        "uuid": _uuid(source),
        "display_name": "vm-" + _hex(source, 4),
        "display_description": "a made-up server",
        "host": host,
        "host_name": "vm-" + _hex(source, 4),
        "node": host,
        "user_id": "demo",
        "tenant_id": _hex(source, 32),
        "action_initiator_user": "demo",
        "action_initiator_project": _hex(source, 32),
        "request_id": "req-" + _uuid(source),
        "reservation_id": "r-" + _hex(source, 8),
        "image_uuid": _uuid(source),
        "flavor": _flavor(source),
        "ip_addresses": [_address(source)],
        "block_devices": [_volume(source)],
        "power_state": source.choice(("pending", "running", "shutdown")),
        "state": source.choice(("active", "building", "stopped")),
        **_INSTANCE_CONSTANTS,
    }


_INSTANCE_CONSTANTS: dict[str, Any] = {
    "architecture": "x86_64",
    "auto_disk_config": "MANUAL",
    "availability_zone": "nova",
    "created_at": "2026-10-29T13:42:11Z",
    "deleted_at": None,
    "kernel_id": "",
    "key_name": "my-key",
    "keypairs": [],
    "launched_at": "2026-10-29T13:42:15Z",
    "locked": False,
    "locked_reason": None,
    "metadata": {},
    "os_type": None,
    "progress": 0,
    "ramdisk_id": "",
    "shares": [],
    "task_state": None,
    "terminated_at": None,
    "updated_at": "2026-10-29T13:42:11Z",
}


def _address(source: random.Random) -> dict[str, Any]:
    data = {
        "mac": "fa:16:3e:" + ":".join(_hex(source, 2) for _ in range(3)),
        "address": f"192.168.{source.randint(0, 31)}.{source.randint(2, 250)}",
        "port_uuid": _uuid(source),
        "meta": {},
        "version": 4,
        "label": "private",
        "device_name": "tap" + _hex(source, 10),
    }
    return _nova_object("IpPayload", "1.0", data)


def _volume(source: random.Random) -> dict[str, Any]:
    data = {
        "boot_index": None,
        "delete_on_termination": False,
        "device_name": "/dev/sdb",
        "tag": None,
        "volume_id": _uuid(source),
    }
    return _nova_object("BlockDevicePayload", "1.0", data)


def _flavor(source: random.Random) -> dict[str, Any]:
    data = {
        "flavorid": _uuid(source),
        "name": source.choice(("m1.small", "m1.large", "c4.xlarge")),
        "root_gb": 20,
        "vcpus": source.choice((1, 2, 4)),
        "ephemeral_gb": 0,
        "memory_mb": source.choice((512, 2048, 8192)),
        "disabled": False,
        "rxtx_factor": 1.0,
        "extra_specs": {"hw:watchdog_action": "disabled"},
        "projects": None,
        "swap": 0,
        "is_public": True,
        "vcpu_weight": 0,
        "description": None,
    }
    return _nova_object("FlavorPayload", "1.4", data)


def _request_spec(source: random.Random) -> dict[str, Any]:
    image = {
        "id": _uuid(source),
        "name": "cirros-0.6.2-x86_64-disk",
        "container_format": "bare",
        "disk_format": "qcow2",
        "created_at": "2026-01-01T01:02:03Z",
        "updated_at": "2026-01-01T01:02:03Z",
        "min_disk": 0,
        "min_ram": 0,
        "size": 21_430_272,
        "status": "active",
        "visibility": "public",
        "protected": False,
        "tags": ["lts", "minimal"],
        "properties": _nova_object("ImageMetaPropsPayload", "1.19", {"hw_architecture": "x86_64"}),
    }
    data = {
        "instance_uuid": _uuid(source),
        "project_id": _hex(source, 32),
        "user_id": "demo",
        "availability_zone": None,
        "flavor": _flavor(source),
        "image": _nova_object("ImageMetaPayload", "1.0", image),
        "num_instances": 1,
        "numa_topology": None,
        "pci_requests": None,
        "force_hosts": None,
        "force_nodes": None,
        "ignore_hosts": None,
        "instance_group": None,
        "requested_destination": None,
        "retry": None,
        "scheduler_hints": {},
        "security_groups": ["default"],
    }
    return _nova_object("RequestSpecPayload", "1.1", data)


def _exception(source: random.Random, module: str) -> dict[str, Any]:
    message = source.choice(
        (
            "No valid host was found. There are not enough hosts available.",
            "Flavor's disk is too small for the requested image.",
            "Timed out while waiting for the network of the server.",
        )
    )
    line = f'  File "{module.replace(".", "/")}.py", line {source.randint(100, 9000)}, in run\n'
    data = {
        "module_name": module,
        "function_name": "run",
        "exception": "NovaException",
        "exception_message": message,
        "traceback": f"Traceback (most recent call last):\n{line * 8}NovaException: {message}\n",
    }
    return _nova_object("ExceptionPayload", "1.1", data)
