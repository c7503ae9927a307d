"""Makes what is sent: runs of frames that mean something, and then some damage. All of it follows from a Random."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from leveret.wire import methods as m
from leveret.wire.frames import HEARTBEAT, header_payload, method_frame
from leveret.wire.methods import METHODS, Method, encode_method

EVERY = list(METHODS.values())
QUEUES = ["", "q1", "q2", "q3", "q1", "q2", "q3", "x1"]
EXCHANGES = ["", "x1", "x2", "x1", "x2", "amq.topic", "amq.headers", "amq.fanout", "q1"]
NAMES = ["", "q1", "q2", "q3", "x1", "x2", "amq.topic", "amq.direct", "amq.fanout", "amq.headers", "amq.none"]
KEYS = ["", "q1", "q2", "q3", "a.b.c", "#", "*.b", "a" * 255]
TYPES = ["direct", "fanout", "topic", "headers", "x-none"]
BODY_BYTES_MAX = 3_000
NESTING_MAX = 40


def run_of(rng: Random, channels: tuple[int, ...] = (1, 2)) -> list[bytes]:
    """Frames as a client might send them, most of them legal where they stand."""
    frames = [method_frame(channels[-1], encode_method(m.QueueDeclare(queue=name))) for name in ("q1", "q2", "q3")]
    frames += [
        method_frame(channels[-1], encode_method(m.ExchangeDeclare(exchange=x, type="topic"))) for x in ("x1", "x2")
    ]
    return frames + [frame for _ in range(rng.randint(1, 40)) for frame in _something(rng, rng.choice(channels))]


def _something(rng: Random, channel: int) -> list[bytes]:
    kind = rng.random()
    if kind < 0.35:
        return _publish(rng, channel)
    if kind < 0.9:
        return [method_frame(channel, encode_method(rng.choice(LIKELY)(rng)))]
    if kind < 0.94:  # opened again, if an error has closed it
        return [method_frame(channel, encode_method(method)) for method in (m.ChannelCloseOk(), m.ChannelOpen())]
    if kind < 0.97:
        return [method_frame(rng.choice([0, channel, 3, 65_535]), encode_method(any_method(rng)))]
    if kind < 0.99:
        return [HEARTBEAT]
    return [rng.randbytes(rng.randint(1, 30))]


def _publish(rng: Random, channel: int) -> list[bytes]:
    body = rng.randbytes(rng.choice([0, 1, 20, rng.randint(0, BODY_BYTES_MAX)]))
    method = m.BasicPublish(exchange=rng.choice(EXCHANGES), routing_key=rng.choice(KEYS), mandatory=rng.random() < 0.3)
    properties = rng.choice([b"\0\0", b"\x10\x00\x02", b"\x20\x00" + _table(rng, 0), rng.randbytes(rng.randint(2, 40))])
    frames = [method_frame(channel, encode_method(method)), _frame(2, channel, header_payload(len(body), properties))]
    while body:
        size = rng.randint(1, len(body))
        frames.append(_frame(3, channel, body[:size]))
        body = body[size:]
    return frames


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return bytes((kind,)) + channel.to_bytes(2, "big") + len(payload).to_bytes(4, "big") + payload + b"\xce"


def _table(rng: Random, depth: int) -> bytes:
    """An encoded table, sometimes nested deep, sometimes with types that do not exist."""
    entries = b""
    for _ in range(rng.randint(0, 3)):
        name = rng.randbytes(rng.randint(0, 5))
        deeper = depth < NESTING_MAX and rng.random() < 0.6
        value = b"F" + _table(rng, depth + 1) if deeper else rng.choice(b"tbBsuIilLfdDSAFVxTz").to_bytes(1, "big")
        entries += bytes((len(name),)) + name + value + (b"" if deeper else rng.randbytes(rng.randint(0, 9)))
    return len(entries).to_bytes(4, "big") + entries


def _arguments(rng: Random) -> dict[str, Any]:
    choices: list[tuple[str, Any]] = [
        ("x-message-ttl", rng.choice([0, 1, 1_000, -1, 2**40, "soon"])),
        ("x-max-length", rng.choice([0, 1, 10, -5])),
        ("x-expires", rng.choice([0, 1, 500])),
        ("x-single-active-consumer", rng.choice([True, False, 1])),
        ("alternate-exchange", rng.choice(NAMES)),
        ("x-match", rng.choice(["all", "any", "some"])),
        ("x-priority", rng.choice([1, -1, "high"])),
    ]
    return dict(rng.sample(choices, rng.randint(0, 2)))


def _bits(rng: Random, *names: str) -> dict[str, bool]:
    return {name: rng.random() < 0.25 for name in names}


LIKELY: list[Callable[[Random], Method]] = [
    lambda rng: m.QueueDeclare(
        queue=rng.choice(QUEUES),
        arguments=_arguments(rng),
        **_bits(rng, "passive", "durable", "exclusive", "auto_delete", "no_wait"),
    ),
    lambda rng: m.QueueBind(
        queue=rng.choice(QUEUES),
        exchange=rng.choice(EXCHANGES),
        routing_key=rng.choice(KEYS),
        arguments=_arguments(rng),
    ),
    lambda rng: m.QueueUnbind(queue=rng.choice(QUEUES), exchange=rng.choice(EXCHANGES), routing_key=rng.choice(KEYS)),
    lambda rng: m.QueuePurge(queue=rng.choice(QUEUES)),
    lambda rng: m.QueueDelete(queue=rng.choice(QUEUES), **_bits(rng, "if_unused", "if_empty", "no_wait")),
    lambda rng: m.ExchangeDeclare(
        exchange=rng.choice(EXCHANGES),
        type=rng.choice(TYPES),
        arguments=_arguments(rng),
        **_bits(rng, "passive", "durable", "auto_delete", "internal", "no_wait"),
    ),
    lambda rng: m.ExchangeDelete(exchange=rng.choice(EXCHANGES), **_bits(rng, "if_unused", "no_wait")),
    lambda rng: m.ExchangeBind(
        destination=rng.choice(EXCHANGES),
        source=rng.choice(EXCHANGES),
        routing_key=rng.choice(KEYS),
        arguments=_arguments(rng),
    ),
    lambda rng: m.BasicConsume(
        queue=rng.choice(QUEUES),
        consumer_tag=rng.choice(["", "a", "b"]),
        arguments=_arguments(rng),
        **_bits(rng, "no_ack", "exclusive", "no_wait"),
    ),
    lambda rng: m.BasicCancel(consumer_tag=rng.choice(["", "a", "b"])),
    lambda rng: m.BasicGet(queue=rng.choice(QUEUES), **_bits(rng, "no_ack")),
    lambda rng: m.BasicQos(prefetch_count=rng.choice([0, 1, 10, 65_535]), **_bits(rng, "global_")),
    lambda rng: m.BasicAck(delivery_tag=rng.choice([0, 1, 2, 5, 2**63]), **_bits(rng, "multiple")),
    lambda rng: m.BasicNack(delivery_tag=rng.choice([0, 1, 2, 3]), **_bits(rng, "multiple", "requeue")),
    lambda rng: m.BasicReject(delivery_tag=rng.choice([1, 2, 3]), **_bits(rng, "requeue")),
    lambda rng: m.BasicRecover(**_bits(rng, "requeue")),
    lambda rng: m.ConfirmSelect(),
    lambda rng: rng.choice([m.TxSelect, m.TxCommit, m.TxRollback])(),
    lambda rng: m.ChannelFlow(active=rng.random() < 0.5),
    lambda rng: m.ChannelClose(reply_code=200),
]
"""What clients say, with few names, so that one thing meets another."""


def any_method(rng: Random) -> Method:
    """Any method of the specification, of either side, with any values."""
    kinds: dict[str, Callable[[], Any]] = {
        "Octet": lambda: rng.randrange(2**8),
        "Short": lambda: rng.randrange(2**16),
        "Long": lambda: rng.randrange(2**32),
        "LongLong": lambda: rng.randrange(2**64),
        "Bit": lambda: rng.random() < 0.5,
        "ShortStr": lambda: rng.choice(NAMES + KEYS),
        "LongStr": lambda: rng.randbytes(rng.randint(0, 300)),
        "Table": lambda: _arguments(rng),
    }
    cls = rng.choice(EVERY)
    return cls(**{name: kinds[cls.__annotations__[name]]() for name in cls.__struct_fields__})


def damaged(rng: Random, frames: list[bytes]) -> bytes:
    """The frames as one stream, none to three things wrong with it."""
    frames = list(frames)
    for _ in range(rng.randint(0, 2)):
        rng.choice([_swap, _repeat, _drop])(rng, frames)
    data = bytearray(b"".join(frames))
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        rng.choice([_flip, _cut, _insert, _lie])(rng, data)
    return bytes(data)


def _swap(rng: Random, frames: list[bytes]) -> None:
    if frames:
        one, other = rng.randrange(len(frames)), rng.randrange(len(frames))
        frames[one], frames[other] = frames[other], frames[one]


def _repeat(rng: Random, frames: list[bytes]) -> None:
    if frames:
        frames.insert(rng.randrange(len(frames)), rng.choice(frames))


def _drop(rng: Random, frames: list[bytes]) -> None:
    if frames:
        del frames[rng.randrange(len(frames))]


def _flip(rng: Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(rng: Random, data: bytearray) -> None:
    start = rng.randint(0, len(data))
    del data[start : start + rng.choice([1, 2, 7, 100])]


def _insert(rng: Random, data: bytearray) -> None:
    start = rng.randint(0, len(data))
    data[start:start] = rng.randbytes(rng.choice([1, 2, 7, 100]))


def _lie(rng: Random, data: bytearray) -> None:
    """Some four octets become a length that is not true."""
    if len(data) > 4:
        start = rng.randrange(len(data) - 4)
        data[start : start + 4] = rng.choice([0, 1, 2**16, 2**31, 2**32 - 1]).to_bytes(4, "big")
