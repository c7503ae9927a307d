"""The worker's side of its zygote: starts it when it is needed, starts another if it dies, and asks it for processes.

Knows nothing of tasks. Everything here happens on the worker's loop. Used by apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from typing import Final

import msgspec

from leveret.client import Backoff
from leveret.worker.frames import KILL, START
from leveret.worker.options import URL_VARIABLE, Options

log = logging.getLogger("leveret.worker")

AT_ONCE: Final = 16
"""Forks that are under way: so many records surely fit into the socket."""

IDLE_S: Final = 60.0
"""A zygote that is not needed all the time, being as large as the program, ends after so long without work."""

STABLE_S: Final = 10.0
END_S: Final = 2.0
RETRY_S: Final = 0.05


class ZygoteLost(Exception):
    """It died before it had forked: nothing has begun."""


class NoZygote(Exception):
    """There is none, and whoever asks can do without."""


class Birth:
    """One process. `ended` is its exit code, a signal being below 0; None if it went with its zygote."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()


class Said(msgspec.Struct):
    """What the zygote says; see zygote."""

    ready: bool = False
    number: int = 0
    pid: int = 0
    error: str = ""
    status: int | None = None


class Nursery:
    """`keep`: the zygote is kept for what is to come, however long that takes."""

    def __init__(self, app: str, url: str, options: Options, keep: bool) -> None:
        self._app = app
        self._options = options
        self._keep = keep
        self._environment = os.environ | {URL_VARIABLE: url}
        self._loop = asyncio.get_running_loop()
        self._backoff = Backoff()
        self._starting = asyncio.Lock()
        self._asking = asyncio.Semaphore(AT_ONCE)
        self._control: socket.socket | None = None
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._rest = b""
        self._births: dict[int, Birth] = {}
        self._count = 0
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._deaths = 0
        self._closed = False

    async def open(self, patient: bool = True) -> None:
        """Have a zygote, however often it has to be started for that; NoZygote if one attempt is enough for who is not `patient`.

        ZygoteLost once this is closed.
        """
        async with self._starting:
            while self._control is None:
                if self._closed:
                    raise ZygoteLost
                if self._deaths and patient:
                    await self._backoff.wait(self._deaths - 1)
                await self._start()
                if self._control is None and not patient:
                    raise NoZygote

    async def bear(self, talk: socket.socket, patient: bool = True) -> Birth:
        """A new process that has `talk`, which is closed here. ZygoteLost: none was made; OSError: the system refuses; NoZygote: as
        for `open`.
        """
        with talk:
            if self._resting is not None:
                self._resting.cancel()
                self._resting = None
            async with self._asking:
                await self.open(patient)
                assert self._control is not None
                self._count += 1
                birth = self._births[self._count] = Birth(self._count)
                try:
                    socket.send_fds(self._control, [START + birth.number.to_bytes(8, "big")], [talk.fileno()])
                except OSError as error:
                    del self._births[birth.number]
                    if isinstance(error, BlockingIOError):
                        raise
                    raise ZygoteLost from error
                await birth.pid
        return birth

    def kill(self, birth: Birth) -> None:
        """It is dead when `ended` says so."""
        if self._control is None or birth.number not in self._births:
            return
        try:
            self._control.send(KILL + birth.number.to_bytes(8, "big"))
        except BlockingIOError:
            self._loop.call_later(RETRY_S, self.kill, birth)
        except OSError:
            log.debug("the zygote is gone, and its processes with it")

    async def close(self) -> None:
        """The zygote kills what it has left, and ends."""
        self._closed = True
        self._lose()
        if self._watching is not None and self._process is not None:
            await asyncio.wait((self._watching,), timeout=END_S)
            if not self._watching.done():  # it is still loading the program
                self._process.kill()
                await self._watching

    # ---- one zygote

    async def _start(self) -> None:
        """Returns when it is ready, or dead."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-m",
                    "leveret.worker.zygote",
                    self._app,
                    msgspec.json.encode(self._options).decode(),
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    env=self._environment,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                self._deaths += 1
                log.error("no zygote could be started: %s", error)
                return
        self._control = ours
        self._ready = self._loop.create_future()
        self._rest = b""
        self._loop.add_reader(ours, self._hear, ours)
        self._process = process
        self._watching = self._loop.create_task(self._watch(process, self._loop.time()))
        await self._ready

    async def _watch(self, process: asyncio.subprocess.Process, started: float) -> None:
        code = await process.wait()
        if code and not self._closed:
            self._deaths = 1 if self._loop.time() - started > STABLE_S else self._deaths + 1
            log.warning("zygote pid=%d died (%d), another starts when it is needed", process.pid, code)

    def _hear(self, control: socket.socket) -> None:
        data = b""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            data = control.recv(65536)
        if not data:
            self._lose()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(msgspec.json.decode(line, type=Said))

    def _take(self, said: Said) -> None:
        if said.ready:
            self._ready.set_result(None)
        birth = self._births.get(said.number)
        if birth is None:
            return
        if said.pid:
            if not birth.pid.done():
                birth.pid.set_result(said.pid)
            return
        del self._births[said.number]
        if said.error:
            _fail(birth, OSError(said.error))
        else:
            birth.ended.set_result(said.status)
        if not self._births and not self._keep:
            self._resting = self._loop.call_later(IDLE_S, self._lose)

    def _lose(self) -> None:
        """The zygote has died, or is to. What it had dies with it, by the system where it can, else by us."""
        control, self._control = self._control, None
        if control is None:
            return
        self._loop.remove_reader(control)
        control.close()
        if not self._ready.done():
            self._ready.set_result(None)
        births, self._births = self._births, {}
        for birth in births.values():
            if birth.pid.done() and not birth.pid.cancelled():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(birth.pid.result(), signal.SIGKILL)
                birth.ended.set_result(None)
            else:
                _fail(birth, ZygoteLost())


def _fail(birth: Birth, error: Exception) -> None:
    if not birth.pid.done():
        birth.pid.set_exception(error)
