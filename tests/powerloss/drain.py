"""Starts the real broker over what a power loss left, and takes every message out of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from broker.support import World
from powerloss.acts import NUMBER_BYTES
from powerloss.life import DEAD, DIRECTORY, QUEUES, START_MS

LATER_MS: Final = START_MS + 100_000_000
"""By then everything delayed has gone on, and what can expire is a dead letter."""


def drain(root: Path) -> Counter[int]:
    """How often each message was given out, by number."""
    world = World(root / DIRECTORY)
    try:
        world.broker.at(LATER_MS)
        world.settle()
        given: Counter[int] = Counter()
        for name in sorted(QUEUES, key=lambda name: name in DEAD):
            given.update(taken(world, name))
        if world.failures:
            raise world.failures[0]
        return given
    finally:
        world.store.close()


def taken(world: World, name: str) -> list[int]:
    queue = world.broker.vhosts["/"].queues.get(name)
    numbers: list[int] = []
    while queue is not None:
        message = queue.get()
        if message is not None:
            numbers.append(int.from_bytes(message.body[:NUMBER_BYTES], "big"))
        elif queue.loading:
            world.settle()
        else:
            break
    return numbers
