"""Very many unacknowledged messages: their content leaves memory, and is there again whenever it is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.support import Client, World, consume
from broker.support import held as unacked
from leveret.broker.channel import Channel
from leveret.broker.message import KEPT_BYTES, KEPT_MESSAGES

MANY = KEPT_MESSAGES + 500
BODY = b"%06d"


class Held:
    """A queue of MANY messages, all of them delivered to one consumer and not acknowledged."""

    def __init__(self, directory: Path, count: int = MANY, size: int = 0, **arguments: object) -> None:
        self.world = World(directory)
        self.queue = self.world.queue("q", **arguments)
        publisher = self.world.client().channel()
        self.bodies = [(BODY % number).ljust(size, b".") for number in range(count)]
        for number, body in enumerate(self.bodies):
            self.world.publish(publisher, body, headers={"number": number})
        self.world.settle()
        self.client, self.channel = self.consumer()
        self.world.settle()

    def consumer(self, prefetch: int = 0) -> tuple[Client, Channel]:
        client = self.world.client()
        channel = client.channel()
        consume(channel, self.queue, prefetch)
        return client, channel

    def shed(self) -> int:
        return sum(message.away > 0 for message in unacked(self.channel).values())


@pytest.fixture
def held(tmp_path: Path) -> Held:
    return Held(tmp_path)


def test_a_channel_that_holds_many_keeps_the_content_of_few(held: Held) -> None:
    assert held.client.bodies() == held.bodies
    assert held.shed() == MANY - KEPT_MESSAGES


def test_what_was_delivered_before_it_was_on_disk_is_let_go_once_it_is(tmp_path: Path) -> None:
    world = World(tmp_path)
    target = world.queue()
    client = world.client()
    channel = client.channel()
    consume(channel, target)
    for number in range(MANY):
        world.publish(channel, BODY % number)
    assert sum(message.away > 0 for message in unacked(channel).values()) == 0
    world.settle()
    assert sum(message.away > 0 for message in unacked(channel).values()) == MANY
    world.broker.disconnect(client)
    again = world.client()
    consume(again.channel(), target)
    world.settle()
    assert again.bodies() == [BODY % number for number in range(MANY)]


def test_large_content_is_not_kept_at_all(tmp_path: Path) -> None:
    held = Held(tmp_path, count=3, size=KEPT_BYTES + 1)
    assert held.shed() == 3
    held.world.broker.disconnect(held.client)
    client, _ = held.consumer()
    held.world.settle()
    assert client.bodies() == held.bodies


def test_it_is_delivered_again_in_its_old_order_with_all_that_belongs_to_it(held: Held) -> None:
    held.world.broker.disconnect(held.client)
    assert held.queue.ready == MANY
    client, channel = held.consumer()
    held.world.settle()
    assert client.bodies() == held.bodies
    assert all(redelivered for _, _, redelivered, _ in client.got)
    channel.ack(0, True)
    held.world.settle()
    assert held.queue.ready == held.queue.unacked == held.queue.backlog.body_bytes == 0
    held.world.store.close()
    assert World(held.world.store.directory).broker.vhosts["/"].queues["q"].ready == 0


def test_one_at_a_time_and_given_back_in_between(held: Held) -> None:
    held.world.broker.disconnect(held.client)
    _, channel = held.consumer(prefetch=2)
    seen = []
    for round in range(MANY):
        held.world.settle()
        tag = max(unacked(channel))
        if round % 7 == 0:
            channel.reject(min(unacked(channel)), requeue=True)
        else:
            seen.append(unacked(channel)[tag].body)
            channel.ack(tag, False)
    assert len(seen) == len(set(seen)) and set(seen) <= set(held.bodies)
    held.world.settle()
    assert held.queue.ready + held.queue.unacked == MANY - len(seen)


def test_a_restart_knows_them_all(held: Held) -> None:
    held.world.settle()
    held.world.store.close()
    world = World(held.world.store.directory)
    client = world.client()
    consume(client.channel(), world.broker.vhosts["/"].queues["q"])
    world.settle()
    assert client.bodies() == held.bodies


def test_a_dead_letter_has_its_content(tmp_path: Path) -> None:
    held = Held(tmp_path, x_dead_letter_exchange="", x_dead_letter_routing_key="parked")
    parked = held.world.queue("parked")
    last = max(unacked(held.channel))
    assert unacked(held.channel)[last].away
    held.channel.reject(last, requeue=False)
    held.world.settle()
    message = parked.get()
    assert message is not None and message.body == held.bodies[-1]


def test_a_get_waits_for_the_content(held: Held) -> None:
    held.world.broker.disconnect(held.client)
    for message in held.queue.first.returned:
        message[1].shed()
    assert held.queue.get() is None and held.queue.loading
    got: list[bytes] = []

    def again() -> None:
        message = held.queue.get()
        assert message is not None
        got.append(message.body)

    held.queue.when_loaded(again)
    held.world.settle()
    assert got == held.bodies[:1]


def test_purge_and_deletion_need_no_content(held: Held) -> None:
    held.world.broker.disconnect(held.client)
    purged: list[int] = []
    held.queue.purge(purged.append)
    assert purged == [MANY]
    held.world.settle()
    assert held.queue.backlog.body_bytes == 0
    held.world.store.close()
    world = World(held.world.store.directory)
    assert world.broker.vhosts["/"].queues["q"].ready == 0


def test_length_limits_count_what_is_away(tmp_path: Path) -> None:
    held = Held(tmp_path)
    held.world.broker.disconnect(held.client)
    policy = {"pattern": "q", "definition": {"max-length-bytes": 6 * 10}}
    held.world.broker.vhosts["/"].put_policy("policy", "short", policy)
    for now in range(1_000_001, 1_000_020):
        held.world.settle()
        held.world.broker.at(now)
    assert held.queue.ready == 10
    client, _ = held.consumer()
    held.world.settle()
    assert client.bodies() == held.bodies[-10:]
