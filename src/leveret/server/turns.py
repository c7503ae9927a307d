"""A turn of the event loop: begun by the first thing that happens in it, ended by one flush of everything it touched.

Compiled: every piece of bytes that arrives passes through here. Used by server and by each protocol.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from leveret.server.protocol import Protocol

AWAKE_S: Final = 0.0005
"""How long the loop stays awake for the next of the messages that somebody sends one by one."""


class Turns:
    """`begin` is called once when a turn begins, `end` when it is over and all that was written is on its way, and told whether
    that was nothing.

    `full` is set there: too much waits for the disk, and who sends more is not to be read from for a while.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, begin: Callable[[], None], end: Callable[[bool], None]) -> None:
        self._loop: Final = loop
        self._begin: Final = begin
        self._end: Final = end
        self.full: bool = False
        self._under_way: bool = False
        self._dirty: list[Protocol] = []
        self._sated: list[Protocol] = []
        # When something was answered that was committed at once, and whether the loop stays awake for the next.
        self._answered_s: float = 0.0
        self._awake: bool = False

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
        quiet = not self._dirty
        self._flush()
        self._end(quiet)
        if quiet and self._dirty:  # what was on disk at once is answered at once
            self._flush()
            self._linger_for(monotonic())
        if self._sated:
            sated = self._sated
            self._sated = []
            for protocol in sated:
                protocol.release()

    def _linger_for(self, now_s: float) -> None:
        """Somebody sends one message after another, and the next comes soon: a loop that has gone to sleep takes long to wake up."""
        if now_s - self._answered_s < AWAKE_S and not self._awake:
            self._awake = True
            self._loop.call_soon(self._linger)
        self._answered_s = now_s

    def _linger(self) -> None:
        if monotonic() - self._answered_s < AWAKE_S:
            os.sched_yield()
            self._loop.call_soon(self._linger)
        else:
            self._awake = False

    def _flush(self) -> None:
        dirty = self._dirty
        self._dirty = []
        for protocol in dirty:
            protocol.flush()
