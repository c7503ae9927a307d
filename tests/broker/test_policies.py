"""Policies, as RabbitMQ's parameters and policies page has them, on virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from broker.support import World
from leveret.broker.policies import definition, policy_name
from leveret.errors import InvalidSetting

POLICY, OPERATOR = "policy", "operator_policy"


def put(world: World, what: dict[str, Any], name: str = "p", kind: str = POLICY, **given: Any) -> bool:
    asked = {"pattern": "^q", "definition": what} | {key.replace("_", "-"): value for key, value in given.items()}
    return world.broker.vhosts["/"].put_policy(kind, name, asked)


def test_a_policy_holds_for_queues_that_are_there_and_for_those_to_come(world: World) -> None:
    before = world.queue("q1")
    assert put(world, {"message-ttl": 5}) and not put(world, {"message-ttl": 6})
    after = world.queue("q2")
    other = world.queue("other")
    assert (before.ttl_ms, after.ttl_ms, other.ttl_ms) == (6, 6, -1)
    assert (policy_name(before.policy), policy_name(other.policy)) == ("p", None)
    world.broker.vhosts["/"].delete_policy(POLICY, "p")
    assert (before.ttl_ms, policy_name(before.policy)) == (-1, None)


def test_a_new_time_to_live_is_for_new_messages(world: World) -> None:
    queue = world.queue("q")
    channel = world.client().channel()
    world.publish(channel, b"old")
    put(world, {"message-ttl": 1})
    world.publish(channel, b"new")
    world.broker.at(1_000_100)
    assert queue.ready == 2  # the old one is first, and expiry is only ever at the front
    queue.acknowledge(queue.get())  # type: ignore[arg-type]
    assert queue.ready == 0


def test_a_new_length_limit_drops_at_once_from_the_front(world: World) -> None:
    queue = world.queue("q")
    channel = world.client().channel()
    for body in (b"1", b"2", b"3"):
        world.publish(channel, body)
    put(world, {"max-length": 1})
    message = queue.get()
    assert message is not None and message.body == b"3" and queue.get() is None


def test_an_argument_wins_but_of_limits_the_lower_one_holds(world: World) -> None:
    queue = world.queue("q", x_message_ttl=10, x_overflow="reject-publish", x_max_length=5)
    put(world, {"message-ttl": 20, "overflow": "drop-head", "max-length": 2})
    assert queue.ttl_ms == 10 and queue.limit.rejects
    assert queue.limit._messages == 2


def test_the_highest_priority_wins_alone(world: World) -> None:
    queue = world.queue("q")
    put(world, {"message-ttl": 1, "max-length": 7}, "low", priority=1)
    put(world, {"message-ttl": 2}, "high", priority=2)
    assert (policy_name(queue.policy), queue.ttl_ms, queue.limit._messages) == ("high", 2, -1)
    world.broker.vhosts["/"].delete_policy(POLICY, "high")
    assert (policy_name(queue.policy), queue.ttl_ms, queue.limit._messages) == ("low", 1, 7)


def test_an_operator_policy_joins_and_the_lower_of_two_limits_holds(world: World) -> None:
    queue = world.queue("q")
    put(world, {"message-ttl": 100, "overflow": "reject-publish", "max-length": 9})
    put(world, {"message-ttl": 50, "expires": 1_000}, "o", OPERATOR)
    assert queue.ttl_ms == 50
    assert definition(queue) == {"expires": 1_000, "max-length": 9, "message-ttl": 50, "overflow": "reject-publish"}
    assert (policy_name(queue.policy), policy_name(queue.operator_policy)) == ("p", "o")


@pytest.mark.parametrize(
    ("apply_to", "classic", "quorum", "exchange"),
    [
        ("all", True, True, True),
        ("queues", True, True, False),
        ("classic_queues", True, False, False),
        ("quorum_queues", False, True, False),
        ("exchanges", False, False, True),
        ("streams", False, False, False),
    ],
)
def test_a_policy_is_for_what_it_says(world: World, apply_to: str, classic: bool, quorum: bool, exchange: bool) -> None:
    put(world, {"max-length": 1}, apply_to=apply_to)
    made = [
        world.queue("q1"),
        world.queue("q2", x_queue_type="quorum"),
        world.broker.vhosts["/"].declare_exchange("q", "fanout", True, False, False, {}),
    ]
    assert [one.policy is not None for one in made] == [classic, quorum, exchange]


def test_a_setting_of_the_other_queue_type_keeps_the_whole_policy_away(world: World) -> None:
    put(world, {"max-length": 1, "delivery-limit": 2})
    assert world.queue("q1").policy is None
    assert world.queue("q2", x_queue_type="quorum").policy is not None


def test_an_alternate_exchange_by_policy_leads_messages_at_once(world: World) -> None:
    vhost = world.broker.vhosts["/"]
    vhost.declare_exchange("q-in", "direct", True, False, False, {})
    vhost.bind("amq.fanout", world.queue("spill"), "", {})
    channel = world.client().channel()
    address = world.address("nowhere", exchange="q-in")
    world.publish_to(channel, address, b"lost")
    put(world, {"alternate-exchange": "amq.fanout"})
    world.publish_to(channel, address, b"kept")
    assert vhost.queues["spill"].ready == 1


def test_a_policy_holds_for_queues_recovered_at_start(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.queue("q")
    put(world, {"message-ttl": 5})
    world.settle()
    world.store.close()
    again = World(tmp_path)
    queue = again.broker.vhosts["/"].queues["q"]
    assert (queue.ttl_ms, policy_name(queue.policy)) == (5, "p")
    again.store.close()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"definition": {}}, "no policy provided"),
        ({"definition": {"max-length": "a"}}, '<<"a">> is not a valid maximum length'),
        ({"definition": {"max-length": True}}, "true is not a valid maximum length"),
        ({"definition": {"expires": 0}}, "0 is not a valid queue expiry"),
        ({"definition": {"overflow": "x"}}, '<<"x">> is not a valid overflow value'),
        ({"definition": {"bad": 1, "max-length": 2}}, '[{<<"bad">>,1}] are not recognised policy settings'),
        (
            {"definition": {"message-ttl": {"a": [1, None]}}},
            '#{<<"a">> => [1,null]} is not a valid message TTL',
        ),
        ({"priority": "x"}, 'priority should be a number, actually was <<"x">>'),
        ({"pattern": 1}, "pattern should be a binary but was 1"),
    ],
)
def test_what_is_wrong_is_said_in_rabbitmqs_words(world: World, given: dict[str, Any], reason: str) -> None:
    asked = {"pattern": ".*", "definition": {"max-length": 1}, **given}
    with pytest.raises(InvalidSetting) as caught:
        world.broker.vhosts["/"].put_policy(POLICY, "p", asked)
    assert caught.value.reason == f"Validation failed\n\n{reason}\n"
    assert not world.broker.vhosts["/"].policies.of(POLICY)


def test_an_operator_policy_may_only_limit(world: World) -> None:
    with pytest.raises(InvalidSetting, match="are not recognised policy settings"):
        put(world, {"dead-letter-exchange": "x"}, kind=OPERATOR)
    put(world, {"max-length": 1}, kind=OPERATOR)


def test_pattern_and_definition_must_be_there(world: World) -> None:
    with pytest.raises(InvalidSetting) as caught:
        world.broker.vhosts["/"].put_policy(POLICY, "p", {"definition": {"max-length": 1}})
    assert caught.value.reason == "[{key_missing,pattern}]"
