"""The broker without sockets, on virtual time: dispatch, acknowledgements, expiry, paging, confirms."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.support import World, consume, held
from leveret.broker import basic, flow, level
from leveret.errors import ChannelError


def test_messages_go_round_robin(world: World) -> None:
    target, one, two = world.queue(), world.client(), world.client()
    consume(one.channel(), target)
    consume(two.channel(), target)
    sender = world.client().channel()
    for number in range(6):
        world.publish(sender, b"%d" % number)
    assert (one.bodies(), two.bodies()) == ([b"0", b"2", b"4"], [b"1", b"3", b"5"])


def test_with_prefetch_1_a_busy_consumer_gets_nothing_while_an_idle_one_waits(world: World) -> None:
    target, busy, idle = world.queue(), world.client(), world.client()
    consume(busy.channel(), target, prefetch=1)
    other = idle.channel()
    consume(other, target, prefetch=1)
    sender = world.client().channel()
    for number in range(4):
        world.publish(sender, b"%d" % number)
    other.ack(1, False)
    other.ack(2, False)
    assert (busy.bodies(), idle.bodies()) == ([b"0"], [b"1", b"2", b"3"])


def test_a_channels_limit_counts_over_all_its_consumers(world: World) -> None:
    first, second, client = world.queue("q"), world.queue("r"), world.client()
    channel = client.channel()
    channel.limit_changed(2)
    consume(channel, first)
    consume(channel, second)
    sender = world.client().channel()
    for number in range(3):
        world.publish(sender, b"q%d" % number, "q")
        world.publish(sender, b"r%d" % number, "r")
    assert len(client.got) == 2
    for tag in range(1, 7):
        channel.ack(tag, False)
    assert sorted(client.bodies()) == [b"q0", b"q1", b"q2", b"r0", b"r1", b"r2"]


def test_a_raised_limit_lets_waiting_messages_out(world: World) -> None:
    target, client = world.queue(), world.client()
    channel = client.channel()
    channel.limit_changed(1)
    consume(channel, target)
    sender = world.client().channel()
    for number in range(5):
        world.publish(sender, b"%d" % number)
    channel.limit_changed(3)
    assert len(client.got) == 3
    channel.limit_changed(0)
    assert len(client.got) == 5


def test_a_lost_connections_messages_come_back_in_order_marked_redelivered(world: World) -> None:
    target, lost = world.queue(), world.client()
    consume(lost.channel(), target)
    sender = world.client().channel()
    for number in range(4):
        world.publish(sender, b"%d" % number)
    lost.channels[1].ack(2, False)
    world.broker.disconnect(lost)
    other = world.client()
    consume(other.channel(), target)
    assert [(redelivered, body) for _, _, redelivered, body in other.got] == [(True, b"0"), (True, b"2"), (True, b"3")]


@pytest.mark.parametrize("ends", ["connection", "channel"])
def test_the_next_single_active_consumer_starts_with_what_the_last_one_gives_back(world: World, ends: str) -> None:
    queue = world.queue(x_single_active_consumer=True)
    active, standby = world.client(), world.client()
    consume(active.channel(), queue, prefetch=2)
    consume(standby.channel(), queue)
    publisher = world.client().channel()
    for body in (b"1", b"2", b"3"):
        world.publish(publisher, body)
    assert (active.bodies(), standby.bodies()) == ([b"1", b"2"], [])
    if ends == "connection":
        world.broker.disconnect(active)
    else:
        active.channels.pop(1).close()
    assert standby.bodies() == [b"1", b"2", b"3"]
    assert [redelivered for _, _, redelivered, _ in standby.got] == [True, True, False]


def test_the_next_single_active_consumer_gets_at_once_what_waits_when_the_last_is_cancelled(world: World) -> None:
    queue = world.queue(x_single_active_consumer=True)
    active, standby = world.client(), world.client()
    tag = consume(active.channel(), queue, prefetch=1)
    consume(standby.channel(), queue)
    publisher = world.client().channel()
    for body in (b"1", b"2"):
        world.publish(publisher, body)
    basic.cancel(active.channels[1], tag)
    assert (active.bodies(), standby.bodies()) == ([b"1"], [b"2"])


def test_a_requeued_message_takes_its_old_place(world: World) -> None:
    target, client = world.queue(), world.client()
    channel = client.channel()
    sender = world.client().channel()
    for number in range(3):
        world.publish(sender, b"%d" % number)
    taken = [basic.get(channel, target, False) for _ in range(2)]
    assert all(taken)
    channel.reject(2, True)
    channel.reject(1, True)
    rest = [basic.get(channel, target, True) for _ in range(3)]
    assert [got[0].body for got in rest if got] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("tag", [0, 4, 99])
def test_an_unknown_tag_is_a_channel_error(world: World, tag: int) -> None:
    target, client = world.queue(), world.client()
    channel = client.channel()
    consume(channel, target)
    for _ in range(3):
        world.publish(channel, b"x")
    with pytest.raises(ChannelError, match=f"406 PRECONDITION_FAILED - unknown delivery tag {tag}"):
        channel.ack(tag, False)


def test_multiple_acks_up_to_the_tag_and_0_acks_all(world: World) -> None:
    target, client = world.queue(), world.client()
    channel = client.channel()
    consume(channel, target)
    for _ in range(5):
        world.publish(channel, b"x")
    channel.ack(3, True)
    assert list(held(channel)) == [4, 5]
    channel.ack(0, True)
    assert not held(channel) and target.unacked == 0
    channel.ack(0, True)


def test_a_consumer_whose_socket_is_full_gets_nothing_until_it_drains(world: World) -> None:
    target, client = world.queue(), world.client()
    consume(client.channel(), target)
    client.congested = True
    for _ in range(3):
        world.publish(world.client().channel(), b"x")
    assert client.got == []
    client.drained()
    assert len(client.got) == 3


def test_the_lower_time_to_live_holds_and_only_the_head_expires(world: World) -> None:
    target = world.queue(x_message_ttl=1000)
    sender = world.client().channel()
    world.publish(sender, b"long", expiration="5000")
    world.publish(sender, b"short", expiration="10")
    world.broker.at(1_000_500)
    assert target.ready == 2
    world.broker.at(1_001_000)
    assert target.ready == 0


def test_ttl_0_is_delivered_at_once_or_never(world: World) -> None:
    target, client = world.queue(), world.client()
    sender = world.client().channel()
    world.publish(sender, b"nobody", expiration="0")
    assert target.ready == 0
    consume(client.channel(), target)
    world.publish(sender, b"somebody", expiration="0")
    assert client.bodies() == [b"somebody"]


def test_an_auto_delete_queue_goes_with_its_last_consumer(world: World) -> None:
    client = world.client()
    vhost = world.broker.vhosts["/"]
    target = vhost.declare_queue("auto", False, False, True, {}, client)
    channel = client.channel()
    tag = consume(channel, target)
    assert "auto" in vhost.queues
    basic.cancel(channel, tag)
    assert "auto" not in vhost.queues


def test_deleting_a_queue_tells_its_consumers(world: World) -> None:
    target, client = world.queue(), world.client()
    tag = consume(client.channel(), target)
    world.broker.vhosts["/"].delete_queue(target)
    assert client.cancelled == [tag]


def test_mandatory_and_unroutable_comes_back_and_is_confirmed(world: World) -> None:
    client = world.client()
    channel = client.channel(confirms=True)
    world.publish(channel, b"lost", "nowhere", mandatory=True)
    assert client.returned == [b"lost"]
    assert channel.confirms is not None and channel.confirms.take() == ([], 1, [])


def test_a_confirm_waits_for_the_disk(disk: World) -> None:
    disk.queue()
    channel = disk.client().channel(confirms=True)
    disk.publish(channel, b"x")
    assert channel.confirms is not None and channel.confirms.take() == ([], 0, [])
    disk.settle()
    assert channel.confirms.take() == ([], 1, [])


def test_acknowledged_before_it_was_written_is_confirmed_at_once(disk: World) -> None:
    target, client = disk.queue(), disk.client()
    receiver = client.channel(2)
    consume(receiver, target)
    channel = client.channel(confirms=True)
    disk.publish(channel, b"x")
    receiver.ack(1, False)
    assert channel.confirms is not None and channel.confirms.take() == ([], 1, [])


def test_confirms_out_of_order_are_single_and_then_multiple(world: World) -> None:
    channel = world.client().channel(confirms=True)
    confirms = channel.confirms
    assert confirms is not None
    for _ in range(5):
        confirms.next()
    confirms.settle(3)
    confirms.settle(1)
    assert confirms.take() == ([], 1, [3])
    confirms.settle(2)
    assert confirms.take() == ([], 3, [])
    confirms.refuse(4)
    confirms.settle(5)
    assert confirms.take() == ([4], 0, [5])


def test_what_does_not_fit_into_the_window_is_paged_and_comes_back_in_order(
    disk: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = level.WINDOW_MESSAGES + 5000
    target, sender = disk.queue(), disk.client().channel()
    for number in range(count):
        disk.publish(sender, b"%d" % number)
    assert target.ready == count and target.ready - target.backlog.paged == level.WINDOW_MESSAGES
    disk.settle()
    client = disk.client()
    channel = client.channel()
    consume(channel, target, prefetch=1000)
    while len(client.got) < count:
        channel.ack(0, True)
        disk.settle()
    assert client.bodies() == [b"%d" % number for number in range(count)]


def test_after_a_restart_messages_queues_and_order_are_there(tmp_path: Path) -> None:
    world = World(tmp_path)
    target, sender = world.queue(), world.client().channel()
    for number in range(10):
        world.publish(sender, b"%d" % number)
    taken = basic.get(sender, target, False)
    assert taken is not None
    world.settle()
    world.store.close()
    world = World(tmp_path)
    target = world.broker.vhosts["/"].queues["q"]
    assert target.ready == 10
    client = world.client()
    consume(client.channel(), target)
    world.settle()
    assert [(redelivered, body) for _, _, redelivered, body in client.got] == [
        (number == 0, b"%d" % number) for number in range(10)
    ]
    world.store.close()


def test_publishers_are_held_while_fast_consumers_catch_up_and_only_then(world: World) -> None:
    target, client = world.queue(durable=False), world.client()
    receiver = client.channel()
    consume(receiver, target, prefetch=1)
    fast = world.client()
    sender = fast.channel()
    for _ in range(9000):
        world.publish(sender, b"x")
    assert fast.held == 1
    for tick in range(1, flow.SLOW_TICKS + 1):
        assert fast.held == 1, "it may only be waiting for a processor"
        world.broker.at(1_000_000 + tick * flow.TICK_MS)
    assert fast.held == 0, "the consumer took nothing: it is slow, the publisher goes on"
    world.publish(sender, b"x")
    assert fast.held == 0


def test_what_is_published_after_a_purge_of_a_paged_queue_is_kept(tmp_path: Path) -> None:
    world = World(tmp_path)
    target, sender = world.queue(), world.client().channel()
    for number in range(level.WINDOW_MESSAGES + 2000):
        world.publish(sender, b"%d" % number)
    world.settle()
    target.purge(lambda count: None)
    for number in range(5):
        world.publish(sender, b"new %d" % number)
    world.settle()
    world.store.close()
    world = World(tmp_path)
    target = world.broker.vhosts["/"].queues["q"]
    client = world.client()
    consume(client.channel(), target)
    world.settle()
    assert client.bodies() == [b"new %d" % number for number in range(5)] and target.backlog.count == 0
    world.store.close()


def test_a_deleted_queues_messages_do_not_come_back_in_a_queue_declared_after_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path)
    target, sender = world.queue(), world.client().channel()
    for number in range(level.WINDOW_MESSAGES):
        world.publish(sender, b"%d" % number)
    world.settle()
    world.broker.vhosts["/"].delete_queue(target)
    world.store.close()
    world = World(tmp_path)
    world.queue()
    for number in range(5):
        world.publish(world.client().channel(), b"new %d" % number)
    world.settle()
    world.store.close()
    world = World(tmp_path)
    client = world.client()
    consume(client.channel(), world.broker.vhosts["/"].queues["q"])
    world.settle()
    assert client.bodies() == [b"new %d" % number for number in range(5)]
    world.store.close()
