"""A supervisor's child as its supervisor has it: a process, its lifeline, and the pipe down which it tells how it fares.

Two ways to start one. `fork` is for the first ones, in a process that has done nothing yet: they share what it has loaded, and are
there at once. `spawn` starts a new Python, at any time and from any process. Either way the program is loaded in the child alone.
Used by entry and place; what runs in the child is worker/child.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from leveret.worker.options import URL_VARIABLE, Options


class Tie(NamedTuple):
    """What joins a worker to its supervisor, in the worker: two file descriptors, and its place among the others, from 1."""

    lifeline: int
    pipe: int
    place: int


class Process(Protocol):
    """As subprocess.Popen has it."""

    pid: int

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...


class Spawned:
    """`lifeline` and `pipe` are our ends."""

    def __init__(self, process: Process, lifeline: int, pipe: int) -> None:
        self._process = process
        self.pid = process.pid
        self._lifeline = lifeline
        self.pipe = pipe
        os.set_blocking(pipe, False)

    def ended(self) -> int | None:
        """Its exit code, a signal being below 0; None while it runs."""
        return self._process.poll()

    def tell(self, word: bytes) -> None:
        """Down its lifeline, which has room for all that is ever said."""
        with contextlib.suppress(OSError):  # it is dead
            os.write(self._lifeline, word)

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """Our ends: in the supervisor when it has ended, in another child at once."""
        os.close(self.pipe)
        os.close(self._lifeline)


class Forked:
    """A process that was forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # whoever started us ignores SIGCHLD, so that the system keeps no exit codes
                self._code = 0
            else:
                self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def environment_for(url: str | None) -> Mapping[str, str]:
    """What a new Python gets; `url`, which may hold a password, goes before the program's own."""
    return os.environ | ({URL_VARIABLE: url} if url else {})


def spawn(app: str, options: Options, environment: Mapping[str, str], place: int) -> Spawned:
    """OSError if the system has no process or no memory to give."""
    tie, lifeline, pipe = _tie(place)
    try:
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",  # a file of the program's may be named as a module of the standard library
                # What is compiled is taken for current if the file's second and length are the same as then.
                *(["-B"] if options.reload else []),
                "-m",
                "leveret.worker.child",
                app,
                msgspec.json.encode(options).decode(),
                str(tie.pipe),
                str(place),
            ],
            stdin=tie.lifeline,
            env=environment,
            pass_fds=(tie.pipe,),
            start_new_session=True,  # a terminal's Ctrl-C reaches the supervisor alone
        )
    except OSError:
        _close(lifeline, pipe)
        raise
    finally:
        _close(tie.lifeline, tie.pipe)
    return Spawned(process, lifeline, pipe)


def fork(elders: Sequence[Spawned]) -> Spawned | Tie:
    """In the child, which has `elders`, its tie. There must be one thread and no event loop. OSError as for `spawn`."""
    tie, lifeline, pipe = _tie(len(elders) + 1)
    try:
        pid = os.fork()
    except OSError:
        _close(tie.lifeline, tie.pipe, lifeline, pipe)
        raise
    if pid:
        _close(tie.lifeline, tie.pipe)
        return Spawned(Forked(pid), lifeline, pipe)
    os.setsid()
    _close(lifeline, pipe)
    for elder in elders:
        elder.close()
    return tie


def _tie(place: int) -> tuple[Tie, int, int]:
    """The worker's ends, and the supervisor's: of the lifeline, and of the pipe."""
    lifeline, ours = os.pipe()
    try:
        heard, pipe = os.pipe()
    except OSError:
        _close(lifeline, ours)
        raise
    return Tie(lifeline, pipe, place), ours, heard


def _close(*numbers: int) -> None:
    for number in numbers:
        os.close(number)
