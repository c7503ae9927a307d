"""Tells senders how their tasks fare: the worker's half of tasks/replies. Only of tasks that ask.

Nothing is confirmed: an answer that is lost is asked for in vain, and its task is done all the same. Used by runner.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from leveret.client import BasicProperties, Connection, StandingChannel
from leveret.errors import LeveretError, TaskError
from leveret.tasks import Cancelled, Done, Message, Outcome, Parked, Progress
from leveret.tasks.outcome import CANCELLED, EXPIRED
from leveret.tasks.replies import PROGRESS, RESULT, Answer, Error
from leveret.tasks.signature import write

log = logging.getLogger("leveret.worker")

PUBLISH_S = 30.0
TOLD: Final = {CANCELLED: "the task was cancelled", EXPIRED: "the task expired before it was begun"}


class Answers:
    def __init__(self, connection: Connection) -> None:
        self._channel = StandingChannel(connection)
        self._loop = asyncio.get_running_loop()
        self._late: dict[str, tuple[Message, bytes]] = {}
        """By task what it said last of its progress, and there was no room for."""
        self._catching_up: asyncio.Task[None] | None = None

    def give_at_once(self, message: Message, outcome: Done) -> bool:
        """False if it has to wait for a connection, or for room: use `give`."""
        return self._publish_at_once(message, RESULT, msgspec.json.encode(answer_of(message, outcome)))

    async def give(self, message: Message, outcome: Outcome) -> None:
        """If the task asks, and this is its end. Never raises but when cancelled."""
        answer = answer_of(message, outcome) if message.properties.reply_to else None
        if answer is not None:
            if self._catching_up is not None:  # a sender that has its result hears no more
                await asyncio.wait([self._catching_up])
            await self._publish(message, RESULT, msgspec.json.encode(answer))

    def progress(self, message: Message, progress: Progress) -> None:
        """On any thread."""
        if message.properties.reply_to:
            self._loop.call_soon_threadsafe(self._send, message, msgspec.json.encode(progress))

    def _send(self, message: Message, body: bytes) -> None:
        if self._publish_at_once(message, PROGRESS, body):
            return
        self._late[message.id] = (message, body)
        if self._catching_up is None:
            self._catching_up = self._loop.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        try:
            while self._late:
                message, body = self._late.pop(next(iter(self._late)))
                await self._publish(message, PROGRESS, body)
        finally:
            self._catching_up = None

    def _publish_at_once(self, message: Message, kind: str, body: bytes) -> bool:
        """False if there is no room, or something that came before still waits for some."""
        channel = self._channel.ready
        if self._catching_up is not None or channel is None or not channel.writable:
            return False
        to = message.properties.reply_to or ""
        try:
            channel.publish_nowait(body, routing_key=to, properties=_told(message, kind))
        except LeveretError as error:
            log.warning("the sender of task=%s id=%s was not told: %s", message.task, message.id, error)
        return True

    async def _publish(self, message: Message, kind: str, body: bytes) -> None:
        try:
            channel = await self._channel.get()
            await channel.publish(
                body,
                routing_key=message.properties.reply_to or "",
                properties=_told(message, kind),
                timeout_s=PUBLISH_S,
            )
        except LeveretError as error:
            log.warning("the sender of task=%s id=%s was not told: %s", message.task, message.id, error)


def _told(message: Message, kind: str) -> BasicProperties:
    return BasicProperties(content_type="application/json", type=kind, correlation_id=message.properties.correlation_id)


def answer_of(message: Message, outcome: Outcome) -> Answer | None:
    """None while it goes on."""
    if isinstance(outcome, Done):
        try:
            return Answer(msgspec.Raw(write(outcome.value)))
        except TaskError as error:
            log.error("task=%s id=%s is done, but has no result: %s", message.task, message.id, error)
            return Answer(error=Error("leveret.errors.TaskError", f"its result: {error}", "", "result", message.task))
    if isinstance(outcome, Parked):
        failure = outcome.failure
        return Answer(error=Error(failure.exception, failure.text, failure.traceback, outcome.reason, message.task))
    if isinstance(outcome, Cancelled):
        return Answer(error=Error("", TOLD[outcome.reason], "", outcome.reason, message.task))
    return None
