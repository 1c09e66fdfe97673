# SPDX-License-Identifier: Apache-2.0
"""The transport URLs that lib/messaging gives services."""

from __future__ import annotations

import pytest

from kafka_notify.core.url import TransportHost, TransportURL, parse_url
from tests.devstack.conftest import Bash

LOCAL_RABBIT = "rabbit://stackrabbit:rabbitpw@198.51.100.1:5672/"
AWKWARD = "p@ss:w/rd %#?é\\\"'*[]&+€"


def urls(bash: Bash, **local_conf: str) -> list[str]:
    done = bash(
        "get_transport_url; get_transport_url nova_cell1; get_notification_url", **local_conf
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("local_conf", "rpc", "notifications"),
    [
        ({}, LOCAL_RABBIT, "kafka-notify://198.51.100.1:9092/"),
        ({"NOTIFY_DRIVER": "kafka"}, LOCAL_RABBIT, "kafka://198.51.100.1:9092/"),
        ({"NOTIFY_SERVICE": "rabbit"}, LOCAL_RABBIT, LOCAL_RABBIT),
        (
            {"NOTIFY_SERVICE": "rabbit", "NOTIFY_VHOST": "notify", "NOTIFY_HOST": "r2"},
            LOCAL_RABBIT,
            "rabbit://stackrabbit:rabbitpw@r2:5672/notify",
        ),
        (
            {
                "RPC_HOST": "198.51.100.10",
                "RPC_PORT": "5673",
                "RPC_USERNAME": "rpc",
                "RPC_PASSWORD": "secret",
                "NOTIFY_HOST": "198.51.100.20",
                "NOTIFY_PORT": "9094",
                "NOTIFY_VHOST": "cloud1",
            },
            "rabbit://rpc:secret@198.51.100.10:5673/",
            "kafka-notify://198.51.100.20:9094/cloud1",
        ),
        (
            {"DISABLED_SERVICES": "kafka", "NOTIFY_HOST": "198.51.100.20"},
            LOCAL_RABBIT,
            "kafka-notify://198.51.100.20:9092/",
        ),
        (
            {"NOTIFY_HOST": "k1:9092,k2:9093,k3", "RPC_HOST": "r1,r2:5673"},
            "rabbit://stackrabbit:rabbitpw@r1:5672,stackrabbit:rabbitpw@r2:5673/",
            "kafka-notify://k1:9092,k2:9093,k3:9092/",
        ),
        (
            {"SERVICE_HOST": "[2001:db8::1]", "HOST_IP": "127.0.0.1"},
            "rabbit://stackrabbit:rabbitpw@[2001:db8::1]:5672/",
            "kafka-notify://[2001:db8::1]:9092/",
        ),
        (
            {"NOTIFY_HOST": "2001:db8::1, [2001:db8::2]:9094"},
            LOCAL_RABBIT,
            "kafka-notify://[2001:db8::1]:9092,[2001:db8::2]:9094/",
        ),
        (
            {
                "NOTIFY_HOST": "k1,k2",
                "NOTIFY_USERNAME": "nova",
                "NOTIFY_PASSWORD": "pw",
                "NOTIFY_SECURITY_PROTOCOL": "SASL_SSL",
                "NOTIFY_OPTIONS": "sasl_mechanism=SCRAM-SHA-512&ssl_cafile=/etc/ssl/ca.pem",
            },
            LOCAL_RABBIT,
            "kafka-notify://nova:pw@k1:9092,nova:pw@k2:9092/?security_protocol=SASL_SSL"
            "&sasl_mechanism=SCRAM-SHA-512&ssl_cafile=/etc/ssl/ca.pem",
        ),
    ],
)
def test_urls(bash: Bash, local_conf: dict[str, str], rpc: str, notifications: str) -> None:
    """Each configuration gives the two URLs; a cell's vhost goes into that of RPC alone."""
    assert urls(bash, **local_conf) == [rpc, f"{rpc}nova_cell1", notifications]


def test_credentials_are_encoded(bash: Bash) -> None:
    """Whatever a user name or a password holds, a URL's reader gets it back."""
    rpc, _, notifications = urls(
        bash,
        RPC_USERNAME=f"rpc{AWKWARD}",
        RPC_PASSWORD=AWKWARD,
        NOTIFY_USERNAME=f"notify{AWKWARD}",
        NOTIFY_PASSWORD=AWKWARD,
    )
    assert parse_url(rpc).hosts == [TransportHost("198.51.100.1", 5672, f"rpc{AWKWARD}", AWKWARD)]
    assert parse_url(notifications) == TransportURL(
        "kafka-notify",
        None,
        [TransportHost("198.51.100.1", 9092, f"notify{AWKWARD}", AWKWARD)],
        {"security_protocol": "SASL_PLAINTEXT"},
    )


def test_services_get_both_urls(bash: Bash) -> None:
    """iniset_rpc_backend writes both URLs; that of notifications never has a cell's vhost."""
    done = bash("iniset_rpc_backend nova nova_cell1.conf DEFAULT nova_cell1")
    assert done.stdout.splitlines() == [
        f"iniset nova_cell1.conf [DEFAULT] transport_url = {LOCAL_RABBIT}nova_cell1",
        "iniset nova_cell1.conf [oslo_messaging_notifications] transport_url = "
        "kafka-notify://198.51.100.1:9092/",
    ]


def test_keystone_keeps_the_notification_url(bash: Bash) -> None:
    """Keystone names the section of notifications, which must not get the URL of RPC."""
    done = bash("iniset_rpc_backend keystone keystone.conf oslo_messaging_notifications")
    assert done.stdout.splitlines() == [
        f"iniset keystone.conf [DEFAULT] transport_url = {LOCAL_RABBIT}",
        "iniset keystone.conf [oslo_messaging_notifications] transport_url = "
        "kafka-notify://198.51.100.1:9092/",
    ]


def test_heartbeats_of_rabbit_are_written(bash: Bash) -> None:
    """RABBIT_HEARTBEAT_*, which DevStack's own function writes, are not lost."""
    done = bash(
        "iniset_rpc_backend nova nova.conf",
        RABBIT_HEARTBEAT_TIMEOUT_THRESHOLD="60",
        RABBIT_HEARTBEAT_RATE="3",
    )
    assert done.stdout.splitlines()[1:3] == [
        "iniset nova.conf [oslo_messaging_rabbit] heartbeat_timeout_threshold = 60",
        "iniset nova.conf [oslo_messaging_rabbit] heartbeat_rate = 3",
    ]


def test_a_cells_vhost_is_made_in_the_rabbit_of_devstack(bash: Bash) -> None:
    """nova_cell1 is made though nova_cell10 is there; what is there is not made again."""
    script = "rpc_backend_add_vhost nova_cell1; rpc_backend_add_vhost nova_cell10"
    assert bash(script).stdout.splitlines() == [
        "rabbitmqctl add_vhost nova_cell1",
        "rabbitmqctl set_permissions -p nova_cell1 stackrabbit .* .* .*",
        "rabbitmqctl set_permissions -p nova_cell10 stackrabbit .* .* .*",
    ]


def test_a_cells_vhost_elsewhere_is_left_to_its_owner(bash: Bash) -> None:
    """With RabbitMQ on another host stack.sh goes on, and says what has to exist there."""
    done = bash(
        "rpc_backend_add_vhost nova_cell1", RPC_HOST="198.51.100.9", ENABLED_SERVICES="key"
    )
    assert done.returncode == 0
    assert done.stdout.startswith("The vhost nova_cell1 has to exist in RabbitMQ on 198.51.100.9")


def test_the_login_of_rpc_is_that_of_devstacks_rabbit(bash: Bash) -> None:
    """stack.sh makes the user that services use, and asks for no other password."""
    done = bash(
        'echo "$RABBIT_USERID $RABBIT_PASSWORD $RABBIT_HOST"',
        RPC_USERNAME="rpc",
        RPC_PASSWORD="secret",
        RPC_HOST="198.51.100.9",
    )
    assert done.stdout == "rpc secret 198.51.100.9\n"


@pytest.mark.parametrize(
    ("rpc_host", "rabbit_host"),
    [("r1", "r1"), ("[::1]", "[::1]"), ("r1,r2", "none"), ("r1:5673", "none")],
)
def test_other_plugins_read_rabbit_host(bash: Bash, rpc_host: str, rabbit_host: str) -> None:
    """RABBIT_HOST, which others add a port to, follows RPC_HOST where that is one host alone."""
    done = bash('echo "$RABBIT_HOST"', RPC_HOST=rpc_host, RABBIT_HOST="none")
    assert done.stdout == f"{rabbit_host}\n"


def test_no_password_in_the_trace(bash: Bash) -> None:
    """stack.sh runs with xtrace, and what the functions do with a password is not in its log."""
    done = bash(
        "set -o xtrace; iniset_rpc_backend nova nova.conf > /dev/null",
        NOTIFY_USERNAME="nova",
        NOTIFY_PASSWORD="hunter2",
    )
    assert "+ iniset_rpc_backend" in done.stderr
    assert "hunter2" not in done.stderr
    assert "rabbitpw" not in done.stderr
