# SPDX-License-Identifier: Apache-2.0
"""The embedded cluster: shared by name, reached by address, gone with its last driver."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from kafka_notify.core.settings import Settings
from kafka_notify.core.url import parse_url
from kafka_notify.drivers.base import load_driver
from kafka_notify.errors import InvalidTransportURL
from tests.drivers.bench import TIMEOUT_S, Bench, take_until
from tests.waiting import eventually

SENDER = """
import sys
from tests.drivers.bench import Bench
bench = Bench(sys.argv[1])
bench.send(sys.argv[2], [b"from outside"])
bench.close()
"""

FORKED = """
import os, sys, warnings
from kafka_notify.core.settings import Settings
from kafka_notify.core.url import parse_url
from kafka_notify.drivers.base import load_driver
warnings.simplefilter("ignore", DeprecationWarning)
url = parse_url("embedded://forked/")
parent = load_driver(url, Settings())
if not os.fork():
    child = load_driver(url, Settings())
    assert child.address == parent.address, (child.address, parent.address)
    child.close()
    parent.close()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
admin = parent.new_admin(on_problem=print)
assert admin.partition_counts(["t"], 10) == {}
parent.close()
"""


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def test_drivers_of_one_name_share_a_cluster(unique: str) -> None:
    """It starts with the first driver and ends with the last; close may be called twice."""
    first, second = Bench(f"embedded://{unique}/"), Bench(f"embedded://{unique}/v")
    other = Bench(f"embedded://{unique}.other/")
    assert first.driver.address == second.driver.address != other.driver.address
    first.create("t")
    assert second.admin.partition_counts(["t"], TIMEOUT_S) == {"t": 4}
    assert other.admin.partition_counts(["t"], TIMEOUT_S) == {}
    first.close()
    first.close()
    assert listens(second.driver.address)
    second.close()
    eventually(lambda: not listens(second.driver.address), TIMEOUT_S, "the end of the cluster")
    assert listens(other.driver.address)
    other.close()


def test_a_name_used_again_is_a_new_cluster(unique: str) -> None:
    """Nothing is left of a cluster that ended."""
    first = Bench(f"embedded://{unique}/")
    first.create("t")
    first.close()
    second = Bench(f"embedded://{unique}/")
    assert second.admin.partition_counts(["t"], TIMEOUT_S) == {}
    second.close()


def test_other_processes_reach_it_by_its_address(unique: str) -> None:
    """driver.address works in a kafka:// URL of another process."""
    bench = Bench(f"embedded://{unique}/")
    bench.create(unique)
    member = bench.member("g", unique)
    subprocess.run(
        [sys.executable, "-c", SENDER, f"kafka://{bench.driver.address}/", unique],
        check=True,
        timeout=TIMEOUT_S * 2,
    )
    take_until([member], lambda: member.values == [b"from outside"], "the record")
    bench.close()


def test_child_of_fork_uses_its_parents_cluster() -> None:
    """The same name is the same cluster in the child, whose end does not end it."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("url", ["embedded://a:1/", "embedded://a,b/", "embedded://u:p@a/"])
def test_url_is_a_name_and_nothing_else(url: str) -> None:
    """Ports, several hosts and users are refused."""
    with pytest.raises(InvalidTransportURL, match="embedded://name/"):
        load_driver(parse_url(url), Settings())


def test_number_of_partitions_is_what_the_mock_gives(
    caplog: pytest.LogCaptureFixture, unique: str
) -> None:
    """Another number than 4 is warned of, and not heeded."""
    Bench(f"embedded://{unique}/?topic_partitions=4").close()
    assert caplog.text == ""
    bench = Bench(f"embedded://{unique}/?topic_partitions=9")
    assert "topic_partitions=9 is not heeded" in caplog.text
    bench.admin.create_topics(["t"], partitions=9, replication_factor=-1, timeout_s=TIMEOUT_S)
    assert bench.admin.partition_counts(["t"], TIMEOUT_S) == {"t": 4}
    bench.close()


def test_security_options_are_not_for_it(unique: str) -> None:
    """Options that say how to talk to the real cluster do not keep one from using this one."""
    bench = Bench(f"embedded://{unique}/?security_protocol=SASL_SSL&ssl_cafile=/nowhere")
    bench.send("t", [b"x"])
    bench.close()
