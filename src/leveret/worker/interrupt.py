"""Raises an exception in a plain function that runs on another thread: how a time limit reaches it.

The interpreter raises it before the thread's next bytecode; a thread that waits in C code meets it when that returns. Used
by executor, around the function alone, and by runner, when the time is over.
"""

from __future__ import annotations

import ctypes
import threading


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
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(kind))
