"""Answers to tasks: what a worker says of one that asked for it, and how it comes back to the process that sent it.

A task that asks names a queue in `reply_to`, and its own id in `correlation_id`. There its worker publishes, transient:

    type leveret.result     {"value": …} or {"error": {"exception", "text", "traceback", "reason"}}
    type leveret.progress   {"done": 3, "total": 10, "text": "…"}, any number of them before

A process has one such queue. It survives a lost connection, and goes EXPIRES_MS after its process. A task that was repeated
answers again: the first answer counts. Used by sender; the worker's half is worker/answers.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from concurrent.futures import Future
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec

from leveret.client import Connection, Delivery
from leveret.errors import CodecError, ConnectionLost

log = logging.getLogger("leveret.tasks")

RESULT: Final = "leveret.result"
PROGRESS: Final = "leveret.progress"
EXPIRES_MS: Final = 600_000
ARGUMENTS: Final[dict[str, Any]] = {"x-queue-type": "classic", "x-expires": EXPIRES_MS}


class Progress(msgspec.Struct, frozen=True):
    """How far a task is: `done` of `total`, if it says so, and a word of its own."""

    done: float = 0
    total: float | None = None
    text: str = ""


class Error(msgspec.Struct, frozen=True):
    """Why there is no value; see outcome.Failure. `task` is the one that failed, of several in a workflow."""

    exception: str = ""
    text: str = ""
    traceback: str = ""
    reason: str = ""
    task: str = ""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the two; `value` is still JSON, for its type is the task's affair."""

    value: msgspec.Raw = msgspec.Raw(b"null")
    error: Error | None = None


class Reply:
    """What is awaited of one task. Forgotten when nobody holds it any more."""

    def __init__(self) -> None:
        self.answer: Future[Answer] = Future()
        self.progress: Progress | None = None


class Replies:
    """The replies that a process awaits. `expect`, `tell` and `fail` on any thread, `open` on the loop of the connection."""

    def __init__(self) -> None:
        self.queue: Final = f"leveret.replies.{uuid.uuid4()}"
        self._awaited: WeakValueDictionary[str, Reply] = WeakValueDictionary()
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()

    def expect(self, id: str) -> Reply:
        """To be called before the task is sent."""
        reply = self._awaited[id] = Reply()
        return reply

    def opened(self, connection: Connection) -> bool:
        """Whether they are heard already."""
        return self._connection is connection

    async def open(self, connection: Connection) -> None:
        """Take what comes there from now on, over reconnections too."""
        async with self._opening:
            if self._connection is connection:
                return
            channel = await connection.channel()
            await channel.queue_declare(self.queue, durable=True, arguments=ARGUMENTS)
            await channel.consume(self.queue, self._take, no_ack=True)
            self._connection = connection

    def tell(self, id: str, said: Answer | Progress) -> None:
        """What a worker says of that task. The first answer counts."""
        reply = self._awaited.get(id)
        if reply is None or reply.answer.done():
            return
        if isinstance(said, Progress):
            reply.progress = said
        else:
            reply.answer.set_result(said)

    def fail(self) -> None:
        """The connection is closed for good."""
        for reply in list(self._awaited.values()):
            if not reply.answer.done():
                reply.answer.set_exception(ConnectionLost("the connection was closed before the answer came"))

    def _take(self, delivery: Delivery) -> None:
        try:
            properties = delivery.properties
            kind: type[Answer | Progress] = Progress if properties.type == PROGRESS else Answer
            self.tell(properties.correlation_id or "", msgspec.json.decode(delivery.body, type=kind))
        except (CodecError, msgspec.DecodeError) as error:
            log.warning("an answer cannot be read: %s", error)
