"""Dead letters on virtual time and on disk: nothing is lost on the way, no confirm comes too early, no circle turns for ever."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from broker.support import World, consume
from leveret.broker import basic
from leveret.broker.message import Message
from leveret.broker.queue import Queue
from leveret.wire.properties import BasicProperties, decode_properties, encode_properties
from leveret.wire.scan import Scan
from leveret.wire.values import encode_field, encode_longstr


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


def test_more_queues_in_a_row_than_python_has_stack_for_are_passed_through(world: World) -> None:
    for number in range(300):
        key = f"q{number + 1}"
        world.queue(f"q{number}", x_dead_letter_exchange="", x_dead_letter_routing_key=key, x_max_length=0)
    last = world.queue("q300")
    world.publish(world.client().channel(), b"x", "q0")
    message = last.get()
    assert message is not None
    headers = decode_properties(message.header, 12).headers
    assert headers is not None and headers["x-first-death-queue"] == "q0" and headers["x-last-death-queue"] == "q299"


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


def parked(dead: Queue) -> tuple[Message, BasicProperties]:
    message = dead.backlog.head()
    assert message is not None
    return message, decode_properties(message.header, 12)


def counts(directory: Path) -> dict[str, int]:
    """What a broker started on this directory has in its queues."""
    world = World(directory)
    found = {name: queue.ready for name, queue in world.broker.vhosts["/"].queues.items()}
    world.store.close()
    return found


def test_after_a_crash_at_any_commit_the_message_is_in_exactly_one_queue(tmp_path: Path) -> None:
    """Pushed out while its own first commit is under way: the two commits are looked at one by one, as after kill -9."""
    world = World(tmp_path / "live")
    target, _ = parking(world)
    world.settle()
    world.publish(world.client().channel(), b"x")
    world.broker.flush()
    target.configure({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead", "x-max-length": 0})
    found = []
    for number in range(2):
        report = world.calls.get(timeout=60)
        shutil.copytree(tmp_path / "live", tmp_path / f"crash{number}")
        found.append(counts(tmp_path / f"crash{number}"))
        report()
        world.broker.flush()
    assert found == [{"q": 1, "dead": 0}, {"q": 0, "dead": 1}]
    world.store.close()


def test_what_expired_while_the_broker_was_down_is_parked_though_nobody_asks(tmp_path: Path) -> None:
    world = World(tmp_path)
    parking(world, x_message_ttl=1000)
    world.publish(world.client().channel(), b"x")
    world.settle()
    world.store.close()
    world = World(tmp_path)
    world.settle()
    world.broker.at(1_001_000)
    assert world.broker.vhosts["/"].queues["dead"].backlog.count == 1
    world.store.close()


def test_a_late_answer_to_a_deleted_queues_message_harms_no_queue_that_has_its_number_now(tmp_path: Path) -> None:
    world = World(tmp_path)
    old, channel = world.queue("old"), world.client().channel()
    world.publish(channel, b"old", "old")
    world.settle()
    basic.get(channel, old, False)
    world.broker.vhosts["/"].delete_queue(old)
    world.settle()
    while world.broker._ids._next == 2 and not world.broker._ids._free:
        world.calls.get(timeout=60)()
    new = world.queue("new")
    assert new.id == old.id
    world.publish(channel, b"new", "new")
    world.settle()
    channel.ack(1, False)
    world.settle()
    world.store.close()
    assert counts(tmp_path) == {"new": 1}


def test_a_history_that_a_publisher_made_up_neither_counts_nor_makes_a_circle(world: World) -> None:
    """As in RabbitMQ 4, where x-death from a client is a header like any other. A count at its limit is no trap either."""
    made_up = [{"queue": "dead", "reason": "expired", "count": 2**63 - 1}]
    _, dead = parking(world, x_max_length=0)
    headers: dict[str, object] = {"x-death": made_up, "x-first-death-reason": "boredom"}
    world.publish(world.client().channel(), b"x", headers=headers)
    _, properties = parked(dead)
    assert properties.headers is not None
    deaths = properties.headers["x-death"]
    assert isinstance(deaths, list)
    assert [(death["queue"], death["count"]) for death in deaths] == [("q", 1)]
    assert properties.headers["x-first-death-reason"] == "maxlen"


def test_the_history_goes_on_after_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.queue("q", x_dead_letter_exchange="", x_dead_letter_routing_key="q")
    world.publish(world.client().channel(), b"x")
    for _ in range(3):
        world.settle()
        channel = world.client().channel()
        consume(channel, world.broker.vhosts["/"].queues["q"], prefetch=1)
        world.settle()
        channel.reject(1, False)
        channel.close()
        world.settle()
        world.store.close()
        world = World(tmp_path)
    target = world.broker.vhosts["/"].queues["q"]
    assert target.loading
    world.settle()
    _, properties = parked(target)
    assert properties.headers is not None
    deaths = properties.headers["x-death"]
    assert isinstance(deaths, list)
    assert [(death["reason"], death["count"]) for death in deaths] == [("rejected", 3)]
    world.store.close()


@pytest.mark.parametrize(("key", "found"), [(None, {"q": 0, "shown": 1, "hidden": 1}), ("shown", {"shown": 1})])
def test_hidden_keys_lead_on_unless_a_dead_letter_key_is_given(tmp_path: Path, key: str | None, found: object) -> None:
    """BCC is remembered over a restart, and never shown."""
    world = World(tmp_path)
    vhost = world.broker.vhosts["/"]
    vhost.declare_exchange("dlx", "direct", True, False, False, {})
    for name in ("shown", "hidden"):
        vhost.bind("dlx", world.queue(name), name, {})
    target = world.queue("q", x_dead_letter_exchange="dlx", **({"x_dead_letter_routing_key": key} if key else {}))
    headers: dict[str, object] = {"CC": ["shown"], "BCC": ["hidden"]}
    world.publish(world.client().channel(), b"x", headers=headers)
    assert target.ready == 1
    for name in ("shown", "hidden"):
        vhost.queues[name].purge(lambda count: None)
    world.settle()
    world.store.close()
    world = World(tmp_path)
    vhost = world.broker.vhosts["/"]
    vhost.queues["q"].configure({**vhost.queues["q"].arguments, "x-max-length": 0})
    world.settle()
    ready = {name: queue.backlog.count for name, queue in vhost.queues.items()}
    assert ready == {"q": 0, "shown": 0, "hidden": 0, **dict(found)}  # type: ignore[call-overload]
    _, properties = parked(vhost.queues["shown"])
    assert properties.headers is not None and "BCC" not in properties.headers
    assert ("CC" in properties.headers) == (key is None)
    (death,) = properties.headers["x-death"]  # type: ignore[misc]
    assert death["routing-keys"] == ["q", "shown"]
    world.store.close()


@pytest.mark.parametrize("name", ["x_dead_letter_routing_key", "x_dead_letter_exchange"])
def test_a_name_too_long_for_a_receiver_harms_nobody(world: World, name: str) -> None:
    vhost = world.broker.vhosts["/"]
    vhost.declare_exchange("dlx", "fanout", True, False, False, {})
    vhost.bind("dlx", world.queue("dead"), "", {})
    target = world.queue("q", **{"x_dead_letter_exchange": "dlx", name: "k" * 300}, x_message_ttl=10)
    world.publish(world.client().channel(), b"x")
    world.broker.at(1_000_010)
    assert target.ready == 0
    assert vhost.queues["dead"].ready == (1 if name == "x_dead_letter_routing_key" else 0)


def test_the_senders_headers_keep_their_types(world: World) -> None:
    """A small 64-bit integer is not one of 32 bits to a Java or Go program."""
    long_1 = b"\x01l" + b"l" + (1).to_bytes(8, "big")
    target, dead = parking(world, x_max_length=0)
    properties = encode_properties(BasicProperties(headers={}, priority=3))
    table = encode_longstr(long_1)
    header = b"\x00\x3c\x00\x00" + (1).to_bytes(8, "big") + properties[:2] + table + properties[6:]
    channel = world.client().channel()
    world.broker.routers["/"].publish(channel, world.address("q"), header, b"x")
    assert target.ready == 0
    message, told = parked(dead)
    assert long_1 in message.header and encode_field("x-first-death-queue", "q") in message.header
    assert told.priority == 3
