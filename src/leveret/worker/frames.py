"""What a worker and the process of one task say to each other: the order there; progress, and the end, back.

Each is MessagePack behind four octets that tell its length. What comes from the task's process is only ever read into these
types. No I/O but on the blocking socket of the task's side. Used by apart and nursery (the worker's side), forked and zygote.
"""

from __future__ import annotations

import socket
from typing import Final, Literal

import msgspec

from leveret.client import decode_properties, encode_properties
from leveret.errors import TaskError
from leveret.tasks import Cancelled, Done, Failed, Failure, Message, Outcome, Parked, Progress
from leveret.tasks.signature import Unwritable, write

START: Final = b"s"
KILL: Final = b"k"
RECORD_BYTES: Final = 9
"""What a zygote is asked for: a verb and a number, see zygote."""

LENGTH_BYTES: Final = 4
FRAME_BYTES_MAX: Final = 512 * 1024 * 1024


class Order(msgspec.Struct):
    """What a task's process is to run. `limit_s` is its soft time limit."""

    queue: str
    body: bytes
    properties: bytes
    attempt: int
    redelivered: bool
    deliveries: int
    crashes: int
    limit_s: float | None
    memory_mb: int

    @classmethod
    def of(cls, message: Message, limit_s: float | None, memory_mb: int) -> Order:
        properties = encode_properties(message.properties)
        counts = (message.attempt, message.redelivered, message.deliveries, message.crashes)
        return cls(message.queue, message.body, properties, *counts, limit_s, memory_mb)

    def message(self) -> Message:
        properties = decode_properties(self.properties)
        return Message(
            self.queue,
            self.body,
            properties,
            self.attempt,
            self.redelivered,
            deliveries=self.deliveries,
            crashes=self.crashes,
        )


class Step(msgspec.Struct, tag="progress"):
    progress: Progress

    @classmethod
    def of(cls, progress: Progress) -> Step:
        """With numbers that are any kind of number, a Decimal say. TypeError or ValueError if they are none."""
        return cls(msgspec.convert(msgspec.to_builtins(progress), Progress, strict=False))


class End(msgspec.Struct, tag="end"):
    """An outcome. `value` is JSON; where there is none, `unwritable` says why."""

    kind: Literal["done", "failed", "parked", "cancelled"]
    took_s: float
    value: bytes = b"null"
    unwritable: str = ""
    failure: Failure = Failure("", "", "")
    delay_s: float = 0.0
    reason: str = ""

    @classmethod
    def of(cls, outcome: Outcome) -> End:
        if isinstance(outcome, Done):
            try:
                return cls("done", outcome.took_s, write(outcome.value))
            except TaskError as error:
                return cls("done", outcome.took_s, unwritable=str(error))
        if isinstance(outcome, Failed):
            return cls("failed", outcome.took_s, failure=outcome.failure, delay_s=outcome.delay_s)
        if isinstance(outcome, Parked):
            return cls("parked", outcome.took_s, failure=outcome.failure, reason=outcome.reason)
        return cls("cancelled", outcome.took_s)

    def outcome(self) -> Outcome:
        if self.kind == "done":
            value = Unwritable(self.unwritable) if self.unwritable else msgspec.Raw(self.value)
            return Done(value, self.took_s)
        if self.kind == "failed":
            return Failed(self.failure, self.took_s, self.delay_s)
        if self.kind == "parked":
            return Parked(self.reason, self.failure, self.took_s)
        return Cancelled(self.took_s)


Said = Step | End


def frame(content: Order | Said) -> bytes:
    data = msgspec.msgpack.encode(content)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def read_said(data: bytes) -> Said:
    """msgspec.MsgspecError if it is nothing of the kind."""
    said: Said = msgspec.msgpack.decode(data, type=Said)
    return said


def receive_order(talk: socket.socket) -> Order:
    """EOFError if the worker is gone."""
    data = _exactly(talk, int.from_bytes(_exactly(talk, LENGTH_BYTES), "big"))
    return msgspec.msgpack.decode(data, type=Order)


def _exactly(talk: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = talk.recv(min(1 << 20, size - len(data)))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
