"""What became of the tasks of a process, counted by queue and task. Plain state; runner fills it, status shows it."""

from __future__ import annotations

from collections.abc import Iterable

from leveret.tasks import Cancelled, Crashed, Done, Failed, Outcome
from leveret.tasks.outcome import CRASHES
from leveret.worker.counts import Count


class Tally:
    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], Count] = {}

    @property
    def counts(self) -> list[Count]:
        return list(self._counts.values())

    def look(self, running: Iterable[tuple[str, str]]) -> None:
        """What runs now: the queue and the task of each."""
        for count in self._counts.values():
            count.running = 0
        for queue, task in running:
            self._of(queue, task).running += 1

    def add(self, queue: str, task: str, outcome: Outcome) -> None:
        count = self._of(queue, task)
        count.took_s += outcome.took_s
        if isinstance(outcome, Done):
            count.done += 1
        elif isinstance(outcome, Cancelled):
            count.cancelled += 1
        elif isinstance(outcome, Failed):
            count.failed += 1
            count.retried += 1
            count.crashed += isinstance(outcome, Crashed)
        else:
            count.failed += outcome.failure.tried
            count.crashed += outcome.failure.tried and outcome.reason == CRASHES
            count.parked += 1

    def _of(self, queue: str, task: str) -> Count:
        count = self._counts.get((queue, task))
        if count is None:
            count = self._counts[queue, task] = Count(queue, task)
        return count
