"""Policies and operator policies: rabbitmq.com/docs/policies, and what the pages of the features say.

RabbitMQ tells its queues of a policy after it has answered, so tests wait for the effect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.administration import Admin
from conformance.support import Confirms, drain, publish, ready, until

Login = Callable[[str, str], BlockingConnection]


@pytest.fixture
def vhost(admin: Admin) -> str:
    return admin.vhost()


@pytest.fixture
def channel(vhost: str, login: Login) -> BlockingChannel:
    return login("guest", vhost).channel()


def put(admin: Admin, vhost: str, definition: dict[str, Any], name: str = "p", **given: Any) -> None:
    admin.put("policies", vhost, name, **{"pattern": "^q", "definition": definition, **given})


def put_operator(admin: Admin, vhost: str, definition: dict[str, Any]) -> None:
    admin.put("operator-policies", vhost, "o", pattern="^q", definition=definition, apply_to="queues")


def limited_to(channel: BlockingChannel, queue: str, count: int) -> bool:
    """Whether so many of five new messages stay."""
    channel.queue_purge(queue)
    publish(channel, queue, b"1", b"2", b"3", b"4", b"5")
    return ready(channel, queue) == count


def test_a_length_limit_drops_from_a_queue_that_is_there(admin: Admin, vhost: str, channel: BlockingChannel) -> None:
    channel.queue_declare("q")
    publish(channel, "q", b"1", b"2", b"3")
    put(admin, vhost, {"max-length": 1})
    until(lambda: ready(channel, "q") == 1)
    assert drain(channel, "q") == [b"3"]


def test_a_policy_holds_for_queues_declared_later_and_for_no_others(
    admin: Admin, vhost: str, channel: BlockingChannel
) -> None:
    put(admin, vhost, {"max-length": 1})
    channel.queue_declare("q")
    channel.queue_declare("other")
    assert limited_to(channel, "q", 1) and limited_to(channel, "other", 5)


def test_a_policy_that_is_deleted_holds_no_more(admin: Admin, vhost: str, channel: BlockingChannel) -> None:
    put(admin, vhost, {"max-length": 1})
    channel.queue_declare("q")
    admin.delete("policies", vhost, "p")
    until(lambda: limited_to(channel, "q", 5))


def test_the_highest_priority_wins_alone(admin: Admin, vhost: str, channel: BlockingChannel) -> None:
    channel.queue_declare("q")
    put(admin, vhost, {"max-length": 1}, "low", priority=1)
    put(admin, vhost, {"message-ttl": 100_000}, "high", priority=2)
    until(lambda: limited_to(channel, "q", 5))
    admin.delete("policies", vhost, "high")
    until(lambda: limited_to(channel, "q", 1))


def test_of_an_argument_and_a_policy_the_lower_limit_holds(admin: Admin, vhost: str, channel: BlockingChannel) -> None:
    channel.queue_declare("q1", arguments={"x-max-length": 2})
    channel.queue_declare("q2", arguments={"x-max-length": 4})
    put(admin, vhost, {"max-length": 3})
    until(lambda: limited_to(channel, "q2", 3))
    assert limited_to(channel, "q1", 2)


def test_of_a_policy_and_an_operator_policy_the_lower_limit_holds(
    admin: Admin, vhost: str, channel: BlockingChannel
) -> None:
    channel.queue_declare("q")
    put(admin, vhost, {"max-length": 3, "message-ttl": 100_000})
    put_operator(admin, vhost, {"max-length": 2, "expires": 100_000})
    until(lambda: limited_to(channel, "q", 2))
    put_operator(admin, vhost, {"max-length": 4})
    until(lambda: limited_to(channel, "q", 3))


def test_which_policies_hold_is_shown(admin: Admin, vhost: str, channel: BlockingChannel) -> None:
    channel.queue_declare("q")
    put(admin, vhost, {"max-length": 3, "overflow": "reject-publish"})
    put_operator(admin, vhost, {"max-length": 2, "expires": 100_000})
    merged = {"expires": 100_000, "max-length": 2, "overflow": "reject-publish"}

    def shown() -> bool:
        queue = admin.get("queues", vhost, "q")
        names = (queue.get("policy"), queue.get("operator_policy"))
        return names == ("p", "o") and queue["effective_policy_definition"] == merged

    until(shown)


def test_an_argument_wins_over_a_policy_where_there_is_no_lower(
    admin: Admin, vhost: str, channel: BlockingChannel
) -> None:
    channel.queue_declare("q", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    put(admin, vhost, {"overflow": "drop-head", "max-length": 2})
    confirms = Confirms(channel)
    for body in (b"1", b"2"):
        confirms.publish("", "q", body)
    confirms.wait(2)
    assert confirms.nacked == {2}


def test_a_time_to_live_by_policy(admin: Admin, vhost: str, channel: BlockingChannel) -> None:
    channel.queue_declare("q")
    put(admin, vhost, {"message-ttl": 1})

    def expires() -> bool:
        channel.queue_purge("q")
        publish(channel, "q", b"x")
        return ready(channel, "q") == 0

    until(expires)


def test_a_queue_expires_by_policy(admin: Admin, vhost: str, channel: BlockingChannel, login: Login) -> None:
    channel.queue_declare("q")
    put(admin, vhost, {"expires": 200})
    others = login("guest", vhost)
    until(lambda: "q" not in [queue["name"] for queue in admin.get("queues", vhost)], others)


def test_a_dead_letter_exchange_by_policy(admin: Admin, vhost: str, channel: BlockingChannel) -> None:
    channel.queue_declare("q")
    channel.queue_declare("dead")
    put(admin, vhost, {"dead-letter-exchange": "", "dead-letter-routing-key": "dead"})

    def buried() -> bool:
        publish(channel, "q", b"x")
        method, _, _ = channel.basic_get("q")
        channel.basic_reject(method.delivery_tag, requeue=False)
        return ready(channel, "dead") > 0

    until(buried)
    assert drain(channel, "dead")[0] == b"x"


def test_an_alternate_exchange_by_policy(admin: Admin, vhost: str, channel: BlockingChannel) -> None:
    channel.exchange_declare("q-in", "direct")
    channel.queue_declare("spilled")
    channel.queue_bind("spilled", "amq.fanout")

    def spills() -> bool:
        channel.basic_publish("q-in", "nowhere", b"x")
        return ready(channel, "spilled") > 0

    assert not spills()
    put(admin, vhost, {"alternate-exchange": "amq.fanout"})
    until(spills)


@pytest.mark.parametrize(
    ("apply_to", "holds"), [("queues", True), ("all", True), ("classic_queues", True), ("exchanges", False)]
)
def test_a_policy_is_for_what_it_says(
    admin: Admin, vhost: str, channel: BlockingChannel, apply_to: str, holds: bool
) -> None:
    if apply_to == "classic_queues" and admin.broker.kind == "rabbitmq":
        pytest.skip("3.10 knows queues, exchanges and all; classic_queues and quorum_queues came with 3.12")
    put(admin, vhost, {"max-length": 1}, **{"apply-to": apply_to})
    channel.queue_declare("q")
    assert limited_to(channel, "q", 1 if holds else 5)


def test_a_setting_of_the_other_queue_type_keeps_the_whole_policy_away(
    admin: Admin, vhost: str, channel: BlockingChannel
) -> None:
    put(admin, vhost, {"max-length": 1, "delivery-limit": 3})
    channel.queue_declare("q")
    assert limited_to(channel, "q", 5)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({}, "no policy provided"),
        ({"max-length": -1}, "-1 is not a valid maximum length"),
        ({"max-length-bytes": True}, "true is not a valid maximum length in bytes"),
        ({"message-ttl": -1}, "-1 is not a valid message TTL"),
        ({"expires": 0}, "0 is not a valid queue expiry"),
        ({"dead-letter-exchange": 1}, "1 is not a valid dead letter exchange name"),
        ({"dead-letter-routing-key": 1}, "1 is not a valid dead letter routing key"),
        ({"alternate-exchange": True}, "true is not a valid alternate exchange name"),
        ({"delivery-limit": "x"}, '<<"x">> is not a valid delivery limit'),
        ({"overflow": "x"}, '<<"x">> is not a valid overflow value'),
        ({"queue-mode": "x"}, '<<"x">> is not a valid queue-mode value'),
        ({"bad": 1, "max-length": 1}, '[{<<"bad">>,1}] are not recognised policy settings'),
    ],
)
def test_what_is_wrong_with_a_definition_is_said(
    admin: Admin, vhost: str, definition: dict[str, Any], said: str
) -> None:
    status, answer = admin.call("PUT", "policies", vhost, "p", body={"pattern": ".*", "definition": definition})
    assert status == 400
    # 3.10 escapes this answer as if it were HTML.
    reason = answer["reason"].replace("&lt;", "<").replace("&gt;", ">")
    assert reason == f"Validation failed\n\n{said}\n"


def test_an_operator_policy_may_only_limit(admin: Admin, vhost: str) -> None:
    asked = {"pattern": ".*", "definition": {"dead-letter-exchange": "x"}}
    status, answer = admin.call("PUT", "operator-policies", vhost, "o", body=asked)
    assert status == 400
    text = '[{<<"dead-letter-exchange">>,<<"x">>}] are not recognised policy settings'
    assert answer["reason"] == f"Validation failed\n\n{text}\n"
