"""Publishing and getting messages over HTTP: for trying and looking, not for work (RabbitMQ's API says so too)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from datetime import datetime
from typing import Any, Final

from leveret.broker import basic
from leveret.broker.channel import Channel
from leveret.broker.message import Message
from leveret.broker.permissions import READ
from leveret.broker.queue import Queue
from leveret.errors import AMQPError, CodecError
from leveret.management.acting import Acting, confirming
from leveret.management.calls import Call, Table, refusing_openly, table
from leveret.management.endpoints import Refused
from leveret.management.topology import exchange_name
from leveret.management.views import View
from leveret.wire.events import Address
from leveret.wire.frames import header_payload
from leveret.wire.properties import BasicProperties, decode_properties, encode_properties
from leveret.wire.values import encode_shortstr

ACK_MODES: Final = ("ack_requeue_true", "reject_requeue_true", "ack_requeue_false", "reject_requeue_false")
NUMBERS: Final = ("delivery_mode", "priority", "timestamp")
PAUSE_MESSAGES: Final = 100
"""The others have their turn after so many."""
TEXTS: Final = (
    *("content_type", "content_encoding", "correlation_id", "reply_to", "expiration", "message_id"),
    *("type", "user_id", "app_id", "cluster_id"),
)


async def publish(call: Call) -> View:
    body = call.fields_with("properties", "routing_key", "payload", "payload_encoding")
    vhost = call.vhost()
    payload = decoded(str(body["payload"]), body["payload_encoding"])
    exchange, key = exchange_name(call.names[1]), str(body["routing_key"])
    peer, channel = confirming(call.user, vhost)
    try:
        encoded = encode_shortstr(exchange) + encode_shortstr(key)
        header = header_payload(len(payload), encode_properties(properties_of(table(body, "properties"))))
        address = Address(exchange, key, True, False, encoded)
        call.broker.routers[vhost.name].publish(channel, address, header, payload)
        return {"routed": await peer.confirmed() and not peer.returned}
    except AMQPError as wrong:
        raise Refused(400, "bad_request", f"{wrong.code} {wrong.text}") from None
    except CodecError as wrong:
        raise Refused(400, "bad_request", str(wrong)) from None
    finally:
        channel.close()


def decoded(payload: str, encoding: object) -> bytes:
    if encoding == "string":
        return payload.encode()
    if encoding != "base64":
        raise Refused(400, "bad_request", ["unsupported_encoding", encoding])
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, "bad_request", ["not_base64", payload]) from None


def properties_of(given: dict[str, Any]) -> BasicProperties:
    """What the message is to carry; what AMQP does not know is passed over, as RabbitMQ does."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name in NUMBERS:
            if type(value) is not int:
                raise Refused(400, "bad_request", ["not_int", name])
            values[name] = value
        elif name in TEXTS:
            if not isinstance(value, str):
                raise Refused(400, "bad_request", ["not_string", name])
            values[name] = value
        elif name == "headers":
            values[name] = table(given, name)
    return BasicProperties(**values)


async def get(call: Call) -> list[View]:
    """Takes up to `count` messages, but no more than fit into `body_bytes_max`, and does with them what `ackmode` says."""
    body = call.fields_with("count", "ackmode", "encoding")
    mode, encoding = body["ackmode"], body["encoding"]
    count, cut = whole(body["count"]), None if body.get("truncate") is None else whole(body["truncate"])
    if encoding not in ("auto", "base64"):
        raise Refused(400, "bad_request", "Unsupported encoding. Please use auto or base64.")
    if mode not in ACK_MODES:
        raise Refused(400, "bad_request", f"Unsupported ackmode. Please use {', '.join(ACK_MODES)}.")
    peer = Acting(call.user)
    vhost = call.vhost()
    if call.names[1] not in vhost.queues:
        raise Refused(404, "not_found", f"NOT_FOUND - no queue '{call.names[1]}' in vhost '{vhost.name}'")
    with refusing_openly():
        vhost.permissions.require(peer, READ, "queue", call.names[1])
    queue = vhost.queue(call.names[1], peer)
    channel = peer.channel(vhost)
    try:
        taken: list[View] = []
        octets = 0
        while len(taken) < count and octets < call.body_bytes_max:
            found = await taken_from(call, channel, queue)
            if found is None:
                break
            message = found[0]
            taken.append(message_view(message, queue.ready, encoding, cut))
            octets += message.size() - len(message.body) + len(taken[-1]["payload"])
            if len(taken) % PAUSE_MESSAGES == 0:
                await call.pause()
        settle(channel, mode)
    finally:
        channel.close()
    return taken


def whole(value: object) -> int:
    """A number, which rabbitmqadmin writes as a text."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    if type(value) is not int:
        raise Refused(400, "bad_request", ["not_integer", value])
    return value


def settle(channel: Channel, mode: str) -> None:
    """With `ack_requeue_true` nothing is said: the end of the channel gives everything back."""
    for message in channel.unacked.oldest(channel.unacked.count):
        if mode == "ack_requeue_false":
            channel.ack(message.tag, False)
        elif mode.startswith("reject"):
            channel.reject(message.tag, mode == "reject_requeue_true")


async def taken_from(call: Call, channel: Channel, queue: Queue) -> tuple[Message, int] | None:
    """The first ready message, also if it has to be read from the store first."""
    while True:
        found = None if queue.deleted else basic.get(channel, queue, False)
        if found is not None or queue.deleted or not queue.loading:
            return found
        loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.when_loaded(lambda loaded=loaded: loaded.set_result(None))  # type: ignore[misc]
        await loaded
        call.turn()


def message_view(message: Message, left: int, encoding: str, cut: int | None) -> View:
    address, body = message.address, message.body
    middle = 1 + address[0]
    payload, shown = encoded(body if cut is None else body[:cut], encoding)
    return {
        "payload_bytes": len(body),
        "redelivered": message.redelivered,
        "exchange": address[1:middle].decode("utf-8", "replace"),
        "routing_key": address[middle + 1 :].decode("utf-8", "replace"),
        "message_count": left,
        # RabbitMQ writes an empty object as an empty list here.
        "properties": properties_view(decode_properties(message.header, 12)) or [],
        "payload": payload,
        "payload_encoding": shown,
    }


def encoded(body: bytes, encoding: str) -> tuple[str, str]:
    """As a string if that is asked for and possible."""
    if encoding == "auto":
        try:
            return body.decode(), "string"
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), "base64"


def properties_view(properties: BasicProperties) -> View:
    values = {name: getattr(properties, name) for name in ("headers", *NUMBERS, *TEXTS)}
    return {name: plain(value) for name, value in values.items() if value is not None}


def plain(value: Any) -> Any:
    """A field table's value in JSON: times are seconds, octets a string if they are one."""
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, bytes):
        return encoded(value, "auto")[0]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    # Names that came as octets which are not UTF-8 have no other way into JSON.
    return re.sub("[\ud800-\udfff]", "\ufffd", value) if isinstance(value, str) else value


TABLE: Table = {
    "exchanges/*/*/publish": {"POST": publish},
    "queues/*/*/get": {"POST": get},
}
