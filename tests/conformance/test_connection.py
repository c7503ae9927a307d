"""Connections and channels as ordinary clients use them: opening, refusing, closing, many of them.

rabbitmq.com/docs/connections, docs/channels, docs/access-control (login, virtual hosts), docs/consumer-cancel
(capabilities); AMQP 0-9-1 section 2.2.4.
"""

from __future__ import annotations

from collections.abc import Callable

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingConnection

from brokers import Broker
from conformance.support import channel_refused

Connect = Callable[..., BlockingConnection]
CAPABILITIES = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
]


def test_the_broker_lists_its_capabilities(connection: BlockingConnection) -> None:
    properties = connection._impl.server_properties
    assert {name: properties["capabilities"].get(name) for name in CAPABILITIES} == dict.fromkeys(CAPABILITIES, True)
    assert {"product", "version", "platform"} <= properties.keys()


@pytest.mark.parametrize(("user", "password"), [("guest", "wrong"), ("nobody", "guest"), ("", "")])
def test_wrong_credentials_are_refused(broker: Broker, user: str, password: str) -> None:
    with pytest.raises(pika.exceptions.ProbableAuthenticationError, match="403"):
        broker.connect(credentials=pika.PlainCredentials(user, password))


def test_an_unknown_vhost_is_refused(broker: Broker) -> None:
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError, match=r"530.*vhost nope not found"):
        broker.connect(virtual_host="nope")


def test_a_client_may_lower_the_limits(connect: Connect) -> None:
    connection = connect(channel_max=5, frame_max=8192, heartbeat=10)
    parameters = connection._impl.params
    assert (parameters.channel_max, parameters.frame_max, parameters.heartbeat) == (5, 8192, 10)
    for _ in range(5):
        connection.channel()


def test_channel_max_limits_how_many_there_are_not_their_numbers(connect: Connect) -> None:
    """https://www.rabbitmq.com/docs/channels#channel-max; aiormq's suite opens channel 65535."""
    connection = connect(channel_max=5)
    connection._impl.params.channel_max = 65_535  # pika itself would not send it
    channel = connection.channel(65_535)
    assert channel.queue_declare("", exclusive=True).method.message_count == 0


def test_channel_numbers_are_used_again(connection: BlockingConnection) -> None:
    for _ in range(3):
        channel = connection.channel(17)
        channel.queue_declare("", exclusive=True)
        channel.close()


def test_a_number_whose_channel_was_refused_is_used_again(connection: BlockingConnection, name: str) -> None:
    for _ in range(3):
        with channel_refused(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
            connection.channel(9).queue_declare(name, passive=True)


def test_thousands_of_channels_one_after_the_other(connection: BlockingConnection) -> None:
    for _ in range(2000):
        connection.channel(1).close()
    assert connection.channel(1).is_open


def test_many_channels_at_once(connection: BlockingConnection, name: str) -> None:
    channels = [connection.channel() for _ in range(200)]
    channels[0].queue_declare(name)
    for channel in channels:
        channel.basic_publish("", name, b"%d" % channel.channel_number)
        assert channel.basic_get(name, auto_ack=True)[2] == b"%d" % channel.channel_number


def test_many_connections_at_once(connect: Connect, name: str) -> None:
    connections = [connect() for _ in range(30)]
    connections[0].channel().queue_declare(name)
    for connection in connections:
        assert connection.channel().queue_declare(name, passive=True).method.queue == name


def test_a_connection_name_and_client_properties_are_accepted(connect: Connect) -> None:
    properties = {"connection_name": "tester", "product": "x", "nested": {"list": [1, "a", True]}}
    assert connect(client_properties=properties).channel().is_open
