"""The parts without I/O: pauses, heartbeats, confirms, remembered topology, encoded publishes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from client.support import run
from leveret.client.backoff import Backoff
from leveret.client.confirms import Confirms
from leveret.client.delivery import Returned
from leveret.client.heartbeat import Heartbeat
from leveret.client.publishing import Encoder
from leveret.client.topology import Topology
from leveret.errors import CodecError, ConnectionLost, Nacked, Unroutable
from leveret.wire.methods import ExchangeBind, ExchangeDeclare, QueueBind, QueueDeclare
from leveret.wire.properties import BasicProperties, encode_properties

# ---- backoff


def test_pauses_double_up_to_the_limit() -> None:
    backoff = Backoff(0.5, 3.0, fraction=lambda: 1.0)
    assert [backoff.delay_s(n) for n in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.delay_s(10_000) == 3.0


def test_jitter_draws_from_the_upper_half() -> None:
    assert Backoff(1.0, 8.0, fraction=lambda: 0.0).delay_s(3) == 4.0
    assert Backoff(1.0, 8.0, fraction=lambda: 0.5).delay_s(3) == 6.0


# ---- heartbeat


def test_a_heartbeat_is_due_only_if_nothing_was_written_since() -> None:
    heartbeat = Heartbeat(10)
    assert not heartbeat.tick(heard=1, written=100)
    assert heartbeat.tick(heard=2, written=100)
    assert not heartbeat.tick(heard=3, written=108)


def test_the_peer_is_given_up_after_two_silent_intervals() -> None:
    heartbeat = Heartbeat(10)
    heartbeat.tick(50, 0)
    for _ in range(3):
        heartbeat.tick(50, 0)
        assert not heartbeat.dead
    heartbeat.tick(50, 0)
    assert heartbeat.dead and heartbeat.period_s == 5


def test_any_octet_heard_counts_as_life() -> None:
    heartbeat = Heartbeat(10)
    for heard in (0, 0, 0, 1, 1, 1):
        heartbeat.tick(heard, 0)
    assert not heartbeat.dead


# ---- confirms


def returned(key: str, body: bytes) -> Returned:
    return Returned(312, "NO_ROUTE", "", key, encode_properties(BasicProperties()), body)


def test_a_multiple_confirm_settles_all_up_to_its_number() -> None:
    async def main() -> None:
        confirms = Confirms(asyncio.get_running_loop())
        futures = [confirms.expect(None) for _ in range(5)]
        confirms.settle(3, True, True)
        assert [future.done() for future in futures] == [True, True, True, False, False]
        confirms.settle(5, False, True)
        assert [future.done() for future in futures] == [True, True, True, False, True]

    run(main())


def test_confirms_may_come_in_any_order_and_twice() -> None:
    async def main() -> None:
        confirms = Confirms(asyncio.get_running_loop())
        first, second = confirms.expect(None), confirms.expect(None)
        confirms.settle(2, False, True)
        confirms.settle(2, False, True)
        confirms.settle(99, False, True)
        assert second.done() and not first.done()

    run(main())


def test_a_nack_ends_in_nacked() -> None:
    async def main() -> None:
        confirms = Confirms(asyncio.get_running_loop())
        future = confirms.expect(None)
        confirms.settle(1, True, False)
        with pytest.raises(Nacked):
            await future

    run(main())


def test_a_return_belongs_to_the_oldest_mandatory_publish_alike() -> None:
    async def main() -> None:
        confirms = Confirms(asyncio.get_running_loop())
        fine = confirms.expect(("", "here", b"a"))
        lost = confirms.expect(("", "nowhere", b"a"))
        other = confirms.expect(("", "nowhere", b"b"))
        twin = confirms.expect(("", "nowhere", b"a"))
        confirms.came_back(returned("nowhere", b"a"))
        confirms.settle(4, True, True)
        with pytest.raises(Unroutable, match="nowhere"):
            await lost
        for future in (fine, other, twin):
            await future

    run(main())


def test_the_end_of_the_channel_ends_every_unanswered_publish() -> None:
    async def main() -> None:
        confirms = Confirms(asyncio.get_running_loop())
        futures = [confirms.expect(None) for _ in range(2)]
        futures[0].cancel()
        confirms.fail(ConnectionLost("gone"))
        with pytest.raises(ConnectionLost, match="gone"):
            await futures[1]

    run(main())


# ---- topology


def test_a_renamed_queue_takes_its_bindings_along() -> None:
    topology = Topology()
    topology.add_queue(QueueDeclare(exclusive=True), "amq.gen-1")
    topology.add_binding(QueueBind(queue="amq.gen-1", exchange="logs", routing_key="k"))
    topology.rename_queue("amq.gen-1", "amq.gen-2")
    topology.rename_queue("amq.gen-2", "amq.gen-3")
    assert topology.current("amq.gen-1") == "amq.gen-3" and topology.current("other") == "other"
    assert [binding.queue for binding in topology.bindings.values() if isinstance(binding, QueueBind)] == ["amq.gen-3"]
    assert topology.queues["amq.gen-3"].named_by_broker


def test_a_queue_that_keeps_its_name_is_not_renamed_in_a_circle() -> None:
    topology = Topology()
    topology.add_queue(QueueDeclare(), "amq.gen-1")
    topology.rename_queue("amq.gen-1", "amq.gen-1")
    assert not topology._renamed and list(topology.queues) == ["amq.gen-1"]


def test_a_queue_removed_while_it_was_declared_again_has_no_new_name() -> None:
    topology = Topology()
    topology.rename_queue("amq.gen-1", "amq.gen-2")
    assert not topology.queues and topology.current("amq.gen-1") == "amq.gen-1"


def test_earlier_names_are_forgotten_with_their_queue() -> None:
    topology = Topology()
    topology.add_queue(QueueDeclare(), "amq.gen-1")
    topology.rename_queue("amq.gen-1", "amq.gen-2")
    topology.rename_queue("amq.gen-2", "amq.gen-3")
    topology.remove_queue("amq.gen-3")
    assert topology.current("amq.gen-1") == "amq.gen-1" and not topology._renamed


def test_a_queue_declared_again_has_its_last_arguments_and_stays_named_by_the_broker() -> None:
    topology = Topology()
    topology.add_queue(QueueDeclare(exclusive=True), "amq.gen-1")
    topology.add_queue(QueueDeclare(queue="amq.gen-1", auto_delete=True), "amq.gen-1")
    (declared,) = topology.queues.values()
    assert declared.named_by_broker and declared.method.auto_delete and not declared.method.exclusive


def test_a_deleted_queue_or_exchange_takes_its_bindings_away() -> None:
    topology = Topology()
    topology.add_exchange(ExchangeDeclare(exchange="x", type="topic"))
    topology.add_queue(QueueDeclare(queue="q"), "q")
    topology.add_queue(QueueDeclare(queue="p"), "p")
    topology.add_binding(QueueBind(queue="q", exchange="x"))
    topology.add_binding(QueueBind(queue="p", exchange="y"))
    topology.add_binding(ExchangeBind(destination="x", source="y"))
    topology.remove_queue("p")
    assert len(topology.bindings) == 2
    topology.remove_exchange("x")
    assert not topology.bindings and not topology.exchanges and list(topology.queues) == ["q"]


def test_the_same_binding_is_kept_once_and_arguments_tell_bindings_apart() -> None:
    topology = Topology()
    for arguments in ({}, {}, {"a": 1}, {"b": [1], "a": 2}, {"a": 2, "b": [1]}):
        topology.add_binding(QueueBind(queue="q", exchange="x", arguments=dict(arguments)))
    assert len(topology.bindings) == 3
    topology.remove_binding(QueueBind(queue="q", exchange="x", arguments={"a": 1}))
    assert len(topology.bindings) == 2


# ---- publishing


def test_headers_changed_in_place_are_encoded_anew() -> None:
    encoder = Encoder()
    headers: dict[str, object] = {"n": 1}
    properties = BasicProperties(headers=headers)
    first = encoder.encode("", "q", False, properties)
    headers["n"] = 2
    assert encoder.encode("", "q", False, properties) != first


def test_an_address_is_encoded_once_and_flags_tell_addresses_apart() -> None:
    encoder = Encoder()
    plain = encoder.encode("x", "k", False, None)[0]
    assert encoder.encode("x", "k", False, None)[0] is plain
    assert encoder.encode("x", "k", True, None)[0] != plain


def test_what_does_not_fit_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(CodecError):
        Encoder().encode("", "k" * 256, False, None)
    with pytest.raises(CodecError):
        Encoder().encode("", "k", False, BasicProperties(priority=300))


def test_a_returned_message_has_its_properties() -> None:
    properties = BasicProperties(message_id="1", timestamp=datetime(2020, 1, 1, tzinfo=UTC))
    header = b"\0" * 12 + encode_properties(properties)
    assert Returned(312, "NO_ROUTE", "", "k", header, b"").properties == properties
