"""Tasks that run in processes of their own: each is born, hears what to do, says how it ended, and dies.

A process that dies before it has said so has crashed: its task alone is charged. One that ends too late, or is not wanted
any more, is killed. Nobody else notices. Used by hands; the other side of the conversation is forked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable
from typing import Final

import msgspec

from leveret.tasks import Cancelled, Outcome
from leveret.worker.executor import Job, crashed
from leveret.worker.frames import FRAME_BYTES_MAX, LENGTH_BYTES, End, Order, frame, read_said
from leveret.worker.nursery import Birth, Nursery, ZygoteLost

log = logging.getLogger("leveret.worker")

DRAIN_S: Final = 1.0
"""From the death of a process until what it wrote before is read."""

LATE_S: Final = 5.0
"""A process that said how its task ended, or can say nothing any more, has so long to clean up and end."""


class Apart:
    """`end` is for good."""

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[Job, asyncio.Task[Outcome]] = {}
        self._births: dict[Job, Birth] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._opening: asyncio.Task[None] | None = None
        self._ending = False

    def open(self) -> None:
        """Have everything ready before the first task comes."""
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        with contextlib.suppress(ZygoteLost):
            await self._nursery.open()

    def submit(
        self, job: Job, must: bool, began: Callable[[], None], ended: Callable[[asyncio.Task[Outcome]], None]
    ) -> None:
        """`began` is called when the process is there, `ended` with the outcome, or with what went wrong: both on the loop.

        NoZygote is what went wrong if there can be no process for it just now, and it does not say that it `must` have one.
        """
        task = self._tasks[job] = self._loop.create_task(self._run(job, must, began))
        task.add_done_callback(lambda _: self._tasks.pop(job))
        task.add_done_callback(ended)

    def kill(self, job: Job) -> None:
        """On the loop."""
        birth = self._births.get(job)
        if birth is not None:
            self._nursery.kill(birth)

    async def end(self) -> None:
        """Kill all that have a task; returns when all are dead, and `ended` was called for each, with a cancelled one where it was
        killed. Those whose task has ended may clean up.
        """
        self._ending = True
        for job, task in list(self._tasks.items()):
            if job in self._births:
                self._nursery.kill(self._births[job])
            else:
                task.cancel()
        if self._tasks or self._leaving:
            await asyncio.wait([*self._tasks.values(), *self._leaving], timeout=LATE_S)
        await self._nursery.close()  # which ends what is left
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=LATE_S)

    async def _run(self, job: Job, must: bool, began: Callable[[], None]) -> Outcome:
        settings = job.handler.settings
        limit_s = settings.time_limit.soft_s if settings.time_limit else None
        order = frame(Order.of(job.message, limit_s, settings.memory_mb))
        talk, birth = await self._bear(must)
        self._births[job] = birth
        try:
            started = self._loop.time()
            began()
            job.context.begin(lambda: self._loop.call_soon_threadsafe(self._nursery.kill, birth))
            if job.context.cancelled:
                self._nursery.kill(birth)
            outcome = await self._conversation(talk, birth, job, order)
            if outcome is not None:
                self._see_off(birth)
                return outcome
            took_s = self._loop.time() - started
            if job.context.cancelled:
                return Cancelled(took_s)
            if self._ending:  # it was we who killed it
                raise asyncio.CancelledError
            return crashed(job, _how(birth.ended.result()), took_s)
        finally:
            del self._births[job]

    async def _bear(self, must: bool) -> tuple[socket.socket, Birth]:
        """OSError if the system refuses a process; NoZygote: see submit."""
        while True:
            ours, theirs = socket.socketpair()
            try:
                return ours, await self._nursery.bear(theirs, must)
            except BaseException as error:
                ours.close()
                if not isinstance(error, ZygoteLost):
                    raise
                if self._ending:
                    raise asyncio.CancelledError from None

    async def _conversation(self, talk: socket.socket, birth: Birth, job: Job, order: bytes) -> Outcome | None:
        """None if it died without a word; then `birth.ended` is there."""
        reader, writer = await asyncio.open_connection(sock=talk)
        writer.write(order)
        listening = self._loop.create_task(_listen(reader, job))
        try:
            await asyncio.wait((listening, birth.ended), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((listening,), timeout=DRAIN_S)
            if not listening.done():  # something that the task started holds its socket
                return None
            outcome = listening.result()
            if outcome is None:
                await self._let_die(birth)
            return outcome
        finally:
            listening.cancel()
            writer.close()

    def _see_off(self, birth: Birth) -> None:
        leaving = self._loop.create_task(self._let_die(birth))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _let_die(self, birth: Birth) -> None:
        await asyncio.wait((birth.ended,), timeout=LATE_S)
        if not birth.ended.done():
            self._nursery.kill(birth)
            await birth.ended


async def _listen(reader: asyncio.StreamReader, job: Job) -> Outcome | None:
    try:
        while True:
            size = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
            if size > FRAME_BYTES_MAX:
                raise ValueError(f"{size} octets at once")
            said = read_said(await reader.readexactly(size))
            if isinstance(said, End):
                return said.outcome()
            progress = said.progress
            job.context.progress(progress.done, progress.total, progress.text)
    except (EOFError, ConnectionError):
        return None
    except (ValueError, msgspec.MsgspecError) as error:
        log.error("the process of task=%s id=%s says what makes no sense: %s", job.message.task, job.message.id, error)
        return None


def _how(code: int | None) -> str:
    if code is None:
        return "the process that the task had to itself was killed together with the zygote it came from"
    if code >= 0:
        return f"the process that the task had to itself ended with exit code {code} before the task did"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ", as the system does where memory runs out" if code == -signal.SIGKILL else ""
    return f"the process that the task had to itself was killed by {name}{hint}"
