"""What is published to an exchange is heard in the broker's process, and nothing shows of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.support import World
from leveret.broker.channel import Channel
from leveret.broker.transaction import Transaction

EXCHANGE = "leveret.events"


class Heard(list[tuple[str, bytes]]):
    def hear(self, vhost: str, body: bytes) -> None:
        self.append((vhost, body))


@pytest.fixture
def world() -> World:
    return World(None)


def declare(world: World, vhost: str = "/", name: str = EXCHANGE) -> None:
    world.broker.vhosts[vhost].declare_exchange(name, "topic", True, False, False, {}, None)


@pytest.mark.parametrize("first", ["exchange", "ear"])
def test_all_that_is_published_there_is_heard_whichever_was_there_first(world: World, first: str) -> None:
    heard = Heard()
    if first == "exchange":
        declare(world)
    world.broker.listen(EXCHANGE, heard.hear)
    if first == "ear":
        declare(world)
    channel = world.client().channel()
    world.publish_to(channel, world.address("started.mail", exchange=EXCHANGE), b"1")
    world.publish(channel, b"elsewhere")
    assert heard == [("/", b"1")]


def test_a_publisher_that_found_its_way_before_is_heard_too(world: World) -> None:
    declare(world)
    channel = world.client().channel()
    address = world.address("a", exchange=EXCHANGE)
    world.publish_to(channel, address, b"before")
    heard = Heard()
    world.broker.listen(EXCHANGE, heard.hear)
    world.publish_to(channel, address, b"after")
    assert heard == [("/", b"after")]


def test_each_virtual_host_is_heard_of_by_its_name(world: World) -> None:
    heard = Heard()
    world.broker.listen(EXCHANGE, heard.hear)
    world.broker.tenants.put_vhost("other", {})
    declare(world, "other")
    other = world.broker.vhosts["other"]
    other.permissions.grant("guest", ".*", ".*", ".*")
    channel = Channel(1, world.client(), other)
    world.broker.routers["other"].publish(channel, world.address("a", exchange=EXCHANGE), bytes(14), b"1")
    assert heard == [("other", b"1")]


def test_what_is_mandatory_is_routed_and_confirmed_though_nobody_else_hears_it(world: World) -> None:
    declare(world)
    heard = Heard()
    client = world.client()
    channel = client.channel(confirms=True)
    world.publish_to(channel, world.address("worker.w", True, EXCHANGE), b"nobody")
    world.broker.listen(EXCHANGE, heard.hear)
    world.publish_to(channel, world.address("worker.w", True, EXCHANGE), b"beat")
    assert client.returned == [b"nobody"] and heard == [("/", b"beat")]
    assert channel.confirms is not None and channel.confirms.take() == ([], 2, [])


def test_it_shows_nowhere_and_is_in_nobodys_way(world: World) -> None:
    declare(world)
    heard = Heard()
    world.broker.listen(EXCHANGE, heard.hear)
    vhost = world.broker.vhosts["/"]
    assert vhost.exchanges[EXCHANGE].bindings == {} and vhost.queues == {}
    queue = world.queue("q", x_max_length=5)
    vhost.bind(EXCHANGE, queue, "#", {})
    channel = world.client().channel()
    world.publish_to(channel, world.address("a", exchange=EXCHANGE), b"both")
    assert (queue.ready, len(heard)) == (1, 1)
    vhost.delete_queue(queue)
    vhost.delete_exchange(EXCHANGE, if_unused=True)
    declare(world)
    world.publish_to(channel, world.address("a", exchange=EXCHANGE), b"anew")
    assert heard[-1] == ("/", b"anew")


def test_what_comes_by_way_of_another_exchange_is_heard_once(world: World) -> None:
    declare(world)
    declare(world, name="front")
    heard = Heard()
    world.broker.listen(EXCHANGE, heard.hear)
    vhost = world.broker.vhosts["/"]
    for key in ("#", "a"):
        vhost.bind("front", vhost.exchanges[EXCHANGE], key, {})
    world.publish_to(world.client().channel(), world.address("a", exchange="front"), b"1")
    assert heard == [("/", b"1")]


def test_what_is_published_in_a_transaction_is_heard_when_it_is_committed(world: World) -> None:
    declare(world)
    heard = Heard()
    world.broker.listen(EXCHANGE, heard.hear)
    channel = world.client().channel()
    channel.transaction = Transaction(channel)
    world.publish_to(channel, world.address("a", exchange=EXCHANGE), b"1")
    assert heard == []
    world.broker.routers["/"].commit(channel)
    assert heard == [("/", b"1")]


def test_an_exchange_of_a_restarted_broker_is_heard(tmp_path: Path) -> None:
    first = World(tmp_path)
    declare(first)
    first.settle()
    first.store.close()
    world = World(tmp_path)
    heard = Heard()
    world.broker.listen(EXCHANGE, heard.hear)
    world.publish_to(world.client().channel(), world.address("a", exchange=EXCHANGE), b"1")
    world.store.close()
    assert heard == [("/", b"1")]
