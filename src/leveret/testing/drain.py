"""Working off what is there: a worker begins when there is something to do, and ends when there is nothing left.

Time stands still while tasks run; when all are done it goes on to the next moment at which something is due, a schedule included. A worker that
is killed on the way is followed by another. Used by harness.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, wait

from leveret.errors import WaitTimeout
from leveret.tasks import Message, Outcome, WorkQueue
from leveret.testing.life import Life, abandon_threads
from leveret.testing.place import Place
from leveret.testing.timetable import Timetable
from leveret.testing.watch import Watch


class Drain:
    """One call of Harness.drain; see there."""

    def __init__(
        self,
        work: WorkQueue,
        place: Place,
        watch: Watch,
        timetable: Timetable | None,
        *,
        raises: bool,
        threads: int,
        timeout_s: float,
    ) -> None:
        self._work = work
        self._place = place
        self._watch = watch
        self._timetable = timetable
        self._raises = raises
        self._threads = threads
        self._timeout_s = timeout_s
        self._deadline_s = time.monotonic() + timeout_s
        self._life: Life | None = None
        self._failure: BaseException | None = None

    def run(self, until_ms: int) -> None:
        """Raises the first failure, or WaitTimeout; then no worker is left either."""
        self._place.reach(until_ms)
        try:
            while True:
                self._send_due()
                self._work_off()
                if self._failure is None and self._advance(until_ms):
                    continue
                self._stop()
                if self._failure is not None or not self._place.busy(self._work.queues()):
                    break
        finally:
            self._watch.kill = None
            if self._life is not None:
                self._life.kill()
        if self._failure is not None:
            raise self._failure

    def _send_due(self) -> None:
        if self._timetable is not None:
            self._timetable.send_due()

    def _advance(self, until_ms: int) -> bool:
        """False if there is nothing more to be done until then."""
        next_ms = None if self._timetable is None else self._timetable.next_ms()
        if next_ms is None or next_ms > until_ms:
            return self._place.advance(until_ms, self._work.queues())
        self._place.advance(next_ms, self._work.queues())
        return True

    def _work_off(self) -> None:
        queues = self._work.queues()
        while self._failure is None and self._place.busy(queues):
            life = self._life or self._begin()
            idle = self._place.idle(queues, life.working)
            done, _ = wait((idle, life.over), max(0.0, self._deadline_s - time.monotonic()), FIRST_COMPLETED)
            if life.over.done():
                idle.cancel()
                self._life = None
                life.over.result()
                if life.killed:
                    self._place.regain(queues)
            elif not done:
                idle.cancel()
                self._give_up(life)
            else:
                return

    def _begin(self) -> Life:
        life = self._life = Life(self._work, self._place.url, self._threads, self._ended)
        self._watch.kill = life.kill
        life.start()
        return life

    def _ended(self, message: Message, outcome: Outcome) -> bool:
        """On the worker's thread. Whether it is to stop."""
        error = self._watch.ended(message, outcome)
        if error is None or not self._raises:
            return False
        self._failure = self._failure or error
        return True

    def _stop(self) -> None:
        life, self._life = self._life, None
        if life is not None:
            life.stop()

    def _give_up(self, life: Life) -> None:
        running = ", ".join(life.running())
        abandon_threads()
        raise WaitTimeout(
            f"the queues were not empty after {self._timeout_s:g} s: "
            + (f"still running are {running}" if running else "tasks send new ones again and again")
        )
