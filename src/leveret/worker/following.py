"""What comes after a task of a workflow that is done: the next task is sent, a group begun, or a result put to the others.

Before the task is acknowledged, and confirmed: a crash in between has the task run again, and all this done again. The next
task is then sent a second time under the same id, and of those one is run (claims); members of a group that is begun twice
may run twice, and are counted once (groups). What cannot be sent just now is sent later. Used by runner.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from leveret.client import Backoff, Delivery
from leveret.errors import CodecError, LeveretError, ProtocolMisuse, TaskError
from leveret.tasks import Done, Failure, Message, Parked
from leveret.tasks.continuation import Join, Step, read_next
from leveret.tasks.departure import Departure, sent_anew, settled
from leveret.tasks.outbox import Outbox, Parcel
from leveret.tasks.outcome import WORKFLOW
from leveret.tasks.signature import write
from leveret.worker.answers import Answers
from leveret.worker.groups import Groups, Held

log = logging.getLogger("leveret.worker")
T = TypeVar("T")

PUBLISH_S: Final = 30.0


class _Lost(Exception):
    """The connection on which the message came is gone: it comes again."""


class _Turn(msgspec.Struct, frozen=True):
    """A message whose task is done, and its delivery."""

    delivery: Delivery
    message: Message


Depart = Callable[[Message, Sequence[Step], msgspec.Raw, bool], Departure]


class Following:
    """`depart` makes messages of what comes behind one: see WorkQueue.following."""

    def __init__(
        self, outbox: Outbox, groups: Groups, answers: Answers, depart: Depart, backoff: Backoff | None = None
    ) -> None:
        self._depart = depart
        self._outbox = outbox
        self._groups = groups
        self._answers = answers
        self._backoff = backoff or Backoff()

    async def follow(self, delivery: Delivery, message: Message, done: Done) -> Parked | None:
        """Returns when all is sent, or the delivery is lost; Parked if what is next can never be. Raises only when cancelled."""
        turn = _Turn(delivery, message)
        try:
            steps = read_next(message.body)
            if steps:
                await self._go_on(turn, steps, msgspec.Raw(write(done.value)))
            else:
                await self._answers.give(message, done)
        except (TaskError, RecursionError) as error:
            return Parked(WORKFLOW, Failure.of(error), done.took_s)
        except _Lost:
            log.warning("a task of a workflow is delivered again, for its connection was lost: id=%s", message.id)
        return None

    async def abandon(self, message: Message) -> None:
        """It was cancelled: its group will not be complete. Never raises but when cancelled."""
        try:
            steps = read_next(message.body)
        except TaskError:
            return
        if steps and isinstance(last := steps[-1], Join):
            await self._groups.delete(last.group)

    async def _go_on(self, turn: _Turn, steps: Sequence[Step], value: msgspec.Raw) -> None:
        left, value = settled(steps, value)
        if not left:
            await self._answers.give(turn.message, Done(value, 0.0))
        elif isinstance(left[0], Join):
            await self._join(turn, left[0], value)
        else:
            departure = self._depart(turn.message, left, value, True)
            await self._send(turn, departure.plans)
            await self._send(turn, departure.parcels)

    async def _join(self, turn: _Turn, join: Join, value: msgspec.Raw) -> None:
        repeated = turn.message.crashes > 0

        async def put() -> Held | None:
            nonlocal repeated
            before, repeated = repeated, True  # what an attempt held that failed is on its way back, too
            return await self._groups.join(join, value, before)

        held = await self._surely(turn, put)
        if held is None:
            return
        try:
            await self._go_on(turn, *held.collected.end())
            await self._groups.delete(join.group)
        finally:
            await held.close()

    async def _send(self, turn: _Turn, parcels: list[Parcel]) -> None:
        """Those that were not confirmed again and again."""
        left = list(parcels)

        async def send() -> None:
            outcomes = await self._outbox.put_many(left, PUBLISH_S)
            failed = [(parcel, error) for parcel, error in zip(left, outcomes, strict=True) if error is not None]
            left[:] = [sent_anew(parcel) for parcel, _ in failed]
            if failed:
                raise failed[0][1]

        if left:
            await self._surely(turn, send)

    async def _surely(self, turn: _Turn, work: Callable[[], Awaitable[T]]) -> T:
        """Until it succeeds. TaskError if it never will; _Lost when that is another worker's affair."""
        attempt = 0
        while not turn.delivery.lost:
            try:
                return await work()
            except TaskError:
                raise
            except (ProtocolMisuse, CodecError) as error:
                raise TaskError(f"what comes next in the workflow cannot be sent: {error}") from error
            except LeveretError as error:
                log.error("the workflow of id=%s cannot go on yet: %s", turn.message.id, error)
            await self._backoff.wait(attempt)
            attempt += 1
        raise _Lost
