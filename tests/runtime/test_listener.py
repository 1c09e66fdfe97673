# SPDX-License-Identifier: Apache-2.0
"""Listeners: which endpoints are called with what, and what is committed when."""

import threading

import pytest

import kafka_notify
from kafka_notify.core.events import (
    EndpointFailed,
    GroupStarted,
    LeftBehind,
    RecordUndecodable,
    TopicsMissing,
)
from kafka_notify.core.message import Partition
from kafka_notify.errors import (
    BrokerUnavailable,
    ClosedError,
    CommitUnanswered,
    ConfigurationError,
    InvalidEndpoint,
    InvalidName,
    InvalidTarget,
)
from tests.runtime.conftest import BOUND_S, Recorder
from tests.waiting import eventually


def append(cluster, value, key=b"k"):
    """Write a record as another program would."""
    with cluster.changed:
        cluster.append("notifications.info", value, key=key, headers=())
        cluster.changed.notify_all()


@pytest.fixture
def notifier(transport):
    return kafka_notify.Notifier(transport, "compute.h1")


def test_an_endpoint_gets_what_was_sent(transport, notifier, recorder, listen):
    """ctxt, publisher_id, event_type, payload and metadata, at each priority."""
    listen(transport, recorder)
    notifier.info({"user_id": "u"}, "a.b", {"x": 1})
    notifier.critical({}, "c.d", [2])
    calls = recorder.wait_for(2)
    by_priority = dict(calls)
    ctxt, publisher_id, event_type, payload, metadata = by_priority["info"]
    assert (ctxt, publisher_id, event_type, payload) == (
        {"user_id": "u"}, "compute.h1", "a.b", {"x": 1}
    )  # fmt: skip
    assert set(metadata) == {"message_id", "timestamp"}
    assert by_priority["critical"][3] == [2]


def test_a_listener_has_the_topics_of_its_endpoints_priorities(transport, cluster, listen):
    """An endpoint with one method makes one topic, not seven."""

    class OnlyErrors:
        def error(self, ctxt, publisher_id, event_type, payload, metadata):
            """Take it."""

    listen(transport, OnlyErrors())
    assert list(cluster.topics()) == ["notifications.error"]


def test_each_pool_gets_everything_once(transport, notifier, listen):
    """Two pools, two listeners in one of them: 20 notifications reach each pool."""
    one, two, other = Recorder(), Recorder(), Recorder()
    listen(transport, one, pool="first")
    listen(transport, two, pool="first")
    listen(transport, other, pool="second")
    for number in range(20):
        notifier.prepare(publisher_id=str(number)).info({}, "e", number)
    other.wait_for(20)
    eventually(lambda: len(one.calls) + len(two.calls) >= 20, BOUND_S, "20 in the first pool")
    assert sorted(one.payloads + two.payloads) == list(range(20))
    assert sorted(other.payloads) == list(range(20))


def test_filters_choose_the_endpoint(transport, notifier, listen):
    """Only what matches the rule comes; both endpoints see what both want."""
    computes, everything = Recorder(), Recorder()
    computes.filter_rule = kafka_notify.NotificationFilter(publisher_id="^compute")
    listen_one = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic="notifications")], [computes, everything], pool="p"
    )
    listen_one.start()
    notifier.info({}, "e", 1)
    notifier.prepare(publisher_id="network.h1").info({}, "e", 2)
    assert sorted(arguments[3] for _, arguments in everything.wait_for(2)) == [1, 2]
    listen_one.stop()
    listen_one.wait()
    assert computes.payloads == [1]


def test_an_endpoint_that_raises_costs_nothing_else(transport, notifier, recorder, listen):
    """The next endpoint and the next notification come; the error names endpoint and message."""

    class Broken:
        def info(self, *arguments):
            raise ZeroDivisionError("oops")

    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic="notifications")], [Broken(), recorder], pool="p"
    )
    listener.start()
    notifier.info({}, "e", 1)
    notifier.info({}, "e", 2)
    recorder.wait_for(2)
    listener.stop()
    listener.wait()
    failed = [event for event in transport.events if isinstance(event, EndpointFailed)]
    assert len(failed) == 2
    assert failed[0].endpoint.endswith("Broken.info")
    assert failed[0].message_ids[0]
    assert transport.stats()["endpoint_errors"] == 2


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_endpoint_cannot_end_its_worker(connect, listen, end):
    """sys.exit() in an endpoint is an error of that endpoint; its key's next one comes."""
    transport = connect("executor_thread_pool_size=1")
    seen = []
    done = threading.Event()

    class Leaving:
        def info(self, ctxt, publisher_id, event_type, payload, metadata):
            seen.append(payload)
            if payload == 2:
                done.set()
            raise end

    listen(transport, Leaving())
    notifier = kafka_notify.Notifier(transport, "p")
    for number in range(3):
        notifier.info({}, "e", number)
    assert done.wait(BOUND_S)
    assert seen == [0, 1, 2]


def test_a_filter_that_raises_costs_only_its_endpoint(transport, notifier, recorder):
    """The other endpoint is called, the error told, and the lane goes on."""

    class BrokenFilter:
        def match(self, *fields):
            raise ZeroDivisionError("oops")

    screened = Recorder()
    screened.filter_rule = BrokenFilter()
    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic="notifications")], [screened, recorder], pool="p"
    )
    listener.start()
    notifier.info({}, "e", 1)
    notifier.info({}, "e", 2)
    recorder.wait_for(2)
    listener.stop()
    listener.wait()
    assert recorder.payloads == [1, 2]
    assert screened.calls == []
    assert transport.stats()["endpoint_errors"] == 2


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\xfe", "not JSON"),
        (b"{", "not JSON"),
        (b"[1]", "JSON list"),
        (None, "tombstone"),
        (b'{"oslo.version": "3.0", "oslo.message": "{}"}', "version '3.0'"),
        (b'{"oslo.version": "2.0", "oslo.message": 7}', "not a text"),
        (b'{"no": "priority"}', "no priority"),
        (b'{"priority": "LOUD"}', "'loud'"),
    ],
)
def test_an_undecodable_record_costs_only_itself(
    transport, cluster, notifier, recorder, listen, value, reason
):
    """It is counted and told with topic, partition, offset and reason; the next one comes."""
    listen(transport, recorder)
    append(cluster, value)
    notifier.info({}, "e", "good")
    recorder.wait_for(1)
    [skipped] = eventually(
        lambda: [event for event in transport.events if isinstance(event, RecordUndecodable)],
        BOUND_S,
        "one told",
    )
    assert transport.stats()["undecodable"] == 1
    [written] = [one for one in cluster.records("notifications.info") if one.key == b"k"]
    assert (skipped.topic, skipped.partition, skipped.offset) == (
        "notifications.info", written.partition, written.offset
    )  # fmt: skip
    assert reason in skipped.reason
    assert recorder.payloads == ["good"]


def test_a_notification_without_an_envelope_is_read(transport, cluster, recorder, listen):
    """Old fleets send them."""
    listen(transport, recorder)
    value = b'{"priority": "INFO", "publisher_id": "p", "event_type": "e", "payload": 1}'
    append(cluster, value, key=None)
    [(priority, arguments)] = recorder.wait_for(1)
    assert (priority, arguments[:4]) == ("info", ({}, "p", "e", 1))


def test_a_record_is_committed_before_it_is_dispatched(
    transport, cluster, notifier, listen, unique
):
    """While the endpoint runs, the group's offset is past its record."""
    entered, release = threading.Event(), threading.Event()

    class Slow:
        def info(self, *arguments):
            entered.set()
            release.wait(BOUND_S)

    listen(transport, Slow())
    notifier.info({}, "e", 1)
    assert entered.wait(BOUND_S)
    assert sum(cluster.committed(unique).values()) == 1
    release.set()


def test_a_commit_that_fails_dispatches_nothing_until_it_succeeds(
    transport, cluster, notifier, recorder, listen, unique
):
    """The brokers go away between poll and commit: no dispatch, then one, and none twice."""
    listen(transport, recorder)
    notifier.info({}, "e", 1)
    recorder.wait_for(1)
    cluster.unavailable = True
    notifier.info({}, "e", 2)
    cluster.unavailable = False
    notifier.info({}, "e", 3)
    recorder.wait_for(3)
    assert recorder.payloads == [1, 2, 3]


class FirstConsumerHangs:
    """The driver of a cluster that is well, but for the first client: its commits hang."""

    def __init__(self, driver):
        self._driver = driver
        self._consumers = 0
        self.hangs = False

    def __getattr__(self, name):
        return getattr(self._driver, name)

    def new_consumer(self, group, *, on_problem):
        consumer = self._driver.new_consumer(group, on_problem=on_problem)
        self._consumers += 1
        if self._consumers == 1:
            commit = consumer.commit

            def hanging(next_offsets, *notes):
                if self.hangs:
                    raise CommitUnanswered("no answer", retriable=True)
                commit(next_offsets, *notes)

            consumer.commit = hanging
        return consumer


def test_a_client_whose_commits_hang_is_made_anew(transport, cluster, notifier, recorder, listen):
    """It alone has lost the brokers: the next client reads again what was not committed."""
    transport.driver = FirstConsumerHangs(transport.driver)
    listen(transport, recorder)
    notifier.info({}, "e", 1)
    recorder.wait_for(1)
    transport.driver.hangs = True
    notifier.info({}, "e", 2)
    recorder.wait_for(2)
    assert recorder.payloads == [1, 2]


def test_a_fenced_member_goes_on_where_it_had_committed(
    transport, cluster, notifier, recorder, listen, unique
):
    """The group throws it out: it comes back, and nothing is lost or repeated."""
    listen(transport, recorder)
    notifier.info({}, "e", 1)
    recorder.wait_for(1)
    cluster.fence(unique)
    notifier.info({}, "e", 2)
    recorder.wait_for(2)
    assert recorder.payloads == [1, 2]


def test_a_member_taken_for_dead_gets_its_partitions_back(
    transport, cluster, notifier, recorder, listen, unique
):
    """Partitions lost and assigned anew are read on from the committed offset."""
    listen(transport, recorder)
    notifier.info({}, "e", 1)
    recorder.wait_for(1)
    cluster.expel(unique)
    notifier.info({}, "e", 2)
    recorder.wait_for(2)
    assert recorder.payloads == [1, 2]


def test_a_new_group_begins_at_the_end(transport, notifier, recorder, listen):
    """The backlog of before its first listener's start is not its business."""
    notifier.info({}, "e", "before")
    assert transport.flush() == 0
    listen(transport, recorder)
    notifier.info({}, "e", "after")
    recorder.wait_for(1)
    assert recorder.payloads == ["after"]


def test_a_new_group_begins_at_the_beginning_if_asked(connect, recorder, listen):
    """group_start=beginning reads all that the topic holds."""
    transport = connect("group_start=beginning")
    notifier = kafka_notify.Notifier(transport, "p")
    notifier.info({}, "e", "before")
    assert transport.flush() == 0
    listen(transport, recorder)
    recorder.wait_for(1)
    assert recorder.payloads == ["before"]


def test_the_start_is_committed_before_start_returns(
    transport, cluster, notifier, recorder, listen, unique
):
    """So that a crash right after it moves nothing: every partition has an offset."""
    notifier.info({}, "e", "before")
    assert transport.flush() == 0
    listen(transport, recorder)
    offsets = {
        where: offset
        for where, offset in cluster.committed(unique).items()
        if where.topic == "notifications.info"
    }
    assert set(offsets) == {Partition("notifications.info", number) for number in range(4)}
    assert sum(offsets.values()) == 1
    [started] = [event for event in transport.events if isinstance(event, GroupStarted)]
    assert started.group == unique


def test_a_stopped_group_goes_on_where_it_was(transport, notifier, listen, unique):
    """What comes while no listener runs is there at the next start."""
    first, second = Recorder(), Recorder()
    listener = listen(transport, first)
    notifier.info({}, "e", 1)
    first.wait_for(1)
    listener.stop()
    listener.wait()
    notifier.info({}, "e", 2)
    assert transport.flush() == 0
    listen(transport, second)
    second.wait_for(1)
    assert (first.payloads, second.payloads) == ([1], [2])


def test_topics_that_cannot_be_made_are_named_and_read_later(transport, cluster, recorder, listen):
    """start() returns; when the topic appears it is read from its start."""
    cluster.deny_creation = True
    cluster.auto_create = False
    listen(transport, recorder)
    [missing] = [event for event in transport.events if isinstance(event, TopicsMissing)]
    assert "notifications.info" in missing.reasons
    cluster.create_topic("notifications.info")
    kafka_notify.Notifier(transport, "p").info({}, "e", 1)
    recorder.wait_for(1)


def test_stop_dispatches_what_is_committed(transport, cluster, notifier, listen, unique):
    """An orderly stop in the middle loses nothing: each record is dispatched or not committed."""
    entered, release = threading.Event(), threading.Event()
    seen = []

    class Slow:
        def info(self, ctxt, publisher_id, event_type, payload, metadata):
            entered.set()
            release.wait(BOUND_S)
            seen.append(payload)

    listener = listen(transport, Slow())
    for number in range(50):
        notifier.info({}, "e", number)
    assert entered.wait(BOUND_S)
    stopper = threading.Thread(target=listener.stop)
    stopper.start()
    release.set()
    stopper.join(BOUND_S)
    assert seen == list(range(sum(cluster.committed(unique).values())))


def test_an_endpoint_may_stop_its_listener(transport, notifier, listen):
    """stop() from inside an endpoint asks and returns; wait() ends."""
    holder = {}
    stopped = threading.Event()

    class Once:
        def info(self, *arguments):
            holder["listener"].stop()
            stopped.set()

    holder["listener"] = listen(transport, Once())
    notifier.info({}, "e", 1)
    assert stopped.wait(BOUND_S)
    waiter = threading.Thread(target=holder["listener"].wait)
    waiter.start()
    waiter.join(BOUND_S)
    assert not waiter.is_alive()


def test_stop_lets_go_of_an_endpoint_that_hangs(connect, listen):
    """After drain_timeout it says how many it left behind, and ends."""
    transport = connect("drain_timeout=0.1")
    entered, release = threading.Event(), threading.Event()

    class Hanging:
        def info(self, *arguments):
            entered.set()
            release.wait(BOUND_S)

    listener = listen(transport, Hanging())
    kafka_notify.Notifier(transport, "p").info({}, "e", 1)
    assert entered.wait(BOUND_S)
    listener.stop()
    [left] = [event for event in transport.events if isinstance(event, LeftBehind)]
    assert left.records == 1
    release.set()


def test_a_start_while_an_earlier_one_ends_waits_for_it(transport, notifier, recorder, listen):
    """An endpoint has asked it to stop; start() at once after that is a listener that listens."""
    holder = {}
    asked, go = threading.Event(), threading.Event()

    class Stopping:
        def info(self, *arguments):
            if not asked.is_set():
                holder["listener"].stop()
                asked.set()
                go.wait(BOUND_S)
            recorder.info(*arguments)

    holder["listener"] = listener = listen(transport, Stopping())
    notifier.info({}, "e", 1)
    assert asked.wait(BOUND_S)
    threading.Timer(0.1, go.set).start()
    listener.start()
    notifier.info({}, "e", 2)
    recorder.wait_for(2)
    assert recorder.payloads == [1, 2]


def test_a_listener_can_be_started_again(transport, notifier, recorder, listen):
    """start() twice is one listener; after stop and wait it starts anew."""
    listener = listen(transport, recorder)
    listener.start()
    listener.stop()
    listener.wait()
    listener.start()
    notifier.info({}, "e", 1)
    recorder.wait_for(1)


def test_cleanup_stops_the_listeners(transport, recorder, listen):
    """A transport takes its listeners with it, and takes no new ones."""
    listener = listen(transport, recorder)
    transport.cleanup()
    assert "stopped" in repr(listener)
    with pytest.raises(ClosedError):
        listener.start()


def test_the_brokers_away_at_start(connect, cluster, recorder):
    """start() raises and names the address; the listener can be started later."""
    transport = connect()
    cluster.unavailable = True
    listener = kafka_notify.get_notification_listener(
        transport, [kafka_notify.Target(topic="notifications")], [recorder], pool="p"
    )
    with pytest.raises(BrokerUnavailable, match=cluster.name):
        listener.start()
    cluster.unavailable = False
    listener.start()
    kafka_notify.Notifier(transport, "p").info({}, "e", 1)
    recorder.wait_for(1)
    listener.stop()
    listener.wait()


def test_the_window_bounds_what_is_committed_and_not_dispatched(connect, cluster, listen, unique):
    """With dispatch_window=5 and a hanging endpoint at most five of a hundred are committed."""
    transport = connect("dispatch_window=5")
    entered, release = threading.Event(), threading.Event()
    done = []

    class Slow:
        def info(self, *arguments):
            entered.set()
            release.wait(BOUND_S)
            done.append(1)

    listen(transport, Slow())
    notifier = kafka_notify.Notifier(transport, "p")
    for number in range(100):
        notifier.info({}, "e", number)
    assert transport.flush() == 0
    assert entered.wait(BOUND_S)
    assert 1 <= sum(cluster.committed(unique).values()) <= 5
    release.set()
    eventually(lambda: len(done) == 100, BOUND_S, "all hundred")


class TestBatches:
    """Batch listeners."""

    def test_a_full_batch_comes_at_once(self, transport, notifier, recorder, listen):
        """Ten notifications at size five are two lists of dicts."""
        listen(transport, recorder, batch_size=5, batch_timeout=60)
        for number in range(10):
            notifier.info({}, "e", number)
        calls = recorder.wait_for(2)
        batches = [arguments[0] for _, arguments in calls]
        assert [[item["payload"] for item in batch] for batch in batches] == [
            list(range(5)), list(range(5, 10))
        ]  # fmt: skip
        assert set(batches[0][0]) == {"ctxt", "publisher_id", "event_type", "payload", "metadata"}

    def test_what_is_there_comes_after_the_time(self, transport, notifier, recorder, listen):
        """Three of a hundred after batch_timeout."""
        listen(transport, recorder, batch_size=100, batch_timeout=0.3)
        for number in range(3):
            notifier.info({}, "e", number)
        recorder.wait_for(1)
        listened = [item["payload"] for _, arguments in recorder.calls for item in arguments[0]]
        eventually(lambda: recorder.calls, BOUND_S, "a batch")
        assert listened == list(range(len(listened)))

    def test_an_open_batch_is_not_committed(
        self, transport, cluster, notifier, recorder, listen, unique
    ):
        """stop() leaves it to the next listener of the pool."""
        listener = listen(transport, recorder, batch_size=100, batch_timeout=60)
        notifier.info({}, "e", 1)
        assert transport.flush() == 0
        listener.stop()
        listener.wait()
        assert sum(cluster.committed(unique).values()) == 0
        again = Recorder()
        listen(transport, again, batch_size=1)
        [(_, (batch,))] = again.wait_for(1)
        assert batch[0]["payload"] == 1

    def test_a_batch_is_split_by_priority_and_filtered(
        self, transport, notifier, recorder, listen
    ):
        """Each method gets its priority's notifications that pass its endpoint's filter."""
        recorder.filter_rule = kafka_notify.NotificationFilter(event_type="^good")
        listen(transport, recorder, batch_size=3, batch_timeout=0.5)
        notifier.info({}, "good.one", 1)
        notifier.error({}, "good.two", 2)
        notifier.info({}, "bad", 3)
        recorder.wait_for(2)
        got = {
            priority: [item["payload"] for item in arguments[0]]
            for priority, arguments in recorder.calls
        }
        assert got == {"info": [1], "error": [2]}


class TestBadInput:
    """Each error names what was wrong."""

    @pytest.mark.parametrize(
        ("targets", "endpoints", "error", "named"),
        [
            ([], [Recorder()], InvalidTarget, "at least one target"),
            (kafka_notify.Target(topic="t"), [Recorder()], InvalidTarget, "list of targets"),
            (["t"], [Recorder()], InvalidTarget, "'t' is no Target"),
            ([kafka_notify.Target()], [Recorder()], InvalidTarget, "needs a topic"),
            ([kafka_notify.Target(topic="a/b")], [Recorder()], InvalidName, "'/'"),
            ([kafka_notify.Target(topic="t" * 250)], [Recorder()], InvalidName, "249"),
            ([kafka_notify.Target(topic="t")], [], InvalidEndpoint, "at least one endpoint"),
            ([kafka_notify.Target(topic="t")], [object()], InvalidEndpoint, "no method named"),
        ],
    )
    def test_targets_and_endpoints(self, transport, targets, endpoints, error, named):
        """When the listener is made, not when it starts."""
        with pytest.raises(error, match=named):
            kafka_notify.get_notification_listener(transport, targets, endpoints)

    def test_a_pool_with_a_control_character(self, transport, recorder):
        """No tool could show or type it."""
        with pytest.raises(InvalidName, match="pool"):
            kafka_notify.get_notification_listener(
                transport, [kafka_notify.Target(topic="t")], [recorder], pool="a\nb"
            )

    def test_an_executor_that_is_not_there(self, transport, recorder):
        """The error names the one to take."""
        with pytest.raises(ConfigurationError, match="'threading'"):
            kafka_notify.get_notification_listener(
                transport, [kafka_notify.Target(topic="t")], [recorder], executor="eventlet"
            )

    def test_an_unknown_policy(self, transport, recorder):
        """The error lists those there are."""
        with pytest.raises(ConfigurationError, match="after_dispatch"):
            kafka_notify.get_notification_listener(
                transport, [kafka_notify.Target(topic="t")], [recorder], commit_policy="later"
            )

    def test_impossible_batches(self, transport, recorder):
        """The size is named."""
        with pytest.raises(ConfigurationError, match="batch_size 0"):
            kafka_notify.get_batch_notification_listener(
                transport, [kafka_notify.Target(topic="t")], [recorder], batch_size=0
            )


class TestStartingBesideAnother:
    """A listener of the pool is in an endpoint, and so lets none of its partitions go yet."""

    @pytest.fixture
    def transport(self, connect):
        """Return a transport whose topics have partitions for two."""
        return connect("topic_partitions=2")

    @pytest.fixture
    def held(self, transport, listen, cluster, unique):
        """Yield the event that lets it go on; the pool is ``unique``."""
        entered, release = threading.Event(), threading.Event()

        class Holds:
            def info(self, *_arguments):
                entered.set()
                release.wait(BOUND_S)

        listen(transport, Holds())
        kafka_notify.Notifier(transport, "p").info({}, "e", 1)
        assert entered.wait(BOUND_S)
        yield release
        release.set()

    @pytest.fixture
    def second(self, transport, recorder, cluster, unique):
        """Yield a second listener, and the thread that waits in its start()."""
        listener = kafka_notify.get_notification_listener(
            transport, [kafka_notify.Target(topic="notifications")], [recorder], pool=unique
        )
        thread = threading.Thread(target=listener.start)
        yield listener, thread
        listener.stop()
        listener.wait()

    def members(self, cluster, unique):
        with cluster.changed:
            return list(cluster.group(unique).members)

    def test_start_returns_with_its_share(self, held, second, cluster, unique):
        """Not before the other has let go."""
        _listener, thread = second
        thread.start()
        eventually(lambda: len(self.members(cluster, unique)) == 2, BOUND_S, "a second member")
        assert thread.is_alive()
        held.set()
        thread.join(BOUND_S)
        assert not thread.is_alive()
        assert all(member.owned for member in self.members(cluster, unique))

    def test_a_stop_ends_a_start_that_waits(self, held, second, cluster, unique):
        """Whoever waits there is let go, though the other is not done."""
        listener, thread = second
        thread.start()
        eventually(lambda: len(self.members(cluster, unique)) == 2, BOUND_S, "a second member")
        listener.stop()
        thread.join(BOUND_S)
        assert not thread.is_alive()
        assert not held.is_set()
