"""A turn of the event loop: begun by the first thing that happens in it, ended by one flush of everything it touched.

Compiled: every piece of bytes that arrives passes through here. Used by server and by each protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from leveret.server.protocol import Protocol


class Turns:
    """`begin` is called once when a turn begins, `end` when it is over and all that was written is on its way.

    `full` is set there: too much waits for the disk, and who sends more is not to be read from for a while.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._loop: Final = loop
        self._begin: Final = begin
        self._end: Final = end
        self.full: bool = False
        self._under_way: bool = False
        self._dirty: list[Protocol] = []
        self._sated: list[Protocol] = []

    def begin(self) -> None:
        """Something is about to happen."""
        if not self._under_way:
            self._under_way = True
            self._begin()
            self._loop.call_soon(self.finish)

    def mark_dirty(self, protocol: Protocol) -> None:
        """The connection has something to write at the end of the turn."""
        self._dirty.append(protocol)
        self.begin()

    def release_after(self, protocol: Protocol) -> None:
        """The connection has had its share of this turn: it is read from again in the next one."""
        self._sated.append(protocol)

    def finish(self) -> None:
        self._under_way = False
        dirty = self._dirty
        self._dirty = []
        for protocol in dirty:
            protocol.flush()
        self._end()
        if self._sated:
            sated = self._sated
            self._sated = []
            for protocol in sated:
                protocol.release()
