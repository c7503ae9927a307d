"""How many tasks of a kind ended how: as a process counts them (tally), as it tells them (status), and summed up by its supervisor."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Count(msgspec.Struct):
    """`failed` are attempts that raised or crashed; of these `retried` go on, and with others are `parked` in the end.

    `took_s`: how long they ran, together. `running` is not counted, but looked up. A `task` that is empty stands for all
    messages whose task the program does not have: they may bear any names.
    """

    queue: str
    task: str
    done: int = 0
    failed: int = 0
    crashed: int = 0
    retried: int = 0
    parked: int = 0
    cancelled: int = 0
    running: int = 0
    took_s: float = 0.0

    def add(self, other: Count) -> None:
        for name in COUNTED:
            setattr(self, name, getattr(self, name) + getattr(other, name))


COUNTED = ("done", "failed", "crashed", "retried", "parked", "cancelled", "running", "took_s")


def total(*parts: Iterable[Count]) -> list[Count]:
    """One of each kind; what is handed in stays as it is."""
    sums: dict[tuple[str, str], Count] = {}
    for part in parts:
        for one in part:
            sums.setdefault((one.queue, one.task), Count(one.queue, one.task)).add(one)
    return list(sums.values())
