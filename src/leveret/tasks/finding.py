"""Finds the message of a task, by its id, in whatever queue it is: waiting, delayed, in a lane, among the dead letters.

Leveret's broker tells (its API's /api/messages/ID, which touches nothing). A RabbitMQ has no such question: there the queues
are looked into one after another as tasks/peek does, so many messages of each at most, and what was looked at is marked
redelivered, which a worker counts as one crash at most. Nothing is taken out. Used by tasks/why.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from leveret.client import Connection, Delivery, QueueDeclared
from leveret.errors import ChannelError, CodecError, Declined, ManagementError
from leveret.tasks.cancelling import MARK
from leveret.tasks.events import EXCHANGE
from leveret.tasks.ladder import BELL, RUNG, RUNGS, UNDELIVERED, rung
from leveret.tasks.limits import LOCK, PLACES, RATE
from leveret.tasks.peek import Peek
from leveret.tasks.topology import GROUP, SCHEDULER, dead_queue

Get = Callable[[str], Awaitable[Any]]
"""Asks a management API: "/api/queues" gives its JSON. Declined, or another ManagementError."""

NOT_FOUND: Final = 404
LOOKED_MAX: Final = 1_000
QUEUES_MAX: Final = 2_000
HELD_NO_TASKS: Final = (
    *(MARK, BELL, PLACES, RATE, LOCK, GROUP, SCHEDULER, EXCHANGE),
    *("leveret.once.", "leveret.replies.", "leveret.listener.", "amq.gen-"),
)
"""How queues begin in which no task ever is."""


@dataclass(frozen=True, slots=True)
class Found:
    """A message. `before` it are so many in its queue, of which `ready` wait in all for so many consumers; None: not told.

    Of one that is held (`held` is true) `held_s` says for how long, and `holder` by whom, in RabbitMQ's words.
    """

    queue: str
    task: str = ""
    headers: Mapping[str, Any] = field(default_factory=dict)
    sent: float | None = None
    routing_key: str = ""
    redelivered: bool = False
    before: int | None = None
    ready: int | None = None
    consumers: int | None = None
    on_disk: bool | None = None
    held: bool = False
    held_s: float | None = None
    holder: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Search:
    """What was found, the best witness first, and where nobody could look: that many messages, these queues, or anywhere."""

    found: list[Found]
    unseen: int = 0
    unseen_queues: tuple[str, ...] = ()
    looked: bool = True


async def find(
    id: str, vhost: str, get: Get | None, connection: Connection | None, likely: Iterable[str] = ()
) -> Search:
    """`likely`: queues to be looked into first. Without an API, or if that tells no queues, only there; without a connection
    none is. Raises what they raise."""
    answer = None if get is None else await _exactly(id, get)
    if answer is not None:
        rows = [row for row in answer["found"] if row["vhost"] == vhost]
        return Search([told(row) for row in rows], answer["unseen"])
    if connection is None:
        return Search([], looked=False)
    return await _looked_for(id, connection, await _candidates(vhost, get, likely))


async def asks_no_peeking(get: Get) -> bool:
    """Whether the broker itself can tell where a message is."""
    return await _exactly("-", get) is not None


async def _exactly(id: str, get: Get) -> Mapping[str, Any] | None:
    try:
        answer: Mapping[str, Any] = await get(f"/api/messages/{quote(id, safe='')}")
    except Declined as declined:
        if declined.status != NOT_FOUND:
            raise
        return None
    return answer


def told(row: Mapping[str, Any]) -> Found:
    """As Leveret's API has it."""
    properties, held = row["properties"], row["state"] == "unacked"
    return Found(
        queue=row["queue"],
        task=properties.get("type", ""),
        headers=properties.get("headers", {}),
        sent=properties.get("timestamp"),
        routing_key=row["routing_key"],
        redelivered=row["redelivered"],
        before=None if held else row["before"],
        ready=row["ready"],
        consumers=row["consumers"],
        on_disk=row["on_disk"],
        held=held,
        held_s=row["held_ms"] / 1000 if held else None,
        holder={name: row[name] for name in ("connection", "channel", "client", "consumer_tag")} if held else {},
    )


async def figures(queue: str, vhost: str, get: Get) -> Mapping[str, Any]:
    """What the API has of a queue; nothing if that cannot be had."""
    try:
        row: Mapping[str, Any] = await get(f"/api/queues/{quote(vhost, safe='')}/{quote(queue, safe='')}")
    except ManagementError:
        return {}
    return row


async def _candidates(vhost: str, get: Get | None, likely: Iterable[str]) -> list[str]:
    """In the order in which they are worth looking into."""
    first = [name for queue in likely for name in (queue, dead_queue(queue))]
    ladder = [rung(number) for number in range(RUNGS)]
    rest = await _queues(vhost, get)
    if rest is None:
        return list(dict.fromkeys([*first, *ladder, UNDELIVERED]))
    there = set(rest)
    named = [name for name in dict.fromkeys([*first, *ladder]) if name in there]
    return list(dict.fromkeys([*named, *rest]))


async def _queues(vhost: str, get: Get | None) -> list[str] | None:
    """Those that may have tasks in them; None if nobody tells."""
    if get is None:
        return None
    try:
        rows = await get(f"/api/queues/{quote(vhost, safe='')}")
    except ManagementError:
        return None
    return sorted(
        row["name"]
        for row in rows
        if row.get("type") != "stream" and not row.get("exclusive") and not row["name"].startswith(HELD_NO_TASKS)
    )


async def _looked_for(id: str, connection: Connection, queues: list[str]) -> Search:
    unseen: list[str] = queues[QUEUES_MAX:]
    for queue in queues[:QUEUES_MAX]:
        try:
            found, left = await _in(id, connection, queue)
        except ChannelError:  # it is gone, or not ours to read
            if not queue.startswith(RUNG):
                unseen.append(queue)
            continue
        if found is not None:
            return Search([found], 0, tuple(unseen))
        if left:
            unseen.append(queue)
    return Search([], 0, tuple(unseen))


async def _in(id: str, connection: Connection, queue: str) -> tuple[Found | None, int]:
    """If it is among the first; else how many were not looked at."""
    async with Peek(connection) as peek:
        there = await peek.look(queue)
        before = 0
        async for delivery in peek.read(queue, LOOKED_MAX):
            found = _if_it_is(id, queue, delivery, before, there)
            if found is not None:
                return found, 0
            before += 1
    return None, max(0, there.messages - before)


def _if_it_is(id: str, queue: str, delivery: Delivery, before: int, there: QueueDeclared) -> Found | None:
    try:
        properties = delivery.properties
    except CodecError:
        return None
    if properties.message_id != id:
        return None
    sent = properties.timestamp.timestamp() if isinstance(properties.timestamp, datetime) else None
    return Found(
        queue=queue,
        task=properties.type or "",
        headers=properties.headers or {},
        sent=sent,
        routing_key=delivery.routing_key,
        redelivered=delivery.redelivered,
        before=before,
        ready=there.messages,
        consumers=there.consumers,
    )
