"""One line of log for each message that was run: the same words in the same order, to be searched. Used by runner.

Where very many are done, only some have a line of their own, and the others are counted: a line costs more than a short
task. What fails is always told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from leveret.tasks import Cancelled, Crashed, Done, Failed, Message, Outcome
from leveret.worker.logs import fields

log = logging.getLogger("leveret.worker")

LINES_PER_S: Final = 100
"""Of tasks that are done."""

WORDS: Final = "%s task=%s id=%s queue=%s attempt=%d took_s=%.3f"

Later = Callable[[float, Callable[[], None]], object]
"""Calls something after so many seconds: an event loop's call_later."""


class Report:
    def __init__(self, later: Later) -> None:
        self._later = later
        self._lines = 0
        self._untold = 0

    def outcome(self, message: Message, outcome: Outcome) -> None:
        if isinstance(outcome, Done) and not self._tells():
            return
        who = (message.task or "-", message.id or "-", message.queue, message.attempt, outcome.took_s)
        extra = fields(message)
        if isinstance(outcome, Done):
            log.info(WORDS, "done", *who, extra=extra)
            return
        if isinstance(outcome, Cancelled):
            log.info(WORDS, outcome.reason, *who, extra=extra)
            return
        why = f"{outcome.failure.exception}: {outcome.failure.text}".replace("\n", " ")
        if isinstance(outcome, Failed):
            verb = "crashed" if isinstance(outcome, Crashed) else "failed"
            log.warning(f"{WORDS} error=%s", verb, *who, why, extra=extra)
        else:
            log.error(f"{WORDS} reason=%s error=%s", "parked", *who, outcome.reason, why, extra=extra)

    def _tells(self) -> bool:
        """Whether one that is done has a line."""
        if not log.isEnabledFor(logging.INFO):
            return False
        if not self._lines:
            self._later(1.0, self.sum_up)
        if self._lines < LINES_PER_S:
            self._lines += 1
            return True
        self._untold += 1
        return False

    def sum_up(self) -> None:
        """How many were done without a line. They have lines again."""
        untold, self._untold, self._lines = self._untold, 0, 0
        if untold:
            log.info("done tasks=%d more, beyond %d in a second", untold, LINES_PER_S)
