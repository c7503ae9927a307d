"""Writes down what became of tasks whose results are kept (tasks/kept), before they are acknowledged. Used by runner.

A store that is away holds a task up for so long, and no longer: then its result is lost, which the log says, and the task is done all
the same. To run it again for the sake of its result would do its work twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from leveret.client import Backoff
from leveret.errors import ResultsUnavailable
from leveret.tasks import Cancelled, Crashed, Done, Failed, Message, Outcome, Parked
from leveret.tasks.kept import Kept, Results, State
from leveret.tasks.replies import Answer, Error
from leveret.worker.answers import answer_of
from leveret.worker.pool import Threads

log = logging.getLogger("leveret.worker")

WITHIN_S: Final = 30.0
"""The whole patience with a store."""

PASSING_S: Final = 5.0
"""That for a failure after which the task is tried again, and writes once more."""

WRITERS: Final = 4
SWEEP_EVERY_S: Final = 600.0

STATES: Final[dict[type[Outcome], State]] = {
    Done: "done",
    Failed: "failed",
    Crashed: "failed",
    Parked: "parked",
    Cancelled: "cancelled",
}


def kept_of(message: Message, outcome: Outcome, now: datetime) -> Kept:
    """What there is to keep of it."""
    answer = answer_of(message, outcome) or _passing(outcome)
    started = now - timedelta(seconds=outcome.took_s)
    state = STATES[type(outcome)]
    return Kept(message.id, message.task, state, message.attempt, started, now, bytes(answer.value), answer.error)


def _passing(outcome: Outcome) -> Answer:
    assert isinstance(outcome, Failed)
    failure = outcome.failure
    return Answer(error=Error(failure.exception, failure.text, failure.traceback, ""))


class Keeper:
    """`within_s` and `backoff` are its patience."""

    def __init__(self, store: Results, within_s: float = WITHIN_S, backoff: Backoff | None = None) -> None:
        self._store = store
        self._within_s = within_s
        self._backoff = backoff or Backoff()
        self._threads = Threads(WRITERS)
        self._loop = asyncio.get_running_loop()
        self._swept_s = -SWEEP_EVERY_S

    async def keep(self, message: Message, outcome: Outcome, span: timedelta) -> None:
        """Never raises but when cancelled."""
        now = datetime.now(UTC)
        kept, until = kept_of(message, outcome, now), now + span
        within_s = min(self._within_s, PASSING_S) if isinstance(outcome, Failed) else self._within_s
        try:
            async with asyncio.timeout(within_s):
                await self._put(kept, until)
        except Exception as error:  # the store may be anybody's, and its errors too
            why = f"nothing came of it within {within_s:g} s" if isinstance(error, TimeoutError) else str(error)
            log.error("the result of task=%s id=%s (%s) is not kept: %s", message.task, message.id, kept.state, why)
        else:
            await self._sweep_now_and_then(now)

    def end(self) -> None:
        """Its threads, each as soon as it has nothing to do."""
        self._threads.end()

    async def _put(self, kept: Kept, until: datetime) -> None:
        attempt = 0
        while True:
            try:
                await self._on_thread(lambda: self._store.put(kept, until))
                return
            except ResultsUnavailable as error:
                log.warning("the result of task=%s id=%s is not kept yet: %s", kept.task, kept.id, error)
            await self._backoff.wait(attempt)
            attempt += 1

    async def _sweep_now_and_then(self, now: datetime) -> None:
        """Behind one result in ten minutes, whose task waits for it; nobody reads what is over."""
        if time.monotonic() - self._swept_s < SWEEP_EVERY_S:
            return
        self._swept_s = time.monotonic()
        try:
            async with asyncio.timeout(self._within_s):
                await self._on_thread(lambda: self._store.sweep(now))
        except Exception as error:
            log.warning("results whose time is over are not swept: %s", error)

    async def _on_thread(self, call: Callable[[], None]) -> None:
        """On a daemon thread: a store that hangs does not keep the worker from ending."""
        future: asyncio.Future[None] = self._loop.create_future()

        def ended(_: None, error: BaseException | None) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_tell, future, error)

        self._threads.submit(call, ended)
        await future


def _tell(future: asyncio.Future[None], error: BaseException | None) -> None:
    if future.done():  # nobody waits any more
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
