"""What is done when a task has ended: its workflow goes on, its sender is told, its message settled, its lock given back.

Most messages are acknowledged at once; only what takes the broker's answer takes a coroutine. Used by runner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from leveret.client import Delivery
from leveret.errors import LeveretError
from leveret.tasks import Cancelled, Done, Failed, Message, Outcome, WorkQueue
from leveret.tasks.message import LOCK
from leveret.tasks.outcome import CANCELLED
from leveret.worker.gates import lock_of
from leveret.worker.services import Services
from leveret.worker.settle import acknowledge

log = logging.getLogger("leveret.worker")

Report = Callable[[Message, Outcome], None]


class Ending:
    """`report` is told if a workflow cannot go on, which is another end than its task had."""

    def __init__(self, work: WorkQueue, services: Services, report: Report) -> None:
        self._work = work
        self._settler = services.settler
        self._answers = services.answers
        self._control = services.control
        self._following = services.following
        self._locks = services.locks
        self._keeper = services.keeper
        self._report = report

    def of(self, delivery: Delivery, message: Message, outcome: Outcome) -> Coroutine[Any, Any, None] | None:
        """What is left to do; None: it is settled."""
        span = None if self._keeper is None else self._kept_for(message)
        if message.workflow and isinstance(outcome, Done):
            return self._follow(delivery, message, outcome, span)
        waits = span is not None or LOCK in message.headers
        if isinstance(outcome, Cancelled) or waits or self._asks(message, outcome):
            return self._tell_and_settle(delivery, message, outcome, span)
        if isinstance(outcome, Done):
            acknowledge(delivery)
            return None
        return self._settler.settle(delivery, message, outcome)

    def _kept_for(self, message: Message) -> timedelta | None:
        """How long its result is kept; what has no id could not be found again."""
        handler = self._work.handler(message.queue, message.task)
        return None if handler is None or not message.id else handler.settings.keep_result

    def _asks(self, message: Message, outcome: Outcome) -> bool:
        """Whether its sender waits, and cannot be told at once."""
        if not message.properties.reply_to:
            return False
        return not (isinstance(outcome, Done) and self._answers.give_at_once(message, outcome))

    async def _follow(self, delivery: Delivery, message: Message, done: Done, span: timedelta | None) -> None:
        """The workflow goes on, or it cannot, which is told."""
        parked = await self._following.follow(delivery, message, done)
        if parked is None:
            await self._keep(message, done, span)
            acknowledge(delivery)
            await self._unlock(delivery, message, done)
        else:
            self._report(message, parked)
            await self._tell_and_settle(delivery, message, parked, span)

    async def _tell_and_settle(
        self, delivery: Delivery, message: Message, outcome: Outcome, span: timedelta | None
    ) -> None:
        """The answer goes first, and before it what is kept: after the acknowledgement nobody would give it any more."""
        await self._keep(message, outcome, span)
        await self._answers.give(message, outcome)
        if isinstance(outcome, Done | Cancelled):
            acknowledge(delivery)
        else:
            await self._settler.settle(delivery, message, outcome)
        if isinstance(outcome, Cancelled) and outcome.reason == CANCELLED:
            await self._control.forget(message.id)  # not its workflow: others are to see that
            if message.workflow:
                await self._following.abandon(message)
        await self._unlock(delivery, message, outcome)

    async def _keep(self, message: Message, outcome: Outcome, span: timedelta | None) -> None:
        if self._keeper is not None and span is not None:
            await self._keeper.keep(message, outcome, span)

    async def _unlock(self, delivery: Delivery, message: Message, outcome: Outcome) -> None:
        """After the acknowledgement, and on its connection: nobody is to run the task again when another can be sent."""
        lock = lock_of(message)
        if lock is None or isinstance(outcome, Failed) or not delivery.settled:
            return
        try:
            await self._locks.give(lock, message.id)
        except LeveretError as error:
            log.warning("task=%s id=%s keeps its lock until that expires: %s", message.task, message.id, error)
