"""What workers say, kept: a board for each virtual host, fed by a listener, or by the embedded broker directly.

Only the virtual host of the broker's URL is heard where there is a listener. Read by the pages; run by app.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from leveret.board.board import Board
from leveret.client.url import parse_url
from leveret.dashboard.timeline import Timeline
from leveret.errors import LeveretError
from leveret.history import History
from leveret.tasks.events import AnyEvent
from leveret.tasks.listener import Listener

log = logging.getLogger("leveret.dashboard")

TICK_S: Final = 1.0
AGAIN_S: Final = 5.0


class Hearing:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock: Final = clock
        self.boards: dict[str, Board] = {}
        self.timeline: Final = Timeline()
        self.version = 0
        """Moves on with all that is heard."""

    def board(self, vhost: str) -> Board:
        if vhost not in self.boards:
            self.boards[vhost] = Board(self._clock())
        return self.boards[vhost]

    def take(self, vhost: str, events: Iterable[AnyEvent]) -> None:
        board, now = self.board(vhost), self._clock()
        for event in events:
            board.take(event, now)
            self.timeline.take(vhost, event, now)
        self.version += 1

    async def run(self) -> None:
        """Those who have been silent for long are forgotten. Until it is cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            now = self._clock()
            for board in self.boards.values():
                board.tick(now)
            self.version += 1

    async def listen(self, url: str, history: History | None = None) -> None:
        """To the workers at a broker elsewhere, over lost connections and late starts. Until it is cancelled."""
        vhost = parse_url(url).vhost
        while True:
            try:
                async with Listener(url, name="leveret dashboard") as listener:
                    await self._hear(vhost, listener, history)
            except LeveretError as error:
                log.warning("events are not heard just now: %s", error)
            await asyncio.sleep(AGAIN_S)

    async def _hear(self, vhost: str, listener: Listener, history: History | None) -> None:
        while True:
            events = await listener.wait(TICK_S)
            self.board(vhost).connection(listener.connected, self._clock())
            if events:
                self.take(vhost, events)
                if history is not None:
                    history.take(events, self._clock(), vhost)
