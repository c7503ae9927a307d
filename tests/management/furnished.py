"""A broker with one of everything in it, the same on both: what the tests compare that look at every field."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from brokers import Broker
from management.support import Api

QUEUES: dict[str, dict[str, Any]] = {
    "plain": {"durable": True},
    "replicated": {"durable": True, "arguments": {"x-queue-type": "quorum"}},
    "own": {"exclusive": True},
    "passing": {"durable": True, "arguments": {"x-message-ttl": 3_600_000, "x-dead-letter-exchange": "fan"}},
    "urgent": {"durable": True, "arguments": {"x-max-priority": 5}},
    "short": {"durable": False, "auto_delete": True, "arguments": {"x-max-length": 3, "x-overflow": "reject-publish"}},
    "single": {"durable": True, "arguments": {"x-single-active-consumer": True}},
    "governed": {"durable": True},
}
EXCHANGES: dict[str, dict[str, Any]] = {
    "straight": {"exchange_type": "direct", "durable": True, "arguments": {"alternate-exchange": "fan"}},
    "fan": {"exchange_type": "fanout", "durable": True},
    "topical": {"exchange_type": "topic", "durable": False, "auto_delete": True},
    "heads": {"exchange_type": "headers", "durable": True},
    "inner": {"exchange_type": "direct", "durable": True, "internal": True},
    "hashing": {"exchange_type": "x-consistent-hash", "durable": True},
}
DECLARED: list[tuple[str, dict[str, Any]]] = [
    ("/vhosts/tenant", {"description": "of one", "tags": "production,red"}),
    ("/users/viewer", {"password": "viewer", "tags": "monitoring"}),
    ("/users/maker", {"password": "maker", "tags": "policymaker"}),
    ("/users/simple", {"password": "simple", "tags": "management"}),
    ("/users/nobody", {"password": "nobody", "tags": ""}),
    ("/permissions/tenant/guest", {"configure": ".*", "write": ".*", "read": ".*"}),
    ("/permissions/%2F/simple", {"configure": "^s", "write": ".*", "read": "^$"}),
    ("/permissions/%2F/maker", {"configure": ".*", "write": ".*", "read": ".*"}),
    ("/topic-permissions/%2F/simple", {"exchange": "topical", "write": "^a", "read": ".*"}),
    ("/policies/%2F/length", {"pattern": "^governed$", "definition": {"max-length": 100}, "apply-to": "queues"}),
    (
        "/operator-policies/%2F/age",
        {"pattern": "^governed$", "definition": {"expires": 7_200_000}, "apply-to": "queues"},
    ),
    ("/vhost-limits/tenant/max-queues", {"value": 50}),
    ("/user-limits/simple/max-connections", {"value": 9}),
    ("/global-parameters/colour", {"value": {"sky": "blue"}}),
    ("/queues/tenant/theirs", {"durable": True}),
]


@dataclass
class Furnished:
    broker: Broker
    api: Api
    connection: BlockingConnection
    channels: list[BlockingChannel] = field(default_factory=list)


@contextlib.contextmanager
def furnish(broker: Broker) -> Iterator[Furnished]:
    """Everything stands there until the end: also the connection, with messages that it does not acknowledge."""
    api = Api(broker)
    for path, body in DECLARED:
        assert api("PUT", path, body).status in (201, 204), path
    with contextlib.closing(broker.connect(client_properties={"connection_name": "furnisher"})) as connection:
        room = Furnished(broker, api, connection, [connection.channel(), connection.channel()])
        declare(room.channels[0])
        publish(room.channels[0])
        consume(*room.channels)
        yield room


def declare(channel: BlockingChannel) -> None:
    for name, given in EXCHANGES.items():
        channel.exchange_declare(name, **given)
    for name, given in QUEUES.items():
        channel.queue_declare(name, **given)
    channel.queue_bind("plain", "straight", "key/one")
    channel.queue_bind("urgent", "topical", "a.*.#")
    channel.queue_bind("passing", "heads", "", {"x-match": "all", "colour": "red", "size": 3})
    channel.queue_bind("plain", "hashing", "10")
    channel.exchange_bind("inner", "fan", "")
    channel.queue_bind("plain", "inner", "k")


def publish(channel: BlockingChannel) -> None:
    channel.confirm_delivery()
    kept = pika.BasicProperties(delivery_mode=2, priority=2, content_type="text/plain")
    for name in ("plain", "replicated", "passing", "urgent", "single", "governed", "own"):
        for number in range(4):
            channel.basic_publish("", name, b"%d of four" % number, kept)
    channel.basic_publish("straight", "key/one", b"straight on", kept)
    channel.basic_publish("fan", "nowhere", b"to nowhere")
    with contextlib.suppress(pika.exceptions.UnroutableError):
        channel.basic_publish("heads", "nowhere", b"back", mandatory=True)


def consume(first: BlockingChannel, second: BlockingChannel) -> None:
    """One acknowledged, two held by a consumer, one by a get; one taken without acknowledging; one finds nothing."""
    got = first.basic_get("plain")
    first.basic_ack(got[0].delivery_tag)
    first.basic_get("governed")
    first.basic_get("governed", auto_ack=True)
    first.basic_get("short")
    returned = first.basic_get("urgent")
    first.basic_nack(returned[0].delivery_tag, requeue=True)
    second.basic_qos(prefetch_count=2)
    arrived: list[int] = []
    second.basic_consume("plain", lambda *given: arrived.append(given[1].delivery_tag), consumer_tag="eater")
    second.basic_consume(
        "single", lambda *given: None, auto_ack=True, consumer_tag="alone", arguments={"x-priority": 3}
    )
    while len(arrived) < 2:
        second.connection.process_data_events(0.1)
