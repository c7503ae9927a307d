"""Leveret's own question where a message is: in which queue, behind how many, or with whom; and nothing is touched for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pika
import pytest

from brokers import Broker, Leveret
from management.support import Api


@pytest.fixture(scope="module")
def broker_here() -> Iterator[Broker]:
    own = Leveret(management=True)
    try:
        own.start()
        yield own
    finally:
        own.remove()


@pytest.fixture
def ask(broker_here: Broker) -> Api:
    return Api(broker_here)


def publish(broker: Broker, queue: str, *ids: str, priority: int | None = None, **arguments: Any) -> None:
    with broker.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(queue, durable=True, arguments=arguments or None)
        for id in ids:
            properties = pika.BasicProperties(message_id=id, type="t", delivery_mode=2, priority=priority)
            channel.basic_publish("", queue, b"body", properties, mandatory=True)


def found(api: Api, id: str) -> list[dict[str, Any]]:
    answer = api("GET", f"/messages/{quote(id, safe='')}")
    assert answer.status == 200 and answer.json["message_id"] == id
    rows: list[dict[str, Any]] = answer.json["found"]
    return rows


def test_a_message_that_waits_is_found_behind_those_before_it(ask: Api, broker_here: Broker, name: str) -> None:
    publish(broker_here, name, f"{name}-a", f"{name}-b", f"{name}-c")
    (row,) = found(ask, f"{name}-c")
    assert (row["queue"], row["vhost"], row["state"], row["before"], row["ready"]) == (name, "/", "ready", 2, 3)
    assert (row["properties"]["type"], row["payload_bytes"], row["on_disk"]) == ("t", 4, True)
    with broker_here.connect() as connection:
        method, properties, _ = connection.channel().basic_get(name)
    assert properties.message_id == f"{name}-a" and not method.redelivered


def test_those_of_a_higher_priority_are_before_it(ask: Api, broker_here: Broker, name: str) -> None:
    arguments = {"x-max-priority": 5}
    publish(broker_here, name, f"{name}-low", priority=1, **arguments)
    publish(broker_here, name, f"{name}-high", priority=4, **arguments)
    assert [row["before"] for row in found(ask, f"{name}-low")] == [1]


def test_of_a_message_that_is_held_it_tells_by_whom(ask: Api, broker_here: Broker, name: str) -> None:
    publish(broker_here, name, f"{name}-a")
    with broker_here.connect(client_properties={"connection_name": "holder"}) as connection:
        connection.channel().basic_get(name)
        (row,) = found(ask, f"{name}-a")
    assert (row["state"], row["client"], row["queue"]) == ("unacked", "holder", name)
    assert row["held_ms"] >= 0 and row["connection"]
    assert [row["redelivered"] for row in found(ask, f"{name}-a")] == [True]


def test_an_id_that_is_a_part_of_another_or_of_a_header_is_not_that(ask: Api, broker_here: Broker, name: str) -> None:
    publish(broker_here, name, f"{name}-long-id")
    assert found(ask, f"{name}-long") == []
    assert found(ask, "a/b %2F ü") == []


def test_who_may_not_read_the_queue_does_not_find_it(ask: Api, broker_here: Broker, name: str) -> None:
    publish(broker_here, name, f"{name}-a")
    ask("PUT", f"/users/{name}", {"password": "p", "tags": "monitoring"})
    stranger = Api(broker_here, f"{name}:p")
    assert found(stranger, f"{name}-a") == []
    ask("PUT", f"/permissions/%2F/{name}", {"configure": "", "write": "", "read": f"^{name}$"})
    assert len(found(stranger, f"{name}-a")) == 1


MANY = 34_000
"""More than a queue keeps in memory."""


@pytest.fixture(scope="module")
def deep(broker_here: Broker) -> str:
    """A queue of so many, whose ids are their numbers; what came last holds an id in its body as well."""
    with broker_here.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("deep", durable=True)
        for number in range(MANY):
            channel.basic_publish("", "deep", b"", pika.BasicProperties(message_id=f"deep-{number}", delivery_mode=2))
        channel.confirm_delivery()
        channel.basic_publish("", "deep", b"deep-0", pika.BasicProperties(message_id="deep-last", delivery_mode=2))
    return "deep"


def test_what_only_the_disk_has_of_a_long_queue_is_found_there(ask: Api, broker_here: Broker, deep: str) -> None:
    for number in (0, 20_000, MANY - 1):
        (row,) = found(ask, f"deep-{number}")
        assert (row["queue"], row["state"], row["before"], row["ready"]) == (deep, "ready", number, MANY + 1)
        assert (row["on_disk"], row["redelivered"], row["payload_bytes"]) == (True, False, 0)
    (row,) = found(ask, "deep-last")
    assert (row["before"], row["payload_bytes"]) == (MANY, 6)
    answer = ask("GET", "/messages/nowhere")
    assert (answer.json["found"], answer.json["unseen"]) == ([], 0)


def test_of_very_many_that_are_held_each_is_found(ask: Api, broker_here: Broker, deep: str) -> None:
    """A channel keeps the content of some thousands in memory."""
    with broker_here.connect() as connection:
        held = 8_000
        channel = connection.channel()
        channel.basic_qos(prefetch_count=held)
        for _, properties, _ in channel.consume(deep):
            if properties.message_id == f"deep-{held - 1}":
                break
        (row,) = found(ask, f"deep-{held - 10}")
        assert (row["state"], row["queue"], row["routing_key"]) == ("unacked", deep, "deep")
        (row,) = found(ask, "deep-last")
        assert (row["state"], row["before"], row["ready"]) == ("ready", MANY - held, MANY - held + 1)


def test_who_may_not_read_a_long_queue_finds_nothing_on_disk(ask: Api, broker_here: Broker, deep: str) -> None:
    ask("PUT", "/users/outsider", {"password": "p", "tags": "monitoring"})
    ask("PUT", "/permissions/%2F/outsider", {"configure": "", "write": "", "read": "^other$"})
    stranger = Api(broker_here, "outsider:p")
    assert found(stranger, "deep-last") == [] and found(stranger, f"deep-{MANY - 1}") == []
