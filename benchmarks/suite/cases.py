# SPDX-License-Identifier: Apache-2.0
"""What is measured: each case is one measure, of several systems in turns."""

from __future__ import annotations

from dataclasses import dataclass

from suite.workloads import AFTER, BEFORE, SHARE, Data, Series, merged

STANDING = Data(count=1_000_000)
"""What the systems receive, each in a group of its own: all of it, or the first part."""

KEYS = (100, 1_000, 10_000)
CONCURRENCIES = (16, 100)
PAUSES_S = (0.0, 0.005)
IDEAL_PAUSE_S = 0.01
IDEAL_KEYS = 1_000
IDEAL_CONCURRENCY = 100
_ENOUGH_WINDOW = {"url": {"dispatch_window": 20_000}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison.

    Attributes:
        measure: The programs' name for it; ``import`` is timed from outside.
        figures: Those that the table shows, in this order.
        data: What lies in the topic before; None: the topic is new and empty.
        kind: ``alone``: one process; ``loaded``: a sender and a listener, at half of what the
            system can do; ``shared``: processes of one group, as many as the option says.
    """

    name: str
    title: str
    measure: str
    figures: tuple[str, ...]
    series: tuple[Series, ...]
    data: Data | None = None
    rounds: int = 3
    kind: str = "alone"


def _confirmed(callers: int, *, count: int, slow: int) -> Case:
    told = {"callers": callers}
    return Case(
        name=f"confirm-{callers}",
        title=f"Send, each call returns when Kafka has it; callers at once: {callers}",
        measure="send_confirmed",
        figures=("rate", "cpu_us"),
        series=(
            Series(system="raw", options=told, count=count),
            Series(system="ours", options=told, count=count),
            Series(system="plugin", options=told, count=count),
            Series(system="faststream", options=told, count=slow, rounds=2),
            Series(system="aiokafka", options=told, count=slow, rounds=2),
        ),
    )


def _pausing(data: Data, concurrency: int, *, rounds: int = 99) -> tuple[Series, ...]:
    """Return us, with endpoints in threads and as coroutines, and Parallel Consumer."""
    ours = merged(AFTER, _ENOUGH_WINDOW, {"url": {"workers": concurrency}})
    return (
        Series(system="ours", options=ours, count=data.count),
        Series(
            system="ours",
            way="coroutines",
            options=merged(ours, {"coroutines": True}),
            count=data.count,
        ),
        Series(
            system="parallel",
            options={"concurrency": concurrency, "pauses": data.pauses},
            count=data.count,
            rounds=rounds,
        ),
    )


def _parallel(keys: int, concurrency: int) -> Case:
    data = Data(count=10_000, partitions=1, keys=keys, pauses=PAUSES_S, record_bytes=500)
    return Case(
        name=f"parallel-{keys}-{concurrency}",
        title=f"10,000 endpoints of up to 5 ms, 500 bytes, {keys:,} keys, {concurrency} at once",
        measure="pausing",
        figures=("seconds", "rate", "cpu_us", "rss_mb"),
        data=data,
        series=_pausing(data, concurrency),
    )


def _ideal() -> Case:
    pauses = (IDEAL_PAUSE_S, IDEAL_PAUSE_S)
    data = Data(count=20_000, partitions=1, keys=IDEAL_KEYS, pauses=pauses)
    return Case(
        name="ideal",
        title="20,000 endpoints of 10 ms, one partition, 1,000 keys, 100 at once: ideal is 2 s",
        measure="pausing",
        figures=("seconds", "rate", "cpu_us", "rss_mb"),
        data=data,
        series=_pausing(data, IDEAL_CONCURRENCY, rounds=2),
    )


def _shared(system: str, processes: int, *, count: int) -> Series:
    return Series(system=system, way=f"{processes}", options={"processes": processes}, count=count)


def _codec(name: str) -> Series:
    return Series(
        system="ours", way=name, options={"url": {"compression_codec": name}}, count=40_000
    )


SEND = Case(
    name="send",
    title="Send, one thread, until Kafka has confirmed all (upstream: until it has flushed)",
    measure="send",
    figures=("rate", "cpu_us", "log_bytes", "rss_mb"),
    rounds=5,
    series=(
        Series(system="raw", count=100_000),
        Series(system="ours", count=60_000),
        Series(system="plugin", count=40_000),
        Series(system="upstream", count=30_000),
        Series(system="faststream", count=6_000, rounds=3),
        Series(system="aiokafka", count=20_000, rounds=3),
    ),
)

RECEIVE = Case(
    name="receive",
    title="Receive and dispatch, from the first to the last notification",
    measure="receive",
    figures=("rate", "cpu_us", "rss_mb"),
    rounds=5,
    data=STANDING,
    series=(
        # By default a client whose queue is full fetches nothing for a second. In 200,000 that
        # came once or never, and the rate was 100,000 or 400,000.
        Series(system="raw", way="commit per 500", count=STANDING.count),
        Series(
            system="raw",
            way="commit per 500, fetch.queue.backoff.ms=100",
            options={"librdkafka": {"fetch.queue.backoff.ms": 100}},
            count=STANDING.count,
            rounds=3,
        ),
        Series(system="ours", way="before_dispatch", options=BEFORE, count=100_000),
        Series(system="ours", way="after_dispatch", options=AFTER, count=100_000),
        Series(
            system="ours",
            way="batches, before_dispatch",
            options=merged(BEFORE, {"batch": 500}),
            count=100_000,
            rounds=3,
        ),
        Series(
            system="ours",
            way="batches, after_dispatch",
            options=merged(AFTER, {"batch": 500}),
            count=100_000,
            rounds=3,
        ),
        Series(system="ours", way="share", options=SHARE, count=30_000, rounds=2),
        Series(system="plugin", way="before_dispatch", options=BEFORE, count=25_000),
        Series(system="plugin", way="after_dispatch", options=AFTER, count=25_000, rounds=3),
        Series(system="upstream", count=15_000),
        Series(system="null", count=25_000),
        Series(system="faststream", count=8_000, rounds=2),
        Series(system="aiokafka", count=60_000, rounds=3),
    ),
)

LATENCY = Case(
    name="latency",
    title="From info() to the endpoint, one notification at a time",
    measure="latency",
    figures=("p50_ms", "p99_ms", "p999_ms"),
    rounds=5,
    series=(
        Series(system="raw", way="commit first", options={"commits": True}, count=1_000),
        Series(system="ours", way="before_dispatch", options=BEFORE, count=1_000),
        Series(system="raw", way="no commit", options={"commits": False}, count=1_000),
        Series(system="ours", way="after_dispatch", options=AFTER, count=1_000),
        Series(system="plugin", way="before_dispatch", options=BEFORE, count=500, rounds=2),
        Series(system="upstream", count=12, rounds=2),
        Series(system="faststream", count=300, rounds=2),
        Series(system="aiokafka", count=300, rounds=2),
    ),
)

LOADED = Case(
    name="loaded",
    title="From when it was due to the endpoint, at half of what the system can send and receive",
    measure="delays",
    figures=("p50_ms", "p99_ms", "p999_ms", "rate"),
    kind="loaded",
    series=(
        Series(system="raw", way="commit first", options={"commits": True}, count=0),
        Series(system="ours", way="before_dispatch", options=BEFORE, count=0),
        Series(system="raw", way="no commit", options={"commits": False}, count=0),
        Series(system="ours", way="after_dispatch", options=AFTER, count=0),
        Series(system="plugin", way="before_dispatch", options=BEFORE, count=0, rounds=2),
        Series(system="upstream", count=0, rounds=2),
    ),
)

SHARED = Case(
    name="processes",
    title="Receive in several processes of one pool, together (on the machine's cores)",
    measure="receive",
    figures=("rate", "cpu_us"),
    kind="shared",
    data=Data(count=200_000, partitions=8, keys=64),
    rounds=2,
    series=(
        _shared("raw", 1, count=200_000),
        _shared("raw", 2, count=200_000),
        _shared("ours", 1, count=200_000),
        _shared("ours", 2, count=200_000),
        _shared("ours", 4, count=200_000),
        _shared("upstream", 1, count=30_000),
        _shared("upstream", 2, count=30_000),
    ),
)

COMPRESSION = Case(
    name="compression",
    title="Send with each codec",
    measure="send",
    figures=("rate", "cpu_us", "log_bytes"),
    rounds=2,
    series=tuple(map(_codec, ("none", "gzip", "snappy", "lz4", "zstd"))),
)

_STARTING = ("raw", "ours", "plugin", "upstream", "faststream", "aiokafka")

IMPORT = Case(
    name="import",
    title="Import, without the interpreter's own start",
    measure="import",
    figures=("import_ms", "rss_mb"),
    series=tuple(
        Series(system=one, count=1)
        for one in ("raw", "ours", "upstream", "faststream", "aiokafka")
    ),
)

FIRST_SENT = Case(
    name="first-sent",
    title="From the start of a process until its first notification is on Kafka",
    measure="first_sent",
    figures=("first_ms", "rss_mb"),
    series=tuple(Series(system=one, count=1) for one in _STARTING),
)

FIRST_RECEIVED = Case(
    name="first-received",
    title="From the start of a process until its endpoint has the first notification",
    measure="first_received",
    figures=("first_ms", "rss_mb"),
    data=STANDING,
    series=tuple(Series(system=one, count=1) for one in _STARTING),
)

EMBEDDED = Case(
    name="embedded",
    title="Send, then receive, on librdkafka's mock cluster in the same process",
    measure="send_receive",
    figures=("sent_rate", "rate", "rss_mb"),
    rounds=2,
    series=(Series(system="embedded", count=2_500),),  # of which its mock keeps 5 MB
)

CASES: tuple[Case, ...] = (
    SEND,
    RECEIVE,
    LATENCY,
    LOADED,
    *(_parallel(keys, concurrency) for keys in KEYS for concurrency in CONCURRENCIES),
    _ideal(),
    _confirmed(1, count=1_000, slow=500),
    _confirmed(8, count=4_000, slow=2_000),
    _confirmed(64, count=10_000, slow=4_000),
    SHARED,
    COMPRESSION,
    IMPORT,
    FIRST_SENT,
    FIRST_RECEIVED,
    EMBEDDED,
)
