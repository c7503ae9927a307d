"""What the worker has to settle: deliveries, and what runs for them. Plain data; kept by runner."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from leveret.client import Delivery
from leveret.tasks import Message, TaskContext
from leveret.tasks.events import Running
from leveret.tasks.outcome import TEXT_CHARACTERS_MAX
from leveret.worker.executor import Job
from leveret.worker.permits import Permit
from leveret.worker.waiting import Taken


class Held:
    """`timers` are its time limits; `apart`: it runs in a process of its own; `taken`: it is out of a lane; `permit` is its place
    of a limit.
    """

    __slots__ = ("apart", "begun_s", "delivery", "job", "message", "moving", "permit", "taken", "timers")

    def __init__(
        self, delivery: Delivery, message: Message, taken: Taken | None = None, permit: Permit | None = None
    ) -> None:
        self.delivery = delivery
        self.message = message
        self.taken = taken
        self.permit = permit
        self.job: Job | None = None
        self.timers: tuple[asyncio.TimerHandle, ...] = ()
        self.apart = False
        self.begun_s: float | None = None
        """By the loop's clock, while it runs."""
        self.moving = False
        """Its end is decided: what its task still says comes too late."""


class Holdings:
    """By their deliveries, the oldest first."""

    def __init__(self) -> None:
        self._held: dict[Delivery, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._held.values()))

    def __contains__(self, held: Held) -> bool:
        return held.delivery in self._held

    def add(self, held: Held) -> None:
        self._held[held.delivery] = held

    def remove(self, held: Held) -> bool:
        """Whether it was there."""
        return self._held.pop(held.delivery, None) is not None

    def begun(self) -> list[tuple[float, Held]]:
        """Since when which of them run, by the loop's clock."""
        return [(held.begun_s, held) for held in self._held.values() if held.begun_s is not None and not held.moving]

    def under_way(self, epoch_s: float) -> Sequence[Running]:
        """What runs, as events tell it; `epoch_s` is when the loop's clock was 0."""
        return [_running(held.job.context, epoch_s + since_s) for since_s, held in self.begun() if held.job is not None]


def _running(context: TaskContext, since: float) -> Running:
    said = context.last_progress
    return Running(
        task=context.name,
        id=context.id,
        queue=context.queue,
        attempt=context.attempt,
        since=since,
        done=None if said is None else said.done,
        total=None if said is None else said.total,
        text="" if said is None else said.text[:TEXT_CHARACTERS_MAX],
    )
