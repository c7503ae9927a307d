"""A history: what its owner's loop calls. It gathers, and has its thread (history/keeper) write and read.

Nothing here waits for the disk but the questions, which are coroutines; what comes in is kept in memory for a second at most.
More than can be kept up with is left out and counted. All on one event loop.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self, TypeVar

from leveret.history import reading
from leveret.history.file import HistoryFile
from leveret.history.intake import Intake
from leveret.history.keeper import Keeper
from leveret.history.rows import Figures, Filter, Limits, Notice, Of, Series, TaskLife, TaskRow, Trend
from leveret.tasks.events import AnyEvent

FILE: Final = "history.sqlite3"

Answer = TypeVar("Answer")


class History:
    """`left_out`: how many events and notices were too many to be kept."""

    def __init__(self, path: Path | None, limits: Limits) -> None:
        self._intake = Intake()
        self._keeper = Keeper(HistoryFile(path, limits), self._intake)

    @classmethod
    def open(cls, path: Path | None, limits: Limits | None = None) -> Self:
        """`path` None: in memory. Never raises for the file's sake: a broken one is put aside, and one that cannot be used is
        done without; both are logged."""
        history = cls(path, limits or Limits())
        history._keeper.start()
        return history

    async def close(self) -> None:
        """What came in is written. Safe to call twice; whoever asks later gets LeveretError."""
        self._keeper.end()
        await asyncio.to_thread(self._keeper.join)

    @property
    def left_out(self) -> int:
        return self._intake.left_out

    # ---- what comes in

    def take(self, events: Sequence[AnyEvent], now: float, vhost: str = "/") -> None:
        """What workers of that virtual host said, heard at `now`."""
        self._intake.take(events, now, vhost)
        self._keeper.poke()

    def notice(self, notices: Sequence[Notice], now: float) -> None:
        """What the broker did with messages."""
        self._intake.notice(notices, now)
        self._keeper.poke()

    def sample(self, figures: Sequence[Figures], now: float) -> None:
        """How all queues stand at `now`; every five seconds is enough. A queue that is not in it is gone."""
        self._intake.sample(figures, now)
        self._keeper.poke()

    async def flush(self) -> None:
        """What came in so far is written."""
        await self._ask(lambda connection: None, flush=True)

    # ---- questions: of what is written, which is all but the last second

    async def tasks(self, filter: Filter) -> list[TaskRow]:
        """The newest first."""
        return await self._ask(lambda connection: reading.tasks(connection, filter))

    async def task(self, id: str, vhost: str | None = None) -> TaskLife | None:
        """The newest of that id, if no virtual host is given."""
        return await self._ask(lambda connection: reading.task(connection, id, vhost))

    async def series(self, of: Of, since: float, until: float, points: int = 120) -> Series:
        """In `points` steps at most; one that is not known has a series of nothing."""
        return await self._ask(lambda connection: reading.series(connection, of, since, until, points))

    async def failing(self, since: float, until: float, points: int = 24) -> list[Trend]:
        """What fails how often, by queue, task and exception; the most frequent first."""
        return await self._ask(lambda connection: reading.failing(connection, since, until, points))

    async def _ask(self, question: Callable[[sqlite3.Connection], Answer], *, flush: bool = False) -> Answer:
        return await asyncio.wrap_future(self._keeper.ask(question, flush=flush))
