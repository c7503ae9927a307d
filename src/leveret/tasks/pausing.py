"""Pausing a queue: no worker takes from it, wherever it is and whenever it starts, until it is resumed.

A mark at the broker (tasks/marks) says so, with who paused it and when as arguments of its queue `leveret.paused.QUEUE`, where
management APIs show it. An order makes those look that are connected; whoever starts, or connects again, looks by itself.
Used by workqueue, the worker, and those who give orders.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from leveret.client import Connection
from leveret.errors import WaitTimeout
from leveret.tasks import marks
from leveret.tasks.orders import SEND_S, Order, tell

PAUSED: Final = "leveret.paused."
QUEUE: Final = "x-leveret-queue"
BY: Final = "x-leveret-by"
AT: Final = "x-leveret-at"
BY_CHARACTERS_MAX: Final = 200
HEARD_S: Final = 15.0
"""Workers look so often by themselves: an order may be lost on its way, or kept back while the broker blocks publishers."""


class Paused(msgspec.Struct, frozen=True):
    """`at` in seconds since 1970, by the clock of who paused it. Texts may be empty."""

    queue: str
    by: str
    at: float


def mark_of(queue: str) -> str:
    return marks.mark_of(PAUSED, queue)


async def pause(connection: Connection, queue: str, by: str = "", timeout_s: float = SEND_S) -> None:
    """Returns when the broker keeps it in mind, and workers are about to hear of it: what runs goes on to its end, what was
    fetched and not begun goes back. `by`: who says so, for others to read. Of a queue that is paused already nothing changes.
    """
    about = {QUEUE: queue, BY: by[:BY_CHARACTERS_MAX], AT: int(time.time() * 1000)}
    await marks.put(connection, mark_of(queue), about)
    await _have_looked(connection, queue, timeout_s)


async def resume(connection: Connection, queue: str, timeout_s: float = SEND_S) -> None:
    """Returns as `pause` does. Of a queue that is not paused nothing changes."""
    await marks.take_away(connection, mark_of(queue))
    await _have_looked(connection, queue, timeout_s)


async def _have_looked(connection: Connection, queue: str, timeout_s: float) -> None:
    """A broker that takes no messages just now knows it all the same: workers find out within HEARD_S."""
    if connection.blocked:
        return
    try:
        await tell(connection, Order(look=queue), timeout_s)
    except WaitTimeout:
        if not connection.blocked:
            raise


async def is_paused(connection: Connection, queue: str) -> bool:
    channel = await connection.channel()
    try:
        return await marks.stands(channel, mark_of(queue))
    finally:
        await channel.close()


def paused(rows: Iterable[Mapping[str, Any]]) -> dict[str, Paused]:
    """Of all queues, in the words of a management API (`/api/queues`), those that are paused, by their names."""
    found = [_read(row["name"], row.get("arguments") or {}) for row in rows if row["name"].startswith(PAUSED)]
    return {one.queue: one for one in found}


def _read(name: str, arguments: Mapping[str, Any]) -> Paused:
    queue, by, at = arguments.get(QUEUE), arguments.get(BY), arguments.get(AT)
    return Paused(
        queue if isinstance(queue, str) else name.removeprefix(PAUSED),
        by if isinstance(by, str) else "",
        at / 1000 if isinstance(at, int | float) else 0.0,
    )
