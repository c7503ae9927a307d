"""Tells senders how their tasks fare: the worker's half of tasks/replies. Only of tasks that ask.

Nothing is confirmed: an answer that is lost is asked for in vain, and its task is done all the same. Used by runner.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from leveret.client import BasicProperties, Connection, StandingChannel
from leveret.errors import LeveretError, TaskError
from leveret.tasks import Cancelled, Done, Message, Outcome, Parked, Progress
from leveret.tasks.outcome import CANCELLED
from leveret.tasks.replies import PROGRESS, RESULT, Answer, Error
from leveret.tasks.signature import write

log = logging.getLogger("leveret.worker")

PUBLISH_S = 30.0


class Answers:
    def __init__(self, connection: Connection) -> None:
        self._channel = StandingChannel(connection)
        self._loop = asyncio.get_running_loop()
        self._under_way: set[asyncio.Task[None]] = set()

    async def give(self, message: Message, outcome: Outcome) -> None:
        """If the task asks, and this is its end. Never raises but when cancelled."""
        answer = answer_of(message, outcome) if message.properties.reply_to else None
        if answer is not None:
            await self._publish(message, RESULT, msgspec.json.encode(answer))

    def progress(self, message: Message, progress: Progress) -> None:
        """On any thread."""
        if message.properties.reply_to:
            self._loop.call_soon_threadsafe(self._send, message, msgspec.json.encode(progress))

    def _send(self, message: Message, body: bytes) -> None:
        task = self._loop.create_task(self._publish(message, PROGRESS, body))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _publish(self, message: Message, kind: str, body: bytes) -> None:
        properties = BasicProperties(
            content_type="application/json", type=kind, correlation_id=message.properties.correlation_id
        )
        try:
            channel = await self._channel.get()
            await channel.publish(
                body,
                routing_key=message.properties.reply_to or "",
                properties=properties,
                timeout_s=PUBLISH_S,
            )
        except LeveretError as error:
            log.warning("the sender of task=%s id=%s was not told: %s", message.task, message.id, error)


def answer_of(message: Message, outcome: Outcome) -> Answer | None:
    """None while it goes on."""
    if isinstance(outcome, Done):
        try:
            return Answer(msgspec.Raw(write(outcome.value)))
        except TaskError as error:
            log.error("task=%s id=%s is done, but has no result: %s", message.task, message.id, error)
            return Answer(error=Error("leveret.errors.TaskError", f"its result: {error}", "", "result"))
    if isinstance(outcome, Parked):
        failure = outcome.failure
        return Answer(error=Error(failure.exception, failure.text, failure.traceback, outcome.reason))
    if isinstance(outcome, Cancelled):
        return Answer(error=Error("", "the task was cancelled", "", CANCELLED))
    return None
