"""Prometheus' metrics: rabbitmq_prometheus' names, types and values, compared with a real one's; and who may read them."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from brokers import Broker, Leveret, RabbitMQ
from leveret.management.metrics import escaped
from management.furnished import furnish
from management.support import Api

GATHERED_S = 60
LEFT_OUT = (
    # Of Erlang, which is not there: its virtual machine, database, processes and network.
    *("erlang_", "rabbitmq_erlang_net_ticktime_seconds", "_process_reductions_total", "rabbitmq_raft_", "telemetry_"),
    # Would cost every message some time.
    *("rabbitmq_queue_messages_persistent", "rabbitmq_queue_head_message_timestamp"),
    # Dead letters do not wait for another queue's confirm here.
    "rabbitmq_global_messages_dead_lettered_confirmed_total",
)
"""Parts of the names of families that are not there."""

COUNTED = (
    *("connections", "channels", "queue_messages_ready", "queue_messages_unacked", "queue_messages", "consumers"),
    *("queue_consumers", "channel_consumers", "channel_messages_unacked", "channel_messages_published_total"),
    *("channel_messages_confirmed_total", "channel_messages_unroutable_returned_total", "channel_get_ack_total"),
    *("channel_messages_unroutable_dropped_total", "channel_get_total", "channel_messages_delivered_total"),
    *("channel_messages_delivered_ack_total", "channel_messages_acked_total", "channel_get_empty_total"),
    *("queue_messages_published_total", "connection_channels", "global_messages_received_total"),
    *("global_messages_received_confirm_total", "global_messages_confirmed_total", "global_messages_routed_total"),
    *("global_messages_unroutable_dropped_total", "global_messages_unroutable_returned_total", "global_publishers"),
    *("global_consumers", "channels_opened_total", "queues_created_total", "alarms_memory_used_watermark"),
)
"""Those whose values must be the same."""

LABELLED = (
    'global_messages_delivered_consume_manual_ack_total{protocol="amqp091",queue_type="rabbit_classic_queue"}',
    'global_messages_delivered_consume_auto_ack_total{protocol="amqp091",queue_type="rabbit_classic_queue"}',
    'global_messages_acknowledged_total{protocol="amqp091",queue_type="rabbit_classic_queue"}',
    'global_messages_delivered_total{protocol="amqp091",queue_type="rabbit_classic_queue"}',
)


def read(port: int, path: str = "/metrics") -> tuple[str, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return answer.read().decode(), answer.headers["content-type"]


def families(text: str) -> dict[str, str]:
    return {line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE")}


def values(text: str) -> dict[str, float]:
    rows = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name.removeprefix("rabbitmq_"): float(value) for name, _, value in rows}


def plain(text: str) -> dict[str, float]:
    """Values by name; of a family with one label for the protocol without it."""
    return {name.removesuffix('{protocol="amqp091"}'): value for name, value in values(text).items()}


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Broker, Broker]]:
    if RabbitMQ.missing():
        pytest.skip(RabbitMQ.missing())
    with ExitStack() as stack:
        made: list[Broker] = []
        for kind in (RabbitMQ, Leveret):
            made.append(kind(management=True, metrics=True))
            stack.callback(made[-1].remove)
            made[-1].start()
            room = stack.enter_context(furnish(made[-1]))
            deadline = time.monotonic() + GATHERED_S
            while not is_gathered(made[-1]):
                assert time.monotonic() < deadline, "the figures do not come"
                room.connection.process_data_events(0.2)
        yield made[0], made[1]


def is_gathered(broker: Broker) -> bool:
    found = plain(read(broker.metrics_port)[0])
    return found.get("channel_messages_acked_total") == 1 and (
        found.get("queue_messages_unacked"),
        found.get("queue_messages"),
    ) == (3, 23)


def test_the_families_are_rabbitmqs(both: tuple[Broker, Broker]) -> None:
    theirs, ours = (families(read(broker.metrics_port)[0]) for broker in both)
    wanted = {name: type for name, type in theirs.items() if not any(part in name for part in LEFT_OUT)}
    assert {name: ours.get(name) for name in wanted} == wanted
    assert set(ours) <= set(theirs)


def test_the_figures_are_rabbitmqs(both: tuple[Broker, Broker]) -> None:
    theirs, ours = (plain(read(broker.metrics_port)[0]) for broker in both)
    assert {name: ours.get(name) for name in COUNTED} == {name: theirs[name] for name in COUNTED}
    assert {name: ours.get(name) for name in LABELLED} == {name: theirs[name] for name in LABELLED}


def test_each_object_has_its_own_on_demand(both: tuple[Broker, Broker]) -> None:
    for broker in both:
        found = values(read(broker.metrics_port, "/metrics/per-object")[0])
        assert found['queue_messages_unacked{vhost="/",queue="plain"}'] == 2
        assert found['queue_consumers{vhost="/",queue="single"}'] == 1


def test_families_are_chosen_by_name_and_virtual_host(both: tuple[Broker, Broker]) -> None:
    for broker in both:
        path = "/metrics/detailed?family=queue_coarse_metrics&vhost=tenant"
        text = read(broker.metrics_port, path)[0]
        found = {name for name in values(text) if name.startswith("detailed_") and "_reductions" not in name}
        names = ("queue_messages", "queue_messages_ready", "queue_messages_unacked")
        assert found == {f'detailed_{name}{{vhost="tenant",queue="theirs"}}' for name in names}
        assert "rabbitmq_identity_info" in families(text)


def test_the_text_is_prometheus(both: tuple[Broker, Broker]) -> None:
    for broker in both:
        text, content_type = read(broker.metrics_port)
        assert content_type == "text/plain; version=0.0.4"
        for line in text.splitlines():
            assert re.fullmatch(r"# (TYPE|HELP) .*|[a-z_]+(\{.*\})? [-+.e0-9]+|", line), line


@pytest.fixture(scope="module")
def leveret() -> Iterator[Leveret]:
    own = Leveret(management=True, metrics=True)
    own.start()
    yield own
    own.remove()


def test_hostile_names_stay_within_their_label(leveret: Leveret) -> None:
    with leveret.connect() as connection:
        connection.channel().queue_declare('a"} 1 rabbitmq_evil 7\\', exclusive=True)
        text = read(leveret.metrics_port, "/metrics/per-object")[0]
        assert 'queue="a\\"} 1 rabbitmq_evil 7\\\\"' in text
    assert escaped('a\n"\\') == 'a\\n\\"\\\\'


def test_counters_do_not_fall_when_what_they_counted_goes(leveret: Leveret) -> None:
    def counted() -> dict[str, float]:
        found = values(read(leveret.metrics_port)[0])
        return {name: value for name, value in found.items() if re.match(r"[a-z_]+_total", name)}

    api = Api(leveret)
    api("PUT", "/vhosts/passing", {})
    api("PUT", "/permissions/passing/guest", {"configure": ".*", "write": ".*", "read": ".*"})
    with leveret.connect(virtual_host="passing") as connection:
        channel = connection.channel()
        channel.queue_declare("q")
        channel.basic_publish("", "q", b"x")
        channel.basic_get("q", auto_ack=True)
        before = counted()
        channel.queue_delete("q")
        channel.close()
    api("DELETE", "/vhosts/passing")
    after = counted()
    assert {name: (value, after[name]) for name, value in before.items() if after[name] < value} == {}


def test_on_the_port_of_the_api_metrics_want_a_user_who_may_monitor(leveret: Leveret) -> None:
    api = Api(leveret)
    api("PUT", "/users/seeing", {"password": "p", "tags": "monitoring"})
    api("PUT", "/users/other", {"password": "p", "tags": "management"})
    for user, status in (("seeing:p", 200), ("guest:guest", 200), ("other:p", 401), ("seeing:no", 401)):
        assert Api(leveret, user).at("GET", "/metrics").status == status
    with pytest.raises(urllib.error.HTTPError, match="401"):
        read(leveret.management_port)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        read(leveret.metrics_port, "/api/overview")


def test_metrics_can_be_opened_to_anybody() -> None:
    broker = Leveret(management=True)
    broker.more = ("--set", "management.metrics_open=true")
    try:
        broker.start()
        assert "rabbitmq_queues 0" in read(broker.management_port)[0]
    finally:
        broker.remove()
