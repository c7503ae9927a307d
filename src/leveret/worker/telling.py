"""Who is told how tasks fare: the log, the tally that health and metrics show, whoever listens to events, the middleware.

Used by runner, on its event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from leveret.tasks import Message, Outcome, Progress, WorkQueue
from leveret.tasks.middleware import ended_hooks, tell
from leveret.worker.announcer import Announcer
from leveret.worker.held import Held
from leveret.worker.report import Report
from leveret.worker.status import Oldest
from leveret.worker.tally import Tally


class Telling:
    def __init__(self, work: WorkQueue, announcer: Announcer) -> None:
        self._work = work
        self._announcer = announcer
        self._hooks = ended_hooks(work.middleware)
        self._loop = asyncio.get_running_loop()
        self._report = Report(self._loop.call_later)
        self.tally = Tally()

    def started(self, message: Message) -> None:
        if self._announcer.watched:
            self._announcer.started(message)

    def progress(self, message: Message, progress: Progress) -> None:
        """On any thread."""
        if self._announcer.watched:
            self._announcer.progress(message, progress)

    def ended(self, message: Message, outcome: Outcome) -> None:
        self._report.outcome(message, outcome)
        name = self._name(message)
        self.tally.add(message.queue, name, outcome)
        if self._announcer.watched:
            self._announcer.ended(message, name, outcome)
        if self._hooks:
            tell(self._hooks, message, outcome)

    def look(self, begun: Iterable[tuple[float, Held]]) -> Oldest | None:
        """Have the tally say what runs just now; the task that has run longest."""
        running = list(begun)
        self.tally.look((held.message.queue, self._name(held.message)) for _, held in running)
        if not running:
            return None
        since, oldest = min(running, key=lambda one: one[0])
        message = oldest.message
        return Oldest(message.queue, self._name(message), message.id, self._loop.time() - since)

    def close(self) -> None:
        """The log has all it is to have."""
        self._report.sum_up()

    def _name(self, message: Message) -> str:
        """Of its task, or nothing where this program has none: messages may name anything."""
        handler = self._work.handler(message.queue, message.task)
        return handler.name if handler is not None else ""
