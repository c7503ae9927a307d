"""Why has this task not run yet, and where is it now: asks those who know, for tasks/judging to answer.

The broker is asked where its message is (tasks/finding), who takes from its queue, and whether it was cancelled. What workers
said lately (their beats) and what is remembered of it, if there is a history, the caller brings. Used by `leveret why` and
the dashboard.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from leveret.client import Connection
from leveret.errors import ChannelError
from leveret.tasks.cancelling import MARK
from leveret.tasks.clues import home
from leveret.tasks.events import Beat
from leveret.tasks.finding import Get, Search, figures, find
from leveret.tasks.judging import Known, Remembered, Why, judge, running
from leveret.tasks.message import ID_BYTES_MAX
from leveret.tasks.pausing import mark_of


async def why(
    id: str,
    connection: Connection | None,
    *,
    vhost: str = "/",
    get: Get | None = None,
    beats: Sequence[Beat] = (),
    remembered: Remembered | None = None,
    likely: Iterable[str] = (),
) -> Why:
    """Raises what the API and the client raise. `get` asks the management API; without one only `likely` queues, those that the
    beats name, and the ladder are looked into. Without a connection no queue is looked into: what the API does not tell is not told.
    """
    run = running(id, beats)
    told = ([run[1].queue] if run else []) + ([remembered.queue] if remembered is not None else [])
    named = [name for name in (*told, *likely, *(name for beat in beats for name in beat.queues)) if name]
    search = Search([]) if run else await find(id, vhost, get, connection, dict.fromkeys(named))
    queue = home(search.found[0]) if search.found else next(iter(told), "")
    row = await figures(queue, vhost, get) if queue and get is not None else {}
    can_be = 0 < len(id.encode()) <= ID_BYTES_MAX
    return judge(
        Known(
            id=id,
            now=time.time(),
            search=search,
            queue=queue,
            beats=beats,
            cancelled=can_be and bool(await _messages(MARK + id, vhost, get, connection)),
            held_in_queue=row.get("messages_unacknowledged"),
            paused=bool(queue) and await _messages(mark_of(queue), vhost, get, connection) is not None,
            remembered=remembered,
        )
    )


async def _messages(mark: str, vhost: str, get: Get | None, connection: Connection | None) -> int | None:
    """In the queue of that name, by which something is marked; None if it is not there."""
    if connection is None:
        row = await figures(mark, vhost, get) if get is not None else {}
        return int(row.get("messages_ready", 1)) if row else None
    try:
        async with await connection.channel() as channel:
            return (await channel.queue_declare(mark, passive=True)).messages
    except ChannelError:
        return None
