"""Raises an exception in a plain function from outside: how a time limit reaches it.

On another thread the interpreter raises it before the thread's next bytecode; a thread that waits in C code meets it when that
returns. In a process that has its task on the main thread a signal does it, at once. Used by executor, around the function
alone, by runner, when the time is over, and by forked.
"""

from __future__ import annotations

import signal
import threading

from leveret.errors import TimeLimitExceeded


class Interrupt:
    """A context around what may be interrupted. Nothing is raised before it is entered or after it was left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = 0

    def __enter__(self) -> None:
        with self._lock:
            self._thread = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        # What was raised just now may come up here or, at the latest, in the loop: an interpreter looks when it turns back.
        with self._lock:
            self._thread = 0
        for _turn in range(2):
            pass

    def throw(self, kind: type[BaseException]) -> None:
        with self._lock:
            if self._thread:
                import ctypes  # seldom needed, and among the largest modules there are

                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(kind))


class Alarm(Interrupt):
    """On a main thread: by SIGALRM, which ends also what sleeps, or waits for input and output."""

    def __init__(self, limit_s: float | None) -> None:
        super().__init__()
        self._limit_s = limit_s

    def __enter__(self) -> None:
        if self._limit_s is not None:
            signal.signal(signal.SIGALRM, _ring)
            signal.setitimer(signal.ITIMER_REAL, self._limit_s)

    def __exit__(self, *_: object) -> None:
        if self._limit_s is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _ring(*_: object) -> None:
    raise TimeLimitExceeded
