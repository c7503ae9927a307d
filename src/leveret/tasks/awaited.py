"""How a result is waited for: by the answer that a worker sends to this process, in the store where results are kept, or by both.

Nobody tells a process what is new in a store, so it is looked at again and again. Used by sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, TypeVar

import msgspec

from leveret.errors import ConnectionLost, ResultsUnavailable, TaskCancelled, TaskExpired, TaskFailed
from leveret.tasks.outcome import CANCELLED, EXPIRED
from leveret.tasks.replies import Answer, Reply

T = TypeVar("T")

KINDS: Final = {CANCELLED: TaskCancelled, EXPIRED: TaskExpired}
LOOK_FIRST_S: Final = 0.05
LOOK_S: Final = 1.0
"""The longest pause between two looks into the store, and the only one while an answer may come by itself."""


class Awaited(msgspec.Struct, Generic[T], frozen=True):
    """What comes back of a task, and how its value is read. `look` asks the store."""

    reply: Reply | None
    read: Callable[[bytes], T]
    look: Callable[[], Answer | None] | None = None

    def value(self, task: str, answer: Answer) -> T:
        """TaskFailed if it failed, TaskError if its value is not of the type that the task's annotation promises."""
        error = answer.error
        if error is None:
            return self.read(bytes(answer.value))
        kind = KINDS.get(error.reason, TaskFailed)
        raise kind(error.task or task, error.exception, error.text, error.traceback, error.reason)

    @property
    def done(self) -> bool:
        return (self.reply is not None and self.reply.answer.done()) or (
            self.look is not None and self.look() is not None
        )

    def wait(self, timeout_s: float) -> Answer:
        """TimeoutError if there is none by then; ResultsUnavailable if that is because the store cannot be asked."""
        if self.look is None:
            assert self.reply is not None
            return self.reply.answer.result(timeout_s)
        until_s, pause_s = time.monotonic() + timeout_s, self._first_pause_s()
        while (answer := self._told() or self._looked(until_s)) is None:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._pause(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LOOK_S)
        return answer

    async def wait_async(self, timeout_s: float) -> Answer:
        """As `wait`, for coroutines."""
        if self.look is None:
            assert self.reply is not None
            if self.reply.answer.done():
                return self.reply.answer.result()
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(asyncio.wrap_future(self.reply.answer))
        until_s, pause_s = time.monotonic() + timeout_s, self._first_pause_s()
        while (answer := self._told() or await asyncio.to_thread(self._looked, until_s)) is None:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            await self._pause_async(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LOOK_S)
        return answer

    # ---- with a store

    def _first_pause_s(self) -> float:
        return LOOK_FIRST_S if self.reply is None else LOOK_S

    def _told(self) -> Answer | None:
        """What a worker said to this process; nothing, if the connection was closed meanwhile."""
        if self.reply is None or not self.reply.answer.done():
            return None
        return None if self.reply.answer.exception() is not None else self.reply.answer.result()

    def _looked(self, until_s: float) -> Answer | None:
        assert self.look is not None
        try:
            return self.look()
        except ResultsUnavailable:
            if time.monotonic() >= until_s:
                raise
            return None

    def _pause(self, pause_s: float) -> None:
        if self.reply is None or self.reply.answer.done():
            time.sleep(pause_s)
            return
        with suppress(TimeoutError, ConnectionLost):
            self.reply.answer.result(pause_s)

    async def _pause_async(self, pause_s: float) -> None:
        if self.reply is None or self.reply.answer.done():
            await asyncio.sleep(pause_s)
        else:
            await asyncio.wait((asyncio.wrap_future(self.reply.answer),), timeout=pause_s)
