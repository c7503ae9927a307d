"""The memory and disk alarms: publishers are blocked and told so, consumers go on.

Held to rabbitmq.com/docs/alarms and rabbitmq.com/docs/connection-blocked. Only Leveret watches its disk at once;
RabbitMQ learns other limits through rabbitmqctl, and every wait here is for what the broker says.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingConnection

from alarming import ALARMING, AlarmingBroker, management
from brokers import Broker
from conformance.support import Inbox, until

Said = list[tuple[str, ...]]


@pytest.fixture(scope="module")
def shared(broker_kind: type[Broker]) -> Iterator[AlarmingBroker]:
    started = ALARMING[broker_kind.kind](management=True)
    try:
        started.start()
        yield started
    finally:
        started.remove()


@pytest.fixture
def alarming(shared: AlarmingBroker) -> Iterator[AlarmingBroker]:
    yield shared
    shared.alarm()
    until(lambda: not any(shared.alarms()))


def _raise(broker: AlarmingBroker, *, memory: bool = False, disk: bool = False) -> None:
    """The alarm is on: the broker says so itself."""
    broker.alarm(memory=memory, disk=disk)
    until(lambda: broker.alarms() == (memory, disk))


def _watched(broker: AlarmingBroker, **properties: Any) -> tuple[BlockingConnection, Said]:
    """A connection, and what it is told about being blocked."""
    connection = broker.connect(blocked_connection_timeout=None, client_properties=properties or None)
    said: Said = []
    connection.add_on_connection_blocked_callback(lambda _, frame: said.append(("blocked", frame.method.reason)))
    connection.add_on_connection_unblocked_callback(lambda *_: said.append(("unblocked",)))
    return connection, said


def _state(broker: AlarmingBroker, name: str) -> str:
    """The state of the connection that was given this name."""
    with urllib.request.urlopen(management(broker, "connections"), timeout=10) as answer:
        connections = json.load(answer)
    for connection in connections:
        if connection["client_properties"].get("connection_name") == name:
            return str(connection.get("state", ""))  # RabbitMQ's figures come late
    return ""


ONES: list[tuple[dict[str, bool], str]] = [
    ({"memory": True}, "low on memory"),
    ({"disk": True}, "low on disk"),
    ({"memory": True, "disk": True}, "low on disk & memory"),
]


@pytest.mark.parametrize(("which", "reason"), ONES, ids=[reason for _, reason in ONES])
def test_who_publishes_is_blocked_and_told_why(
    alarming: AlarmingBroker, name: str, which: dict[str, bool], reason: str
) -> None:
    connection, said = _watched(alarming)
    channel = connection.channel()
    channel.queue_declare(name)
    _raise(alarming, **which)
    channel.basic_publish("", name, b"x")
    until(lambda: bool(said), connection)
    assert said == [("blocked", reason)]
    alarming.alarm()
    until(lambda: len(said) > 1, connection)
    assert said == [("blocked", reason), ("unblocked",)]


def test_a_blocked_connection_goes_on_afterwards(alarming: AlarmingBroker, name: str) -> None:
    connection, said = _watched(alarming)
    channel = connection.channel()
    channel.queue_declare(name)
    _raise(alarming, disk=True)
    for number in range(3):
        channel.basic_publish("", name, b"%d" % number)
    until(lambda: bool(said), connection)
    channel.basic_publish("", name, b"3")
    alarming.alarm()
    until(lambda: len(said) > 1, connection)
    inbox = Inbox(channel, name)
    assert [delivery.body for delivery in inbox.take(4)] == [b"0", b"1", b"2", b"3"]


def test_who_only_consumes_goes_on(alarming: AlarmingBroker, name: str) -> None:
    connection, said = _watched(alarming)
    channel = connection.channel()
    channel.queue_declare(name)
    for number in range(3):
        channel.basic_publish("", name, b"%d" % number)
    consumer, consumer_said = _watched(alarming)
    taking = consumer.channel()
    until(lambda: taking.queue_declare(name, passive=True).method.message_count == 3)
    _raise(alarming, memory=True)
    channel.basic_publish("", name, b"blocked")
    until(lambda: bool(said), connection)
    inbox = Inbox(taking, name)
    for delivery in inbox.take(3):
        taking.basic_ack(delivery.tag)
    taking.queue_declare(name + "-new")
    assert consumer_said == []


def test_who_had_published_before_is_blocked_only_when_it_does_again(alarming: AlarmingBroker, name: str) -> None:
    connection, said = _watched(alarming)
    channel = connection.channel()
    channel.queue_declare(name)
    channel.basic_publish("", name, b"before")
    _raise(alarming, disk=True)
    assert channel.basic_get(name, auto_ack=True)[2] == b"before"
    assert said == []
    channel.basic_publish("", name, b"during")
    until(lambda: bool(said), connection)


def test_a_new_connection_is_blocked_as_well(alarming: AlarmingBroker, name: str) -> None:
    _raise(alarming, disk=True)
    connection, said = _watched(alarming)
    channel = connection.channel()
    channel.queue_declare(name)
    channel.basic_publish("", name, b"x")
    until(lambda: bool(said), connection)
    assert said == [("blocked", "low on disk")]


def test_one_alarm_less_is_not_enough(alarming: AlarmingBroker, name: str) -> None:
    connection, said = _watched(alarming)
    channel = connection.channel()
    channel.queue_declare(name)
    _raise(alarming, memory=True, disk=True)
    channel.basic_publish("", name, b"x")
    until(lambda: bool(said), connection)
    _raise(alarming, disk=True)
    connection.process_data_events(time_limit=0.1)
    assert len(said) == 1
    alarming.alarm()
    until(lambda: len(said) > 1, connection)


def test_states_in_the_management_interface(alarming: AlarmingBroker, name: str) -> None:
    publisher, said = _watched(alarming, connection_name=name)
    idle, _ = _watched(alarming, connection_name=name + "-idle")
    channel = publisher.channel()
    channel.queue_declare(name)
    until(lambda: (_state(alarming, name), _state(alarming, name + "-idle")) == ("running", "running"))
    _raise(alarming, memory=True)
    channel.basic_publish("", name, b"x")
    until(lambda: bool(said), publisher)
    # RabbitMQ's figures of connections are up to five seconds old.
    until(lambda: (_state(alarming, name), _state(alarming, name + "-idle")) == ("blocked", "blocking"))
    alarming.alarm()
    until(lambda: (_state(alarming, name), _state(alarming, name + "-idle")) == ("running", "running"))
    assert idle.is_open


def test_a_client_without_the_capability_is_blocked_and_not_told(alarming: AlarmingBroker, name: str) -> None:
    without = {"publisher_confirms": True, "authentication_failure_close": True}
    connection, said = _watched(alarming, capabilities=without, connection_name=name)
    channel = connection.channel()
    channel.queue_declare(name)
    _raise(alarming, disk=True)
    channel.basic_publish("", name, b"x")
    until(lambda: _state(alarming, name) == "blocked")
    connection.process_data_events(time_limit=0)
    assert said == []
    alarming.alarm()
    channel.queue_declare(name, passive=True)
    assert said == []


def test_the_broker_stops_in_good_order_while_it_blocks(broker_kind: type[Broker], name: str) -> None:
    own = ALARMING[broker_kind.kind](management=True)
    try:
        own.start()
        connection, said = _watched(own)
        channel = connection.channel()
        channel.queue_declare(name)
        _raise(own, disk=True)
        channel.basic_publish("", name, b"x")
        until(lambda: bool(said), connection)
        own.stop()
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            connection.process_data_events(time_limit=10)
    finally:
        own.remove()
