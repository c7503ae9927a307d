"""Dead letters on virtual time and on disk: nothing is lost on the way, no confirm comes too early, no circle turns for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.support import World, consume
from leveret.broker.queue import Queue
from leveret.wire.properties import decode_properties
from leveret.wire.scan import Scan


def parking(world: World, **arguments: object) -> tuple[Queue, Queue]:
    """The queue `q`, which dead-letters to `dead`."""
    more = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": "dead"}
    return world.queue("q", **more, **arguments), world.queue("dead")


@pytest.mark.parametrize("commit_under_way", [False, True])
def test_the_confirm_waits_for_the_dead_letter(tmp_path: Path, commit_under_way: bool) -> None:
    world = World(tmp_path)
    _, dead = parking(world, x_max_length=1)
    world.settle()
    sender = world.client().channel(confirms=True)
    confirms = sender.confirms
    assert confirms is not None
    world.publish(sender, b"old")
    if commit_under_way:
        world.broker.flush()
    world.publish(sender, b"new")
    assert (dead.ready, confirms.outstanding) == (1, 2)
    world.settle()
    assert confirms.outstanding == 0
    world.store.close()
    world = World(tmp_path)
    assert {name: queue.ready for name, queue in world.broker.vhosts["/"].queues.items()} == {"q": 1, "dead": 1}
    world.store.close()


def test_a_dead_letter_that_goes_nowhere_is_confirmed(disk: World) -> None:
    disk.queue("q", x_dead_letter_exchange="missing", x_max_length=0)
    sender = disk.client().channel(confirms=True)
    disk.publish(sender, b"x")
    assert sender.confirms is not None and sender.confirms.outstanding == 0


def test_a_dead_letter_for_several_queues_is_confirmed_when_all_have_it(disk: World) -> None:
    vhost = disk.broker.vhosts["/"]
    vhost.declare_exchange("dlx", "fanout", True, False, False, {})
    for name in ("one", "two"):
        vhost.bind("dlx", disk.queue(name), "", {})
    disk.queue("q", x_dead_letter_exchange="dlx", x_max_length=0)
    disk.settle()
    sender = disk.client().channel(confirms=True)
    disk.publish(sender, b"x")
    assert sender.confirms is not None and sender.confirms.outstanding == 1
    disk.settle()
    assert sender.confirms.outstanding == 0
    assert (vhost.queues["one"].ready, vhost.queues["two"].ready) == (1, 1)


def test_a_thousand_queues_in_a_row_are_passed_through(world: World) -> None:
    for number in range(1000):
        key = f"q{number + 1}"
        world.queue(f"q{number}", x_dead_letter_exchange="", x_dead_letter_routing_key=key, x_max_length=0)
    last = world.queue("q1000")
    world.publish(world.client().channel(), b"x", "q0")
    message = last.get()
    assert message is not None
    headers = decode_properties(message.header, 12).headers
    assert headers is not None and headers["x-first-death-queue"] == "q0" and headers["x-last-death-queue"] == "q999"


def test_a_circle_without_a_rejection_ends(world: World) -> None:
    for here, there in (("q", "r"), ("r", "q")):
        world.queue(here, x_dead_letter_exchange="", x_dead_letter_routing_key=there, x_max_length=0)
    world.publish(world.client().channel(), b"x")
    assert all(queue.ready == 0 for queue in world.broker.vhosts["/"].queues.values())


def test_it_expires_although_nobody_consumes(world: World) -> None:
    _, dead = parking(world, x_message_ttl=1000)
    world.publish(world.client().channel(), b"x")
    world.broker.at(1_000_999)
    assert dead.ready == 0
    world.broker.at(1_001_000)
    assert dead.ready == 1


def test_a_rejection_after_the_queue_was_deleted_parks_nothing(world: World) -> None:
    target, dead = parking(world)
    channel = world.client().channel()
    consume(channel, target)
    world.publish(channel, b"x")
    world.broker.vhosts["/"].delete_queue(target)
    channel.reject(1, False)
    assert dead.ready == 0


def test_settings_that_come_later_count(world: World) -> None:
    target, dead = world.queue("q"), world.queue("dead")
    target.configure({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead", "x-max-length": 0})
    world.publish(world.client().channel(), b"x")
    assert dead.ready == 1


def test_headers_that_cannot_be_read_do_not_keep_a_message_from_being_parked(world: World) -> None:
    """Publishers are refused with such; an older file may hold some."""
    target, dead = parking(world, x_max_length=0)
    broken = b"\x00\x3c\x00\x00" + (1).to_bytes(8, "big") + b"\x30\x00" + b"\x00\x00\x00\x03\x01k?" + b"\x02"
    looked_at = Scan(2, 0, "", False, "", 0, False)
    target.publish(world.address("q").encoded, broken, b"x", looked_at, -1, None, 0, None)
    assert (target.ready, dead.ready) == (0, 1)
