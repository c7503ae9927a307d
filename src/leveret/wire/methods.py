"""Every method of AMQP 0-9-1 with RabbitMQ's extensions: one frozen dataclass each, and the codec made from them.

A field's wire type is its annotation; reserved fields are annotated too, under names beginning with `reserved`, and
are always empty. Each field has a default. Interpreted, not compiled: the three methods that messages travel by are
read and written by hand in wire/connection and wire/frames.
Source: AMQP 0-9-1's amqp0-9-1.extended.xml as RabbitMQ publishes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Final, get_type_hints

from leveret.errors import CodecError
from leveret.wire.values import (
    decode_longstr,
    decode_shortstr,
    decode_table,
    encode_longstr,
    encode_shortstr,
    encode_table,
)

Octet = Annotated[int, "octet"]
Short = Annotated[int, "short"]
Long = Annotated[int, "long"]
LongLong = Annotated[int, "longlong"]
Bit = Annotated[bool, "bit"]
ShortStr = Annotated[str, "shortstr"]
LongStr = Annotated[bytes, "longstr"]
Table = Annotated[dict[str, object], "table"]


class UnknownMethod(CodecError):
    """No method has this class and method id."""

    def __init__(self, class_id: int, method_id: int) -> None:
        super().__init__(f"unknown method {class_id}.{method_id}")
        self.class_id = class_id
        self.method_id = method_id


@dataclass(frozen=True, slots=True)
class Method:
    """What all methods have. `sent_by` is "client", "server" or "both"."""

    class_id: ClassVar[int]
    method_id: ClassVar[int]
    name: ClassVar[str]
    synchronous: ClassVar[bool] = False
    has_content: ClassVar[bool] = False
    sent_by: ClassVar[str]


# ---- connection


@dataclass(frozen=True, slots=True)
class ConnectionStart(Method):
    class_id = 10
    method_id = 10
    name = "connection.start"
    synchronous = True
    sent_by = "server"
    version_major: Octet = 0
    version_minor: Octet = 0
    server_properties: Table = field(default_factory=dict)
    mechanisms: LongStr = b""
    locales: LongStr = b""


@dataclass(frozen=True, slots=True)
class ConnectionStartOk(Method):
    class_id = 10
    method_id = 11
    name = "connection.start-ok"
    sent_by = "client"
    client_properties: Table = field(default_factory=dict)
    mechanism: ShortStr = ""
    response: LongStr = b""
    locale: ShortStr = ""


@dataclass(frozen=True, slots=True)
class ConnectionSecure(Method):
    class_id = 10
    method_id = 20
    name = "connection.secure"
    synchronous = True
    sent_by = "server"
    challenge: LongStr = b""


@dataclass(frozen=True, slots=True)
class ConnectionSecureOk(Method):
    class_id = 10
    method_id = 21
    name = "connection.secure-ok"
    sent_by = "client"
    response: LongStr = b""


@dataclass(frozen=True, slots=True)
class ConnectionTune(Method):
    class_id = 10
    method_id = 30
    name = "connection.tune"
    synchronous = True
    sent_by = "server"
    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


@dataclass(frozen=True, slots=True)
class ConnectionTuneOk(Method):
    class_id = 10
    method_id = 31
    name = "connection.tune-ok"
    sent_by = "client"
    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


@dataclass(frozen=True, slots=True)
class ConnectionOpen(Method):
    class_id = 10
    method_id = 40
    name = "connection.open"
    synchronous = True
    sent_by = "client"
    virtual_host: ShortStr = ""
    reserved1: ShortStr = ""
    reserved2: Bit = False


@dataclass(frozen=True, slots=True)
class ConnectionOpenOk(Method):
    class_id = 10
    method_id = 41
    name = "connection.open-ok"
    sent_by = "server"
    reserved1: ShortStr = ""


@dataclass(frozen=True, slots=True)
class ConnectionClose(Method):
    class_id = 10
    method_id = 50
    name = "connection.close"
    synchronous = True
    sent_by = "both"
    reply_code: Short = 0
    reply_text: ShortStr = ""
    class_id: Short = 0
    method_id: Short = 0


@dataclass(frozen=True, slots=True)
class ConnectionCloseOk(Method):
    class_id = 10
    method_id = 51
    name = "connection.close-ok"
    sent_by = "both"


@dataclass(frozen=True, slots=True)
class ConnectionBlocked(Method):
    class_id = 10
    method_id = 60
    name = "connection.blocked"
    sent_by = "server"
    reason: ShortStr = ""


@dataclass(frozen=True, slots=True)
class ConnectionUnblocked(Method):
    class_id = 10
    method_id = 61
    name = "connection.unblocked"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class ConnectionUpdateSecret(Method):
    class_id = 10
    method_id = 70
    name = "connection.update-secret"
    synchronous = True
    sent_by = "client"
    new_secret: LongStr = b""
    reason: ShortStr = ""


@dataclass(frozen=True, slots=True)
class ConnectionUpdateSecretOk(Method):
    class_id = 10
    method_id = 71
    name = "connection.update-secret-ok"
    sent_by = "server"


# ---- channel


@dataclass(frozen=True, slots=True)
class ChannelOpen(Method):
    class_id = 20
    method_id = 10
    name = "channel.open"
    synchronous = True
    sent_by = "client"
    reserved1: ShortStr = ""


@dataclass(frozen=True, slots=True)
class ChannelOpenOk(Method):
    class_id = 20
    method_id = 11
    name = "channel.open-ok"
    sent_by = "server"
    reserved1: LongStr = b""


@dataclass(frozen=True, slots=True)
class ChannelFlow(Method):
    class_id = 20
    method_id = 20
    name = "channel.flow"
    synchronous = True
    sent_by = "both"
    active: Bit = False


@dataclass(frozen=True, slots=True)
class ChannelFlowOk(Method):
    class_id = 20
    method_id = 21
    name = "channel.flow-ok"
    sent_by = "both"
    active: Bit = False


@dataclass(frozen=True, slots=True)
class ChannelClose(Method):
    class_id = 20
    method_id = 40
    name = "channel.close"
    synchronous = True
    sent_by = "both"
    reply_code: Short = 0
    reply_text: ShortStr = ""
    class_id: Short = 0
    method_id: Short = 0


@dataclass(frozen=True, slots=True)
class ChannelCloseOk(Method):
    class_id = 20
    method_id = 41
    name = "channel.close-ok"
    sent_by = "both"


# ---- access


@dataclass(frozen=True, slots=True)
class AccessRequest(Method):
    class_id = 30
    method_id = 10
    name = "access.request"
    synchronous = True
    sent_by = "client"
    realm: ShortStr = ""
    exclusive: Bit = False
    passive: Bit = False
    active: Bit = False
    write: Bit = False
    read: Bit = False


@dataclass(frozen=True, slots=True)
class AccessRequestOk(Method):
    class_id = 30
    method_id = 11
    name = "access.request-ok"
    sent_by = "server"
    ticket: Short = 0


# ---- exchange


@dataclass(frozen=True, slots=True)
class ExchangeDeclare(Method):
    class_id = 40
    method_id = 10
    name = "exchange.declare"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    exchange: ShortStr = ""
    type: ShortStr = ""
    passive: Bit = False
    durable: Bit = False
    auto_delete: Bit = False
    internal: Bit = False
    no_wait: Bit = False
    arguments: Table = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExchangeDeclareOk(Method):
    class_id = 40
    method_id = 11
    name = "exchange.declare-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class ExchangeDelete(Method):
    class_id = 40
    method_id = 20
    name = "exchange.delete"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    exchange: ShortStr = ""
    if_unused: Bit = False
    no_wait: Bit = False


@dataclass(frozen=True, slots=True)
class ExchangeDeleteOk(Method):
    class_id = 40
    method_id = 21
    name = "exchange.delete-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class ExchangeBind(Method):
    class_id = 40
    method_id = 30
    name = "exchange.bind"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    destination: ShortStr = ""
    source: ShortStr = ""
    routing_key: ShortStr = ""
    no_wait: Bit = False
    arguments: Table = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExchangeBindOk(Method):
    class_id = 40
    method_id = 31
    name = "exchange.bind-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class ExchangeUnbind(Method):
    class_id = 40
    method_id = 40
    name = "exchange.unbind"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    destination: ShortStr = ""
    source: ShortStr = ""
    routing_key: ShortStr = ""
    no_wait: Bit = False
    arguments: Table = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExchangeUnbindOk(Method):
    class_id = 40
    method_id = 51
    name = "exchange.unbind-ok"
    sent_by = "server"


# ---- queue


@dataclass(frozen=True, slots=True)
class QueueDeclare(Method):
    class_id = 50
    method_id = 10
    name = "queue.declare"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    passive: Bit = False
    durable: Bit = False
    exclusive: Bit = False
    auto_delete: Bit = False
    no_wait: Bit = False
    arguments: Table = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueueDeclareOk(Method):
    class_id = 50
    method_id = 11
    name = "queue.declare-ok"
    sent_by = "server"
    queue: ShortStr = ""
    message_count: Long = 0
    consumer_count: Long = 0


@dataclass(frozen=True, slots=True)
class QueueBind(Method):
    class_id = 50
    method_id = 20
    name = "queue.bind"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    no_wait: Bit = False
    arguments: Table = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueueBindOk(Method):
    class_id = 50
    method_id = 21
    name = "queue.bind-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class QueuePurge(Method):
    class_id = 50
    method_id = 30
    name = "queue.purge"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    no_wait: Bit = False


@dataclass(frozen=True, slots=True)
class QueuePurgeOk(Method):
    class_id = 50
    method_id = 31
    name = "queue.purge-ok"
    sent_by = "server"
    message_count: Long = 0


@dataclass(frozen=True, slots=True)
class QueueDelete(Method):
    class_id = 50
    method_id = 40
    name = "queue.delete"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    if_unused: Bit = False
    if_empty: Bit = False
    no_wait: Bit = False


@dataclass(frozen=True, slots=True)
class QueueDeleteOk(Method):
    class_id = 50
    method_id = 41
    name = "queue.delete-ok"
    sent_by = "server"
    message_count: Long = 0


@dataclass(frozen=True, slots=True)
class QueueUnbind(Method):
    class_id = 50
    method_id = 50
    name = "queue.unbind"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    arguments: Table = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueueUnbindOk(Method):
    class_id = 50
    method_id = 51
    name = "queue.unbind-ok"
    sent_by = "server"


# ---- basic


@dataclass(frozen=True, slots=True)
class BasicQos(Method):
    class_id = 60
    method_id = 10
    name = "basic.qos"
    synchronous = True
    sent_by = "client"
    prefetch_size: Long = 0
    prefetch_count: Short = 0
    global_: Bit = False


@dataclass(frozen=True, slots=True)
class BasicQosOk(Method):
    class_id = 60
    method_id = 11
    name = "basic.qos-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class BasicConsume(Method):
    class_id = 60
    method_id = 20
    name = "basic.consume"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    consumer_tag: ShortStr = ""
    no_local: Bit = False
    no_ack: Bit = False
    exclusive: Bit = False
    no_wait: Bit = False
    arguments: Table = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BasicConsumeOk(Method):
    class_id = 60
    method_id = 21
    name = "basic.consume-ok"
    sent_by = "server"
    consumer_tag: ShortStr = ""


@dataclass(frozen=True, slots=True)
class BasicCancel(Method):
    class_id = 60
    method_id = 30
    name = "basic.cancel"
    synchronous = True
    sent_by = "both"
    consumer_tag: ShortStr = ""
    no_wait: Bit = False


@dataclass(frozen=True, slots=True)
class BasicCancelOk(Method):
    class_id = 60
    method_id = 31
    name = "basic.cancel-ok"
    sent_by = "both"
    consumer_tag: ShortStr = ""


@dataclass(frozen=True, slots=True)
class BasicPublish(Method):
    class_id = 60
    method_id = 40
    name = "basic.publish"
    has_content = True
    sent_by = "client"
    reserved1: Short = 0
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    mandatory: Bit = False
    immediate: Bit = False


@dataclass(frozen=True, slots=True)
class BasicReturn(Method):
    class_id = 60
    method_id = 50
    name = "basic.return"
    has_content = True
    sent_by = "server"
    reply_code: Short = 0
    reply_text: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""


@dataclass(frozen=True, slots=True)
class BasicDeliver(Method):
    class_id = 60
    method_id = 60
    name = "basic.deliver"
    has_content = True
    sent_by = "server"
    consumer_tag: ShortStr = ""
    delivery_tag: LongLong = 0
    redelivered: Bit = False
    exchange: ShortStr = ""
    routing_key: ShortStr = ""


@dataclass(frozen=True, slots=True)
class BasicGet(Method):
    class_id = 60
    method_id = 70
    name = "basic.get"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    no_ack: Bit = False


@dataclass(frozen=True, slots=True)
class BasicGetOk(Method):
    class_id = 60
    method_id = 71
    name = "basic.get-ok"
    has_content = True
    sent_by = "server"
    delivery_tag: LongLong = 0
    redelivered: Bit = False
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    message_count: Long = 0


@dataclass(frozen=True, slots=True)
class BasicGetEmpty(Method):
    class_id = 60
    method_id = 72
    name = "basic.get-empty"
    sent_by = "server"
    reserved1: ShortStr = ""


@dataclass(frozen=True, slots=True)
class BasicAck(Method):
    class_id = 60
    method_id = 80
    name = "basic.ack"
    sent_by = "both"
    delivery_tag: LongLong = 0
    multiple: Bit = False


@dataclass(frozen=True, slots=True)
class BasicReject(Method):
    class_id = 60
    method_id = 90
    name = "basic.reject"
    sent_by = "client"
    delivery_tag: LongLong = 0
    requeue: Bit = False


@dataclass(frozen=True, slots=True)
class BasicRecoverAsync(Method):
    class_id = 60
    method_id = 100
    name = "basic.recover-async"
    sent_by = "client"
    requeue: Bit = False


@dataclass(frozen=True, slots=True)
class BasicRecover(Method):
    class_id = 60
    method_id = 110
    name = "basic.recover"
    synchronous = True
    sent_by = "client"
    requeue: Bit = False


@dataclass(frozen=True, slots=True)
class BasicRecoverOk(Method):
    class_id = 60
    method_id = 111
    name = "basic.recover-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class BasicNack(Method):
    class_id = 60
    method_id = 120
    name = "basic.nack"
    sent_by = "both"
    delivery_tag: LongLong = 0
    multiple: Bit = False
    requeue: Bit = False


# ---- tx


@dataclass(frozen=True, slots=True)
class TxSelect(Method):
    class_id = 90
    method_id = 10
    name = "tx.select"
    synchronous = True
    sent_by = "client"


@dataclass(frozen=True, slots=True)
class TxSelectOk(Method):
    class_id = 90
    method_id = 11
    name = "tx.select-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class TxCommit(Method):
    class_id = 90
    method_id = 20
    name = "tx.commit"
    synchronous = True
    sent_by = "client"


@dataclass(frozen=True, slots=True)
class TxCommitOk(Method):
    class_id = 90
    method_id = 21
    name = "tx.commit-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class TxRollback(Method):
    class_id = 90
    method_id = 30
    name = "tx.rollback"
    synchronous = True
    sent_by = "client"


@dataclass(frozen=True, slots=True)
class TxRollbackOk(Method):
    class_id = 90
    method_id = 31
    name = "tx.rollback-ok"
    sent_by = "server"


# ---- confirm


@dataclass(frozen=True, slots=True)
class ConfirmSelect(Method):
    class_id = 85
    method_id = 10
    name = "confirm.select"
    synchronous = True
    sent_by = "client"
    no_wait: Bit = False


@dataclass(frozen=True, slots=True)
class ConfirmSelectOk(Method):
    class_id = 85
    method_id = 11
    name = "confirm.select-ok"
    sent_by = "server"


# ---- the codec


def _pack(octets: int) -> Callable[[int], bytes]:
    def write(value: int) -> bytes:
        try:
            return value.to_bytes(octets, "big")
        except OverflowError:
            raise CodecError(f"{value} does not fit into {octets} octets") from None

    return write


def _unpack(octets: int) -> Callable[[bytes, int], tuple[int, int]]:
    def read(data: bytes, pos: int) -> tuple[int, int]:
        if pos + octets > len(data):
            raise CodecError("the arguments of a method are cut short")
        return int.from_bytes(data[pos : pos + octets], "big"), pos + octets

    return read


_WRITE: Final[dict[str, Callable[[Any], bytes]]] = {
    "octet": _pack(1),
    "short": _pack(2),
    "long": _pack(4),
    "longlong": _pack(8),
    "shortstr": encode_shortstr,
    "longstr": encode_longstr,
    "table": encode_table,
}
_READ: Final[dict[str, Callable[[bytes, int], tuple[Any, int]]]] = {
    "octet": _unpack(1),
    "short": _unpack(2),
    "long": _unpack(4),
    "longlong": _unpack(8),
    "shortstr": decode_shortstr,
    "longstr": decode_longstr,
    "table": decode_table,
}

Layout = list[tuple[str, str]]


def _layout(cls: type[Method]) -> Layout:
    """Names and wire types of a method's fields, in order."""
    hints = get_type_hints(cls, include_extras=True)
    return [(item.name, hints[item.name].__metadata__[0]) for item in fields(cls)]


METHODS: Final[dict[tuple[int, int], type[Method]]] = {
    (cls.class_id, cls.method_id): cls for cls in Method.__subclasses__() if "class_id" in vars(cls)
}
_LAYOUTS: Final[dict[type[Method], Layout]] = {cls: _layout(cls) for cls in METHODS.values()}


def encode_method(method: Method) -> bytes:
    """A method frame's payload: class id, method id, arguments. CodecError if a value does not fit its field."""
    parts = [method.class_id.to_bytes(2, "big"), method.method_id.to_bytes(2, "big")]
    bits: list[bool] = []
    for name, kind in _LAYOUTS[type(method)]:
        value = getattr(method, name)
        if kind == "bit":
            bits.append(value)
            continue
        _flush_bits(bits, parts)
        parts.append(_WRITE[kind](value))
    _flush_bits(bits, parts)
    return b"".join(parts)


def _flush_bits(bits: list[bool], parts: list[bytes]) -> None:
    """Bits that stand side by side share octets, the first in the lowest place (section 4.2.5.2)."""
    while bits:
        parts.append(bytes((sum(1 << place for place, bit in enumerate(bits[:8]) if bit),)))
        del bits[:8]


def decode_method(payload: bytes) -> Method:
    """The method in a method frame's payload. UnknownMethod or CodecError; octets behind the arguments are ignored."""
    if len(payload) < 4:
        raise CodecError("a method frame of less than 4 octets")
    class_id, method_id = payload[0] << 8 | payload[1], payload[2] << 8 | payload[3]
    cls = METHODS.get((class_id, method_id))
    if cls is None:
        raise UnknownMethod(class_id, method_id)
    values: dict[str, Any] = {}
    pos = 4
    place = 8
    for name, kind in _LAYOUTS[cls]:
        if kind != "bit":
            values[name], pos = _READ[kind](payload, pos)
            place = 8
            continue
        if place == 8:
            octet, pos = _READ["octet"](payload, pos)
            place = 0
        values[name] = bool(octet >> place & 1)
        place += 1
    return cls(**values)
