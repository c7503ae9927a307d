"""The thread of a history: it alone touches the file. It writes what came in, once a second, and answers questions.

Nothing that goes wrong with the file reaches anybody but the log (history/file): a history is never worth an error.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from leveret.errors import LeveretError
from leveret.history.file import HistoryFile
from leveret.history.intake import Intake
from leveret.history.recorder import Recorder

log = logging.getLogger("leveret.history")

WRITE_S: Final = 1.0

Answer = TypeVar("Answer")


class Ask:
    def __init__(self, question: Callable[[sqlite3.Connection], Any], flush: bool) -> None:
        self.question = question
        self.flush = flush
        self.answer: Future[Any] = Future()


class Keeper:
    def __init__(self, file: HistoryFile, intake: Intake) -> None:
        self._file = file
        self._intake = intake
        self._recorder = Recorder(file.limits)
        self._work: SimpleQueue[Ask | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="leveret history", daemon=True)
        self._poked = False
        self._closing = False

    # ---- on the loop

    def start(self) -> None:
        self._thread.start()

    def poke(self) -> None:
        """Something came in."""
        if not self._poked:
            self._poked = True
            self._work.put(None)

    def ask(self, question: Callable[[sqlite3.Connection], Answer], *, flush: bool = False) -> Future[Answer]:
        """`flush`: once all that came in is written."""
        asked = Ask(question, flush)
        if self._closing:
            asked.answer.set_exception(LeveretError("the history is closed: nothing more can be asked"))
        else:
            self._work.put(asked)
        return asked.answer

    def end(self) -> None:
        """It ends when all is written, and those are answered who asked before; see `join`."""
        if not self._closing:
            self._closing = True
            self._work.put(None)

    def join(self) -> None:
        """On any thread."""
        self._thread.join()

    # ---- on the thread

    def _run(self) -> None:
        self._file.open(self._recorder.begin)
        due_s: float | None = None
        while not self._closing:
            try:
                asked = self._work.get(timeout=None if due_s is None else max(0.0, due_s - time.monotonic()))
            except Empty:
                self._write()
                due_s = None
                continue
            if asked is None:
                due_s = due_s or time.monotonic() + WRITE_S
                continue
            if asked.flush:
                self._write()
            self._answer(asked)
        self._write()
        while not self._work.empty():
            asked = self._work.get()
            if asked is not None:
                self._answer(asked)
        self._file.close()

    def _write(self) -> None:
        self._poked = False
        pieces = self._intake.drain()
        if not pieces:
            return
        try:
            self._file.use(lambda connection: self._recorder.write(connection, pieces))
        except Exception:
            log.exception("%d pieces of the history are not kept: this is an error of Leveret's own", len(pieces))
            self._file.use(self._recorder.begin)  # it was rolled back, and so is what the recorder believes to be there

    def _answer(self, asked: Ask) -> None:
        if not asked.answer.set_running_or_notify_cancel():
            return  # whoever asked has gone meanwhile
        try:
            asked.answer.set_result(self._file.use(asked.question))
        except Exception as error:  # ours, not the disk's: whoever asked is to know
            asked.answer.set_exception(error)
