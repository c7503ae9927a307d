"""Server-sent events: a browser names the GET paths that it shows, and is sent what they answer whenever that has changed.

Each path is asked again at the pace its function was marked with (ask.watched). A path that fails tells why and goes on.
Used by app.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec

from leveret.dashboard.ask import Function, Refused, refusal

HEARTBEAT_S: Final = 15.0
TOPICS_MAX: Final = 20
ROUND_S: Final = 0.25
TOLERANCE: Final = 0.9
"""Browsers do not ask at the same moments: an answer of almost the right age will do."""


class Answer:
    """What a path answers a user, asked for once however many browsers watch it."""

    def __init__(self, name: str, ask: Callable[[], Awaitable[Any]], every_s: float) -> None:
        self._name: Final = name
        self._ask: Final = ask
        self.every_s: Final = every_s
        self._asking: Final = asyncio.Lock()
        self._due = 0.0
        self._told = b""

    async def told(self, clock: Callable[[], float]) -> bytes:
        """The latest, which is not older than `every_s`."""
        async with self._asking:
            if clock() >= self._due:
                self._told = await self._look()
                self._due = clock() + self.every_s * TOLERANCE
        return self._told

    async def _look(self) -> bytes:
        try:
            return msgspec.json.encode({"topic": self._name, "value": await self._ask()}, enc_hook=str)
        except Exception as error:
            wrong = refusal(error)
            return msgspec.json.encode({"topic": self._name, "error": {"status": wrong.status, "reason": wrong.reason}})


class Answers:
    """Of each session and path one, for as long as somebody watches it: none is answered with what another may see."""

    def __init__(self) -> None:
        self._answers: WeakValueDictionary[tuple[object, str], Answer] = WeakValueDictionary()

    def of(self, session: object, name: str, ask: Callable[[], Awaitable[Any]], every_s: float) -> Answer:
        answer = self._answers.get((session, name))
        if answer is None:
            answer = self._answers[session, name] = Answer(name, ask, every_s)
        return answer


@dataclass(slots=True)
class Topic:
    """What one browser knows of an answer."""

    answer: Answer
    due: float = 0.0
    last: bytes = field(default=b"", repr=False)

    async def news(self, clock: Callable[[], float]) -> bytes:
        """The message to send, empty if nothing has changed."""
        self.due = clock() + self.answer.every_s
        told = await self.answer.told(clock)
        if told == self.last:
            return b""
        self.last = told
        return b"data: " + told + b"\n\n"


def pace(function: Function | None) -> float:
    """How often it may be asked. Refused (400) if it is not to be watched."""
    every_s = getattr(function, "watched_s", None)
    if every_s is None:
        raise Refused(400, "this cannot be watched")
    return float(every_s)


async def stream(topics: list[Topic], alive: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Until the browser goes (the task is cancelled then), or its session ends."""
    clock = asyncio.get_running_loop().time
    yield b": hello\n\n"
    sent_at = clock()
    while alive():
        for topic in topics:
            if clock() >= topic.due:
                message = await topic.news(clock)
                if message:
                    yield message
                    sent_at = clock()
        if clock() - sent_at > HEARTBEAT_S:
            yield b": still here\n\n"
            sent_at = clock()
        await asyncio.sleep(ROUND_S)
