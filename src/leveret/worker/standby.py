"""The next tasks of a worker whose tasks are soon over: a thread that has ended one begins the next by itself.

By way of the event loop a slot would be idle for a millisecond or two between two tasks. So while the tasks of a queue are quick
as many as there are slots stand by, each read and made ready. Until a thread takes it such a task has not begun, and counts as
one that waits: it is recalled when its queue is paused, when others are to have it, and when the worker stops; cancelled, it does
not run; and lost with its connection neither. Made by runner, asked by slots.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from mypy_extensions import mypyc_attr

from leveret.client import Delivery
from leveret.worker.hands import Hands
from leveret.worker.held import Held

Prepare = Callable[[str, Delivery], Held | None]
"""Makes one of a queue ready, with its job; None if it cannot begin without the loop."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Standby:
    """For at most `number` at once. `begin` begins one now, `drop` forgets one that was made ready."""

    def __init__(
        self,
        number: int,
        hands: Hands,
        prepare: Prepare,
        begin: Callable[[Held], None],
        drop: Callable[[Held], None],
        never: Collection[str],
    ) -> None:
        self._number = number
        self._hands = hands
        self._prepare = prepare
        self._begin = begin
        self._drop = drop
        self._never = never
        """Queues of which most could not."""
        self._standing: dict[Delivery, Held] = {}

    def __len__(self) -> int:
        return len(self._standing)

    def has(self, queue: str) -> bool:
        """Whether any of it stands by."""
        return any(held.message.queue == queue for held in self._standing.values())

    def wants(self, queue: str) -> bool:
        """Whether one more of it is to stand by. Brief ones run one after another as it is (pool)."""
        if len(self._standing) >= self._number or queue in self._never:
            return False
        pace = self._hands.pace_of_queue[queue]
        return pace.quick and not pace.brief

    def add(self, queue: str, delivery: Delivery) -> bool:
        """Whether it stands by from now on."""
        held = self._prepare(queue, delivery)
        if held is None or held.job is None:
            return False
        self._standing[delivery] = held
        self._hands.reserve(held, held.job)
        return True

    def begin_first(self) -> bool:
        """In a slot that is free; false if a thread has taken them all."""
        while (held := self._recall_first()) is not None:
            if not held.delivery.lost:
                self._begin(held)
                return True
            self._drop(held)
        return False

    def _recall_first(self) -> Held | None:
        held = next((held for held in self._standing.values() if self._hands.recall(held)), None)
        if held is not None:
            del self._standing[held.delivery]
        return held

    def recall(self, queue: str) -> list[Delivery]:
        """Those of it that no thread has taken, in their order; they stand by no more."""
        recalled = [
            held for held in self._standing.values() if held.message.queue == queue and self._hands.recall(held)
        ]
        for held in recalled:
            del self._standing[held.delivery]
            self._drop(held)
        return [held.delivery for held in recalled]

    def queues(self) -> list[str]:
        """Of those that stand by, the first one's first."""
        return list(dict.fromkeys(held.message.queue for held in self._standing.values()))

    def took(self, held: Held) -> bool:
        """A thread has begun with it: whether it stood by."""
        return self._standing.pop(held.delivery, None) is not None
