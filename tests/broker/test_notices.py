"""What became of messages that were not simply acknowledged is noted: which, why, and whose they were."""

from __future__ import annotations

import pytest

from broker.support import Client, World, consume
from leveret.broker.channel import Channel
from leveret.broker.notices import IDS_MAX, KINDS_MAX, Noted, Notices


@pytest.fixture
def world() -> World:
    return World(None)


@pytest.fixture
def notices(world: World) -> Notices:
    return world.broker.take_notes("leveret.")


def delivered(world: World, *ids: str, queue: str = "q", **arguments: object) -> tuple[Client, Channel]:
    """A client named `worker` that holds these messages."""
    target = world.queue(queue, **arguments)
    client = world.client()
    client.name = "worker"
    channel = client.channel()
    consume(channel, target)
    for id in ids:
        world.publish(channel, id.encode(), queue, message_id=id)
    return client, channel


def only(notices: Notices) -> Noted:
    (noted,) = notices.take()
    return noted


def about(noted: Noted) -> tuple[str, str, str, str, int, list[str]]:
    return noted.queue, noted.what, noted.why, noted.connection, noted.number, noted.ids


def test_a_message_whose_connection_is_lost_is_given_back(world: World, notices: Notices) -> None:
    client, _ = delivered(world, "a", "b")
    world.broker.disconnect(client)
    noted = only(notices)
    assert about(noted) == ("q", "requeued", "connection closed", "worker", 2, ["a", "b"])
    assert (noted.at_ms, noted.vhost) == (world.broker.now, "/")
    assert notices.take() == []


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda channel: channel.close(), "channel closed"),
        (lambda channel: channel.nack(1, False, True), "nacked"),
        (lambda channel: channel.reject(1, True), "rejected"),
        (lambda channel: channel.recover(), "recovered"),
    ],
    ids=["close", "nack", "reject", "recover"],
)
def test_it_is_told_why_a_message_was_given_back(world: World, notices: Notices, act: object, why: str) -> None:
    _, channel = delivered(world, "a")
    act(channel)  # type: ignore[operator]
    assert about(only(notices)) == ("q", "requeued", why, "worker", 1, ["a"])


def test_a_message_that_was_not_acknowledged_in_time_is_given_back() -> None:
    world = World(None, consumer_timeout_ms=60_000)
    notices = world.broker.take_notes("leveret.")
    delivered(world, "a")
    world.broker.at(world.broker.now + 61_000)
    assert about(only(notices)) == ("q", "requeued", "not acknowledged in time", "worker", 1, ["a"])


@pytest.mark.parametrize(("dead", "what"), [({}, "dropped"), ({"x_dead_letter_exchange": ""}, "dead-lettered")])
def test_a_message_that_is_rejected_for_good_is_dropped_or_dead_lettered(
    world: World, notices: Notices, dead: dict[str, object], what: str
) -> None:
    _, channel = delivered(world, "a", **dead)
    channel.reject(1, False)
    assert about(only(notices)) == ("q", what, "rejected", "worker", 1, ["a"])


def test_messages_that_expire_or_find_no_room_are_told_by_their_reason(world: World, notices: Notices) -> None:
    world.queue("short", x_max_length=1)
    world.queue("brief", x_message_ttl=10)
    channel = world.client().channel()
    for id in ("a", "b"):
        world.publish(channel, b"", "short", message_id=id)
    world.publish(channel, b"", "brief", message_id="c")
    world.broker.at(world.broker.now + 11)
    assert [about(one) for one in notices.take()] == [
        ("short", "dropped", "maxlen", "", 1, ["a"]),
        ("brief", "dropped", "expired", "", 1, ["c"]),
    ]


def test_a_quorum_queue_that_gives_a_message_up_did_not_give_it_back(world: World, notices: Notices) -> None:
    _, channel = delivered(world, "a", x_queue_type="quorum", x_delivery_limit=0)
    channel.reject(1, True)
    assert about(only(notices)) == ("q", "dropped", "delivery_limit", "", 1, ["a"])


def test_a_purge_and_a_deletion_are_told(world: World, notices: Notices) -> None:
    queue = world.queue()
    channel = world.client().channel()
    for id in ("a", "b"):
        world.publish(channel, b"", message_id=id)
    queue.purge(lambda count: None)
    assert about(only(notices)) == ("q", "purged", "purged", "", 2, ["a", "b"])
    world.publish(channel, b"", message_id="c")
    world.broker.vhosts["/"].delete_queue(queue)
    assert about(only(notices)) == ("q", "purged", "queue deleted", "", 1, [])


def test_of_very_many_it_is_known_how_many_they_were(world: World, notices: Notices) -> None:
    client, _ = delivered(world, *(str(number) for number in range(1000)))
    world.broker.disconnect(client)
    noted = only(notices)
    assert (noted.number, len(noted.ids)) == (1000, IDS_MAX)


def test_of_very_many_queues_so_many_are_told_of(world: World, notices: Notices) -> None:
    channel = world.client().channel()
    for number in range(KINDS_MAX + 5):
        world.queue(f"q{number}", x_max_length=0)
        world.publish(channel, b"", f"q{number}")
    assert len(notices.take()) == KINDS_MAX
    world.publish(channel, b"", "q1")
    assert only(notices).queue == "q1"


def test_of_what_only_passes_through_nothing_is_told(world: World, notices: Notices) -> None:
    world.queue("leveret.delay.1", x_message_ttl=10)
    world.publish(world.client().channel(), b"", "leveret.delay.1", message_id="a")
    world.broker.at(world.broker.now + 11)
    assert notices.take() == []


def test_a_message_without_an_id_or_with_broken_properties_is_counted(world: World, notices: Notices) -> None:
    client, channel = delivered(world, "a")
    world.publish(channel, b"no id")
    world.broker.disconnect(client)
    assert about(only(notices))[4:] == (2, ["a"])


def test_nothing_is_noted_unless_somebody_asked(world: World) -> None:
    client, _ = delivered(world, "a")
    world.broker.disconnect(client)
    assert world.broker.commons.notices is None
