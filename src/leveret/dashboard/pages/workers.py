"""Workers: who they are and what they run, the timeline of their tasks, and what they can be told."""

from __future__ import annotations

from typing import Any, Final

from leveret.board.board import Board, Running, Worker
from leveret.dashboard.ask import DIGITS_MAX, Ask, Refused, Table, watched
from leveret.dashboard.moving import connected
from leveret.tasks.orders import quiet_workers, resume_workers, stop_workers

RUNNING_SHOWN: Final = 4
TEXT_CHARACTERS_MAX: Final = 200
VERSION_MAX: Final = 2**53

Row = dict[str, Any]


@watched()
async def show(ask: Ask) -> Any:
    """All of them, in an order that stays; `now` is the clock that all times are by."""
    rows = [
        row_of(id, worker, vhost, board, ask.now)
        for vhost, board in (await ask.boards()).items()
        for id, worker in board.workers.items()
    ]
    rows.sort(key=lambda row: (row["program"], row["host"], row["started"], row["id"]))
    return {"items": rows, "version": ask.parts.hearing.timeline.version}


def row_of(id: str, worker: Worker, vhost: str, board: Board, now: float) -> Row:
    beat = worker.beat
    running = sorted(worker.running.values(), key=lambda one: one.since)
    return {
        "id": id,
        "vhost": vhost,
        "program": beat.program,
        "host": beat.host,
        "pid": beat.pid,
        "version": beat.version,
        "state": "lost" if board.connected and worker.lost(now) else beat.state,
        "slots": beat.slots,
        "busy": worker.busy,
        "ran": beat.ran,
        "lost_events": beat.lost,
        "memory_bytes": beat.memory_bytes,
        "started": round(beat.started + worker.skew_s, 1),
        "queues": beat.queues[:100],
        "running": [running_row(one) for one in running[:RUNNING_SHOWN]],
    }


def running_row(one: Running) -> Row:
    row: Row = {"task": one.task, "id": one.id, "queue": one.queue, "since": round(one.since, 1)}
    if one.attempt > 1:
        row["attempt"] = one.attempt
    if one.done is not None:
        row |= {"done": one.done, "total": one.total, "text": one.text[:TEXT_CHARACTERS_MAX]}
    return row


async def timeline(ask: Ask) -> Any:
    """Bars as lists: worker, task, id, queue, attempt, from, to (null: it runs), state. `since` is a version."""
    since = ask.query.get("since", "0")
    if not (since.isascii() and since.isdigit() and len(since) <= DIGITS_MAX) or int(since) > VERSION_MAX:
        raise Refused(400, f"since is {since!r}, expected a version")
    told = ask.parts.hearing.timeline.changes(int(since), await ask.vhosts())
    return told | {"now": ask.now}


# ---- what they can be told


async def quiet(ask: Ask) -> Any:
    async with await connected(ask.source.amqp_url(await vhost_of(ask))) as connection:
        await quiet_workers(connection, [ask.names[0]])
    return {}


async def resume(ask: Ask) -> Any:
    async with await connected(ask.source.amqp_url(await vhost_of(ask))) as connection:
        await resume_workers(connection, [ask.names[0]])
    return {}


async def stop(ask: Ask) -> Any:
    async with await connected(ask.source.amqp_url(await vhost_of(ask))) as connection:
        await stop_workers(connection, [ask.names[0]])
    return {}


async def vhost_of(ask: Ask) -> str:
    """Where the worker is. KeyError if nobody has heard of it."""
    for vhost, board in (await ask.boards()).items():
        if ask.names[0] in board.workers:
            return vhost
    raise KeyError(ask.names[0])


TABLE: Table = {
    "workers": {"GET": show},
    "timeline": {"GET": timeline},
    "workers/*/quiet": {"POST": quiet},
    "workers/*/resume": {"POST": resume},
    "workers/*/stop": {"POST": stop},
}
