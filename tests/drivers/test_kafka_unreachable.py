# SPDX-License-Identifier: Apache-2.0
"""The kafka driver without a broker: bounded errors that name address, cause and remedy."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from kafka_notify.core.message import Partition
from kafka_notify.errors import (
    BrokerRefused,
    BrokerUnavailable,
    ConfigurationError,
    DeliveryTimeout,
    SendBufferFull,
)
from tests.drivers.bench import Bench
from tests.waiting import eventually

BOUND_S = 1.0
GENEROUS_S = 10.0


@pytest.fixture
def address() -> Iterator[str]:
    """Yield an address where nobody listens, and nobody else will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def greeter() -> Iterator[str]:
    """Yield the address of a server that speaks first, as those of SSH and MySQL do."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with suppress(OSError):  # the server is closed
                while True:
                    peer, _ = server.accept()
                    with peer, suppress(OSError):
                        peer.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
                        peer.recv(1000)

        thread = threading.Thread(target=greet)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def bench(address: str) -> Iterator[Bench]:
    opened = Bench(f"kafka://{address}/?send_buffer_records=3&confirm_timeout=1&delivery=confirm")
    yield opened
    opened.close()


def test_questions_end_in_time_and_name_the_address(bench: Bench, address: str) -> None:
    """Asking for topics and offsets raises BrokerUnavailable with address and cause."""
    consumer = bench.consumer("g")
    where = [Partition("t", 0)]
    questions = (
        lambda: bench.admin.partition_counts(["t"], BOUND_S),
        lambda: consumer.committed(where, BOUND_S),
        lambda: consumer.start_offsets(where, BOUND_S),
        lambda: consumer.end_offsets(where, BOUND_S),
    )
    for question in questions:
        started = time.monotonic()
        with pytest.raises(BrokerUnavailable) as caught:
            question()
        assert time.monotonic() - started < GENEROUS_S
        assert f"connecting to {address}" in str(caught.value)
        assert caught.value.code == "_TRANSPORT"
        assert caught.value.retriable


def test_tls_with_who_speaks_another_protocol(greeter: str) -> None:
    """It is refused, whether the greeting came before the first step of the handshake or after."""
    bench = Bench(f"kafka://{greeter}/?security_protocol=SSL")
    for _ in range(5):
        with pytest.raises(BrokerRefused, match=r"wrong version number.*speaks TLS") as caught:
            bench.admin.partition_counts(["t"], BOUND_S)
        assert caught.value.code == "_SSL"
    bench.close()


def test_creating_topics_tells_of_each(bench: Bench, address: str) -> None:
    """Nothing is raised: every topic has its error."""
    outcome = bench.admin.create_topics(
        ["a", "b"], partitions=-1, replication_factor=-1, timeout_s=BOUND_S
    )
    assert outcome.keys() == {"a", "b"}
    for error in outcome.values():
        assert isinstance(error, BrokerUnavailable)
        assert address in str(error)


def test_a_record_times_out_with_the_cause(bench: Bench, address: str) -> None:
    """The report comes after confirm_timeout, and says what the client complained of."""
    producer = bench.producer()
    producer.send("t", b"x", key=None, token=1)
    assert producer.flush(0.05) == 1
    eventually(lambda: producer.poll(0.1) or bench.reports, GENEROUS_S, "the report")
    (report,) = bench.reports
    assert isinstance(report.error, DeliveryTimeout)
    assert report.error.retriable
    assert f"connecting to {address}" in str(report.error)
    assert isinstance(bench.problems[0], BrokerUnavailable)


def test_a_full_buffer_takes_no_more(bench: Bench) -> None:
    """The record over send_buffer_records raises SendBufferFull at once and is not reported on."""
    producer = bench.producer()
    for token in range(3):
        producer.send("t", b"x", key=None, token=token)
    with pytest.raises(SendBufferFull, match="send_buffer_records"):
        producer.send("t", b"x", key=None, token="late")
    producer.purge()
    assert producer.flush(GENEROUS_S) == 0
    assert sorted(report.token for report in bench.reports) == [0, 1, 2]
    assert {type(report.error) for report in bench.reports} == {DeliveryTimeout}


def test_a_member_takes_nothing_and_closes(bench: Bench) -> None:
    """take and close of a member keep to their time without a broker."""
    member = bench.member("g", "t")
    started = time.monotonic()
    assert member.take(0.2) == []
    member.consumer.close()
    assert time.monotonic() - started < GENEROUS_S
    assert isinstance(bench.problems[0], BrokerUnavailable)


@pytest.mark.parametrize(
    ("option", "named"), [("no.such.option:1", "no.such.option"), ("debug:nonsense", "nonsense")]
)
def test_client_options_that_librdkafka_refuses(address: str, option: str, named: str) -> None:
    """An unknown option, or a wrong value, is named when the first client is made."""
    bench = Bench(f"kafka://{address}/?client_options={option}")
    for make in (bench.producer, lambda: bench.consumer("g")):
        with pytest.raises(ConfigurationError, match=named):
            make()
    with pytest.raises(ConfigurationError, match=named):
        bench.admin.partition_counts(["t"], BOUND_S)
    bench.close()


def test_options_of_the_other_kind_make_no_noise(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    """librdkafka has nothing to warn of in a producer with a consumer's options."""
    bench = Bench(f"kafka://{address}/?client_options=fetch.min.bytes:2,linger.ms:1")
    with caplog.at_level(logging.DEBUG, logger="kafka_notify.librdkafka"):
        producer, member = bench.producer(), bench.member("g", "t")
        producer.poll(0.1)
        member.take(0.1)
    assert "CONFWARN" not in caplog.text
    bench.close()


def test_the_clients_chatter_is_not_an_alarm(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Lost connections are told through on_problem; librdkafka's own lines of them are DEBUG."""
    with caplog.at_level(logging.DEBUG, logger="kafka_notify.librdkafka"):
        producer = bench.producer()
        eventually(lambda: producer.poll(0.1) or bench.problems, GENEROUS_S, "a problem")
    assert "Connection refused" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
