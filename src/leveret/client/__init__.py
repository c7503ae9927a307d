"""AMQP 0-9-1 client over leveret.wire: asyncio here, blocking in leveret.client.blocking.

    connection = await connect("amqp://guest:guest@localhost:5672/%2F")
    channel = await connection.channel(prefetch=10, confirms=True)

Works with every AMQP 0-9-1 broker. Used by tasks/ and worker/, and by programs of its users.
"""

from leveret.client.backoff import Backoff
from leveret.client.channel import Channel
from leveret.client.connection import Connection, connect
from leveret.client.consumer import Consumer
from leveret.client.declaring import QueueDeclared
from leveret.client.delivery import Delivery, Returned
from leveret.client.looping import run
from leveret.client.standing import StandingChannel
from leveret.client.waiting import ConnectionClosed
from leveret.wire.properties import BasicProperties, decode_properties, encode_properties

__all__ = [
    "Backoff",
    "BasicProperties",
    "Channel",
    "Connection",
    "ConnectionClosed",
    "Consumer",
    "Delivery",
    "QueueDeclared",
    "Returned",
    "StandingChannel",
    "connect",
    "decode_properties",
    "encode_properties",
    "run",
]
