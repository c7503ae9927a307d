"""One place among a supervisor's processes, and the children that fill it one after another. Made by supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from leveret.spacing import Spacing
from leveret.worker.lifeline import QUIET, QUIT, STOP
from leveret.worker.options import CANNOT_START, DISMISSED, REFUSED, REPLACED, Options
from leveret.worker.overview import Seen
from leveret.worker.spawning import Spawned, spawn
from leveret.worker.status import Status, read_status

log = logging.getLogger("leveret.worker")

STABLE_S: Final = 10.0
"""A child that lived so long did not die of its start: the next is started without much delay."""

LATE_S: Final = 15.0
"""Beyond the tasks' own grace, for closing the connection."""

RELOAD_S: Final = 5.0
"""So long, at most, running tasks have where the program has changed."""


class Boss(Protocol):
    """What a place asks of its supervisor. `changed` is set when the program has, and is another event from then on."""

    app: str
    options: Options
    environment: Mapping[str, str]
    stopping: asyncio.Event
    changed: asyncio.Event

    def give_up(self, code: int) -> None: ...

    def heard(self, status: Status) -> None: ...

    def retire(self, status: Status) -> None: ...


class Place:
    """`number` counts from 1; `first` is a child that was started already."""

    def __init__(self, boss: Boss, number: int, first: Spawned | None = None) -> None:
        self._boss = boss
        self._number = number
        self._first = first
        self._loop = asyncio.get_running_loop()
        self._spacing = Spacing()
        self._child: Spawned | None = None
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._status: Status | None = None
        self._heard_s = 0.0
        self._rest = b""
        self.started = 0
        """How many children it has had."""
        self.quiet = False
        """Its next child takes over being quiet, or being so no more, as the supervisor or an order told the last."""
        self.dismissed = False
        """An order has stopped its child: there is no other one."""

    async def keep(self) -> None:
        """Until the supervisor stops, or gives up."""
        boss, deaths = self._boss, 0
        while not boss.stopping.is_set():
            begun_s, changed = self._loop.time(), boss.changed
            try:
                child = self._start()
            except OSError as error:  # no process or no memory to be had just now
                deaths += 1
                log.error("no worker could be started: %s", error)
                await self._first_of(boss.stopping, within_s=self._spacing.delay_s(deaths))
                continue
            code = await self._end_of(child, changed)
            self._retire(child)
            if code == CANNOT_START and boss.options.reload:
                log.error("the program cannot be run as it is: it is tried again when it changes")
                await self._first_of(boss.stopping, changed)
            elif code == CANNOT_START:
                boss.give_up(2)
            elif code == REFUSED:
                boss.give_up(1)
            elif code == DISMISSED:
                self.dismissed = True
                log.warning("worker pid=%d was stopped by an order: no other takes its place", child.pid)
                return
            if boss.stopping.is_set():
                return
            if changed.is_set():
                deaths = 0
            elif code == REPLACED:
                log.warning("worker pid=%d is replaced", child.pid)
            else:
                deaths = 0 if self._loop.time() - begun_s > STABLE_S else deaths + 1
                delay_s = self._spacing.delay_s(deaths)
                log.warning("worker pid=%d died (%s), another starts in %.1f s", child.pid, _how(code), delay_s)
                await self._first_of(boss.stopping, changed, within_s=delay_s)

    def _start(self) -> Spawned:
        """OSError if none can be."""
        boss = self._boss
        child, self._first = self._first or spawn(boss.app, boss.options, boss.environment, self._number), None
        self._child, self._ended = child, self._loop.create_future()
        self.started += 1
        self._rest = b""
        self._loop.add_reader(child.pipe, self._hear, child.pipe)
        log.info("worker pid=%d started", child.pid)
        if self.quiet:
            self.tell(QUIET)
        self.look_after()  # one that was started before anybody heeded signals
        return child

    async def _end_of(self, child: Spawned, changed: asyncio.Event) -> int:
        """Its exit code. Once it is to stop it has its grace, and no more."""
        stopping, ended = self._boss.stopping, self._ended
        await self._first_of(stopping, changed, ended)
        if not ended.done() and not stopping.is_set():
            self.tell(STOP)
            await self._first_of(stopping, ended, within_s=min(RELOAD_S, self._boss.options.shutdown_timeout_s))
            self.tell(QUIT)
        await asyncio.wait((ended,), timeout=self._boss.options.shutdown_timeout_s + LATE_S)
        if not ended.done():
            log.error("worker pid=%d does not stop and is killed", child.pid)
            child.kill()
        code = await ended
        self._child = None
        return code

    async def _first_of(self, *awaited: asyncio.Event | asyncio.Future[int], within_s: float | None = None) -> None:
        waits = [asyncio.create_task(one.wait()) for one in awaited if isinstance(one, asyncio.Event)]
        all_of_them: list[asyncio.Future[Any]] = [*waits, *(one for one in awaited if isinstance(one, asyncio.Future))]
        await asyncio.wait(all_of_them, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    # ---- the child that is there

    def look_after(self) -> None:
        """A child has ended, of this place or of another."""
        code = self._child.ended() if self._child is not None else None
        if code is not None and not self._ended.done():
            self._ended.set_result(code)

    def tell(self, word: bytes) -> None:
        """If there is one."""
        if self._child is not None:
            self._child.tell(word)

    def fall_quiet(self) -> None:
        self.quiet = True
        self.tell(QUIET)

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()

    def look(self) -> Seen:
        pid = self._child.pid if self._child is not None else None
        return Seen(pid, self._status, self._loop.time() - self._heard_s)

    def _hear(self, pipe: int) -> None:
        try:
            data = os.read(pipe, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(pipe)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(msgspec.MsgspecError):  # a task found the pipe, and wrote into it
                before, self._status = self._status, read_status(line)
                if self._status.told > (before.told if before is not None else 0):
                    self.quiet = self._status.quiet
                self._heard_s = self._loop.time()
                self._boss.heard(self._status)

    def _retire(self, child: Spawned) -> None:
        """What it counted is kept."""
        self._hear(child.pipe)
        self._loop.remove_reader(child.pipe)
        child.close()
        status, self._status = self._status, None
        if status is not None:
            self._boss.retire(status)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
