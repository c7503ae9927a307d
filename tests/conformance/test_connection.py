"""Connections and channels as ordinary clients use them: opening, refusing, closing, many of them.

rabbitmq.com/docs/connections, docs/channels, docs/access-control (login, virtual hosts), docs/consumer-cancel
(capabilities); AMQP 0-9-1 section 2.2.4.
"""

from __future__ import annotations

import json
import struct
import urllib.request
from collections.abc import Callable

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from brokers import Broker
from conformance import wire
from conformance.support import channel_refused, until
from conformance.wire import Wire, long, method, short

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
DESCRIPTION = ["cluster_name", "copyright", "information", "platform", "product", "version"]


def test_the_broker_lists_its_capabilities(connection: BlockingConnection) -> None:
    properties = connection._impl.server_properties
    assert properties["capabilities"] == dict.fromkeys(CAPABILITIES, True)
    assert properties.keys() - {"capabilities"} == set(DESCRIPTION)
    assert all(isinstance(properties[name], str) and properties[name] for name in DESCRIPTION)


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


CLOSE_CHANNEL = struct.pack(">H", 200) + short("") + bytes(4)
UPDATE_SECRET, UPDATE_SECRET_OK = (10, 70), (10, 71)
ACCESS_REQUEST, ACCESS_REQUEST_OK = (30, 10), (30, 11)
FLOW, FLOW_OK = (20, 20), (20, 21)
CONSUME, CONSUME_OK = (60, 20), (60, 21)


def test_the_greeting_offers_plain_and_says_its_version(broker: Broker) -> None:
    with Wire(broker.port) as client:
        client.send(wire.HEADER)
        greeting = client.expect(wire.START).arguments
        assert greeting[:2] == b"\x00\x09"
        table_end = 6 + int.from_bytes(greeting[2:6], "big")
        size = int.from_bytes(greeting[table_end : table_end + 4], "big")
        mechanisms = greeting[table_end + 4 : table_end + 4 + size].split()
        assert mechanisms[:2] == [b"PLAIN", b"AMQPLAIN"]
        assert greeting[table_end + 4 + size :] == long(b"en_US")


def test_tens_of_thousands_of_channels_in_a_row(broker: Broker) -> None:
    """Without waiting in between, so that frames of one life of a channel follow those of the one before."""
    lives = 20_000
    with Wire(broker.port) as client:
        client.open()
        for begin in range(0, lives, 500):
            life = method(1, wire.CHANNEL_OPEN, short("")) + method(1, FLOW, b"\x01")
            for _ in range(begin, begin + 500):
                client.send(life)
                client.expect(wire.CHANNEL_OPEN_OK)
                client.expect(FLOW_OK)
                client.send(method(1, wire.CHANNEL_CLOSE, CLOSE_CHANNEL))
                client.expect(wire.CHANNEL_CLOSE_OK)
        client.open_channel(1)


def test_channel_max_limits_how_many_not_which_numbers(broker: Broker) -> None:
    with Wire(broker.port) as client:
        client.open(channel_max=2).open_channel(65_535).open_channel(9)
        client.send(method(9, wire.CHANNEL_CLOSE, CLOSE_CHANNEL))
        client.expect(wire.CHANNEL_CLOSE_OK)
        client.open_channel(40_000)
        client.send(method(1, wire.CHANNEL_OPEN, short("")))
        text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"
        assert client.closed_with() == (530, text)


def test_a_lower_frame_max_cuts_what_the_broker_sends(broker: Broker, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.basic_publish("", name, bytes(10_000))
    until(lambda: channel.queue_declare(name, passive=True).method.message_count == 1)
    with Wire(broker.port) as client:
        client.open(frame_max=4096).open_channel()
        client.send(method(1, (60, 70), b"\x00\x00" + short(name) + b"\x01"))
        client.expect((60, 71))
        frames = [client.next() for _ in range(4)]
        assert [frame and len(frame.payload) for frame in frames[1:]] == [4088, 4088, 10_000 - 2 * 4088]


@pytest.mark.parametrize("insist", [0, 1])
def test_open_may_insist(broker: Broker, insist: int) -> None:
    with Wire(broker.port) as client:
        client.greet()
        client.agree()
        client.send(method(0, wire.OPEN, short("/") + short("") + bytes([insist])))
        assert client.expect(wire.OPEN_OK).arguments == b"\x00"


def test_a_new_secret_is_accepted(broker: Broker) -> None:
    """rabbitmq.com/docs/oauth2 renews tokens so; for a password it changes nothing."""
    with Wire(broker.port) as client:
        client.open().send(method(0, UPDATE_SECRET, long(b"new secret") + short("it expires")))
        assert client.expect(UPDATE_SECRET_OK).arguments == b""
        client.open_channel()


def test_access_request_is_answered(broker: Broker) -> None:
    """A method of AMQP 0-8 that old clients still send."""
    with Wire(broker.port) as client:
        client.open().open_channel().send(method(1, ACCESS_REQUEST, short("/data") + b"\x1f"))
        assert client.expect(ACCESS_REQUEST_OK).arguments == b"\x00\x01"


def test_flow_that_goes_on_is_answered(broker: Broker) -> None:
    with Wire(broker.port) as client:
        client.open().open_channel().send(method(1, FLOW, b"\x01"))
        assert client.expect(FLOW_OK).arguments == b"\x01"


def test_consumer_tags_that_the_broker_makes(broker: Broker, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    tags = set()
    with Wire(broker.port) as client:
        client.open().open_channel()
        for _ in range(3):
            client.send(method(1, CONSUME, b"\x00\x00" + short(name) + short("") + b"\x00" + long(b"")))
            tags.add(client.expect(CONSUME_OK).arguments[1:].decode())
    assert len(tags) == 3
    assert all(tag.startswith("amq.ctag-") and len(tag) == len("amq.ctag-") + 22 for tag in tags)


def test_queue_names_that_the_broker_makes(channel: BlockingChannel) -> None:
    names = {channel.queue_declare("", exclusive=True).method.queue for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("amq.gen-") and len(name) == len("amq.gen-") + 22 for name in names)


def test_what_a_client_published_before_it_closed_counts(connect: Connect, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publisher = connect()
    publishing = [publisher.channel() for _ in range(3)]
    for number in range(300):
        publishing[number % 3].basic_publish("", name, b"%d" % number)
    publisher.close()
    until(lambda: channel.queue_declare(name, passive=True).method.message_count == 300)


def test_a_client_that_is_told_to_go_may_say_close_itself(broker: Broker) -> None:
    """Both sides send close at once: each answers the other's (AMQP 0-9-1 section 2.2.4)."""
    close = method(0, wire.CLOSE, struct.pack(">H", 200) + short("bye") + bytes(4))
    with Wire(broker.port) as client:
        client.open().open_channel().send(method(1, wire.CHANNEL_OPEN, short("")))
        assert client.expect(wire.CLOSE).reply[0] == 504
        client.send(close)
        client.expect(wire.CLOSE_OK)


def test_the_name_a_client_gives_itself_is_listed(managed_broker: Broker, name: str) -> None:
    properties = {"connection_name": f"{name} 🐇", "product": "tester"}
    connection = managed_broker.connect(client_properties=properties)
    url = f"http://127.0.0.1:{managed_broker.management_port}/api/connections"
    request = urllib.request.Request(url, headers={"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="})
    listed: list[dict[str, object]] = []

    def found() -> bool:
        with urllib.request.urlopen(request, timeout=10) as answer:
            listed[:] = [row for row in json.load(answer) if row.get("user_provided_name") == f"{name} 🐇"]
        return bool(listed)

    until(found, connection)
    (row,) = listed
    assert row["client_properties"]["connection_name"] == f"{name} 🐇"  # type: ignore[index]
    assert (row["user"], row["vhost"], row["state"]) == ("guest", "/", "running")
    assert row["name"] == f"127.0.0.1:{row['peer_port']} -> 127.0.0.1:{managed_broker.port}"
