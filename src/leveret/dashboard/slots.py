"""How many of the workers' slots each queue has, and how many of those are busy: from what workers say of themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from leveret.board.board import Board

NOBODY: Final = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Slots:
    """By queue. A worker of several queues counts for each of them: any may have all of its slots, and those that are free."""

    busy: Counter[str]
    slots: Counter[str]
    free: Counter[str]

    def of(self, queue: str) -> tuple[int, int, int]:
        """Busy with this queue, all, and free."""
        return self.busy[queue], self.slots[queue], self.free[queue]


def slots_of(board: Board) -> Slots:
    busy: Counter[str] = Counter()
    slots: Counter[str] = Counter()
    free: Counter[str] = Counter()
    for worker in board.workers.values():
        for name in worker.beat.queues:
            slots[name] += worker.beat.slots
            free[name] += worker.beat.slots - worker.busy
        busy.update(running.queue for running in worker.running.values())
    return Slots(busy, slots, free)
