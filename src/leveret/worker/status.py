"""How a worker process fares, as it tells its supervisor: once a second, and soon after something has changed.

A line of JSON each, down a pipe of which the supervisor has the other end; what finds no room there is left out, for the next
one says it all again. Made by worker, sent by child, read by place.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from leveret.worker.counts import Count

EVERY_S: Final = 1.0
SOON_S: Final = 0.1


class Oldest(msgspec.Struct):
    """A task at work, for so long."""

    queue: str
    task: str
    id: str
    for_s: float


class About(msgspec.Struct):
    """What a process works for: said once."""

    broker: str
    queues: list[str]
    tasks: list[str]
    schedules: list[str]


class Status(msgspec.Struct):
    """`ready`: it takes tasks. `quiet`: it was told to take none. `told`: how often it was told to be quiet, or so no more.
    `started_s` is by the system's clock, in seconds since the epoch."""

    pid: int
    started_s: float
    connected: bool
    ready: bool
    queues: list[str]
    slots: int
    busy: int
    oldest: Oldest | None
    counts: list[Count]
    about: About | None = None
    quiet: bool = False
    told: int = 0


def without_password(url: str) -> str:
    """A broker's URL as it may be shown."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, at, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:***{at}{place}").geturl()


def read_status(line: bytes) -> Status:
    """msgspec.MsgspecError if it is none."""
    return msgspec.json.decode(line, type=Status)


class Reporter:
    """Writes to `pipe`, which is closed at the end. All on the loop."""

    def __init__(self, pipe: int, status: Callable[[], Status], about: Callable[[], About]) -> None:
        self._pipe = pipe
        self._status = status
        self._about: Callable[[], About] | None = about
        self._changed = asyncio.Event()
        self._rest = b""
        """Of a line that found room in part."""
        os.set_blocking(pipe, False)

    def poke(self) -> None:
        """Something has changed."""
        self._changed.set()

    async def report(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._write()
                self._changed.clear()
                await asyncio.sleep(SOON_S)
                # Not wait_for, which in Python 3.11 swallows being cancelled at the moment when what it waits for comes.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EVERY_S - SOON_S):
                        await self._changed.wait()
        finally:
            self._write()  # what was counted last
            os.close(self._pipe)

    def _write(self) -> None:
        data = self._rest or self._line()
        with contextlib.suppress(OSError):
            self._rest = data[os.write(self._pipe, data) :]

    def _line(self) -> bytes:
        status, about, self._about = self._status(), self._about, None
        if about is not None:
            status.about = about()
        return msgspec.json.encode(status) + b"\n"
