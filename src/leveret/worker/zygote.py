"""A worker's zygote: `python -m leveret.worker.zygote APP OPTIONS CONTROL`, which has the program loaded, and forks for tasks.

A process with threads cannot be forked safely, and a worker has some. This one has a single thread, and nothing open but its
end of a socket to the worker, CONTROL. There it hears, in nine octets, a verb and a number

    s NUMBER  and with it a socket: a process is to be forked, which talks to the worker over that socket (forked)
    k NUMBER  kill that process, and its group

and says, in lines of JSON, {"ready": true}; {"number", "pid"} or {"number", "error"}; and {"number", "status"} of one that ended.
The end of that socket is the worker's death: then all its processes are killed. Started by nursery only.
"""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import resource
import selectors
import signal
import socket
import sys
import threading
from importlib import import_module
from typing import Final, NoReturn

import msgspec
import setproctitle

from leveret.errors import TaskError
from leveret.tasks import WorkQueue
from leveret.worker import logs
from leveret.worker.forked import flee_with_parent, live
from leveret.worker.frames import KILL, RECORD_BYTES, START
from leveret.worker.loading import load
from leveret.worker.options import CANNOT_START, URL_VARIABLE, Options

log = logging.getLogger("leveret.worker")

FILES_MAX: Final = 1 << 20
LOOK_S: Final = 2.0
"""How often it looks whether the worker is still its parent: somebody else may hold the other end of the socket."""

DEAF_TO: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTSTP)
"""It ends with its worker, and before that only by SIGKILL."""


def main(arguments: list[str]) -> int:
    app, text, number = arguments
    setproctitle.setproctitle(f"leveret: zygote {app}")
    control = socket.socket(fileno=int(number))
    control.set_inheritable(False)
    os.closerange(3, control.fileno())  # event loops leave some of theirs open in the processes that they start
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    os.closerange(control.fileno() + 1, FILES_MAX if most == resource.RLIM_INFINITY else min(most, FILES_MAX))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        work = load(app)
    except TaskError as error:
        logs.set_up(Options())
        log.error("tasks in processes of their own do not run: %s", error, exc_info=error.__cause__)
        return CANNOT_START
    logs.set_up(msgspec.json.decode(text, type=Options))
    work.url = os.environ.pop(URL_VARIABLE, None) or work.url
    if threading.active_count() > 1:
        log.warning("the program starts threads when it is imported: a task in a process of its own goes without them")
    for name in ("ctypes", "json", "uvloop"):  # once, not in each child
        with contextlib.suppress(ImportError):
            import_module(name)
    gc.collect()
    gc.freeze()  # so that collecting in a child does not copy what it shares with this process
    with contextlib.suppress(BrokenPipeError, ConnectionError):  # the worker is gone
        Zygote(work, control).run()
    return 0


class Zygote:
    def __init__(self, work: WorkQueue, control: socket.socket) -> None:
        self._work = work
        self._control = control
        self._pid = os.getpid()
        self._parent = os.getppid()
        self._pids: dict[int, int] = {}
        """By number."""
        self._heard = b""
        self._sockets: list[int] = []
        self._woken, self._wake = os.pipe()
        for end in (self._woken, self._wake):
            os.set_blocking(end, False)
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Until the worker is gone."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _heed)
        for number in DEAF_TO:
            signal.signal(number, _heed)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        try:
            self._say({"ready": True})
            while os.getppid() == self._parent:
                ready = [key.fd for key, _ in self._selector.select(LOOK_S)]
                if self._woken in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._woken, 4096)
                self._reap()
                if self._control.fileno() in ready and not self._hear():
                    return
        finally:
            for pid in self._pids.values():
                _kill(pid)

    def _say(self, said: dict[str, object]) -> None:
        self._control.sendall(msgspec.json.encode(said) + b"\n")

    # ---- what the worker asks for

    def _hear(self) -> bool:
        """False if the worker is gone."""
        data, sockets, _, _ = socket.recv_fds(self._control, RECORD_BYTES - len(self._heard), 1)
        self._sockets += sockets
        self._heard += data
        if len(self._heard) == RECORD_BYTES:
            verb, number = self._heard[:1], int.from_bytes(self._heard[1:], "big")
            self._heard = b""
            if verb == START:
                self._start(number, socket.socket(fileno=self._sockets.pop()))
            elif verb == KILL and number in self._pids:
                _kill(self._pids[number])
        return bool(data)

    def _start(self, number: int, talk: socket.socket) -> None:
        with talk:
            try:
                pid = os.fork()
            except OSError as error:
                self._say({"number": number, "error": str(error)})
                return
            if not pid:
                self._become(talk)
            with contextlib.suppress(OSError):  # the child has done so itself, and perhaps ended
                os.setpgid(pid, pid)
            self._pids[number] = pid
            self._say({"number": number, "pid": pid})

    def _become(self, talk: socket.socket) -> NoReturn:
        """In the child. Nothing returns from here into the zygote's own life."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            self._selector.close()
            self._control.close()
            os.close(self._woken)
            os.close(self._wake)
            os.setpgid(0, 0)
            flee_with_parent(self._pid)
            live(self._work, talk)
            code = 0
        except (EOFError, OSError):
            log.debug("the worker is gone")
        except BaseException:
            log.exception("a task's process failed")
        finally:
            os._exit(code)

    # ---- what became of its children

    def _reap(self) -> None:
        numbers = {pid: number for number, pid in self._pids.items()}
        while numbers:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            number = numbers.pop(pid, None)  # what the program started when it was imported is nobody's affair
            if number is not None:
                del self._pids[number]
                self._say({"number": number, "status": os.waitstatus_to_exitcode(status)})


def _heed(*_: object) -> None:
    """A signal came: the loop turns."""


def _kill(pid: int) -> None:
    """It, and what it started."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
