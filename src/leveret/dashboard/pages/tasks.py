"""Tasks: found by id, name, argument, state or queue; one's life, why it has not run yet, and cancelling it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import msgspec

from leveret.board.board import Board, Running
from leveret.dashboard.ask import Ask, Refused, Table, watched
from leveret.dashboard.moving import connected
from leveret.history import STATES, Entry, Filter, TaskLife, TaskRow
from leveret.tasks.cancelling import cancel as cancel_task
from leveret.tasks.events import Beat
from leveret.tasks.events import Running as Told
from leveret.tasks.finding import asks_no_peeking
from leveret.tasks.judging import Remembered
from leveret.tasks.message import ID_BYTES_MAX
from leveret.tasks.why import why as ask_why

ROWS: Final = 50
ROWS_MAX: Final = 200
CANCEL_S: Final = 30.0
EVER: Final = 1e12
PLAIN: Final = ("started", "requeued", "dead-lettered", "dropped", "purged")
"""What happened to a task and says nothing of its content."""

Row = dict[str, Any]


@watched()
async def show(ask: Ask) -> Any:
    """The newest first. `q` is an id, a task's name, or a part of the arguments; without a history, what runs just now."""
    limit = ask.number("limit", ROWS, ROWS_MAX)
    if ask.history is None:
        return {"kept": False, "items": [row for row in await running_rows(ask) if fits(row, ask.query)][:limit]}
    before = moment(ask.query.get("before", ""))
    found: dict[tuple[str, str], TaskRow] = {}
    reads = await ask.parts.source.reads(ask.source)
    for wanted in filters(ask, await seen(ask), before, limit + 1):
        for row in await ask.history.tasks(wanted):
            if reads(row.vhost, row.queue):
                found[row.vhost, row.id] = row
            elif not wanted.argument:  # what was found by its arguments would tell them
                found[row.vhost, row.id] = without_content(row)
    rows = sorted(found.values(), key=lambda row: -row.changed)
    return {"kept": True, "items": rows[:limit], "more": len(rows) > limit}


async def seen(ask: Ask) -> tuple[str, ...]:
    """The virtual hosts of which something is asked, as far as the user may see them."""
    wanted = ask.query.get("vhost")
    return tuple(sorted(vhost for vhost in await ask.vhosts() if not wanted or vhost == wanted))


def without_content(row: TaskRow) -> TaskRow:
    """As it is told to those who may not read its queue's messages."""
    return msgspec.structs.replace(row, argument="", error="")


def filters(ask: Ask, vhosts: tuple[str, ...], before: float, limit: int) -> list[Filter]:
    """One for each way in which `q` may be meant; none if there is nothing to see."""
    if not vhosts:
        return []
    query = ask.query
    state = query.get("state", "")
    if state and state not in STATES:
        raise Refused(400, f"state is {state!r}, expected one of: {', '.join(STATES)}")
    base = Filter(
        id=query.get("id", ""),
        task=query.get("task", ""),
        queue=query.get("queue", ""),
        vhosts=vhosts,
        worker=query.get("worker", ""),
        argument=query.get("argument", ""),
        state=(state,) if state else (),
        before=before,
        limit=limit,
    )
    text = query.get("q", "").strip()
    if not text:
        return [base]
    replace = msgspec.structs.replace
    return [replace(base, id=text), replace(base, task=text), replace(base, argument=text)]


def moment(text: str) -> float:
    if not text:
        return EVER
    try:
        return float(text)
    except ValueError:
        raise Refused(400, f"before is {text!r}, expected seconds since 1970") from None


async def running_rows(ask: Ask) -> list[Row]:
    return [
        {
            "id": one.id,
            "vhost": vhost,
            "queue": one.queue,
            "task": one.task,
            "state": "running",
            "attempts": one.attempt,
            "worker": one.worker,
            "started": one.since,
            "changed": one.since,
        }
        for vhost, board in (await ask.boards()).items()
        for one in reversed(board.running())
    ]


def fits(row: Row, query: Mapping[str, str]) -> bool:
    text = query.get("q", "").strip()
    return (
        (not text or text in (row["id"], row["task"]))
        and query.get("state", "") in ("", row["state"])
        and query.get("queue", "") in ("", row["queue"])
    )


# ---- one of them


@watched()
async def one(ask: Ask) -> Any:
    """{row, life} of a task, as far as it is remembered; both are null if it is not."""
    (id,) = ask.names
    life = await remembered(ask, id)
    running = await running_of(ask, id)
    progress = {"done": running.done, "total": running.total, "text": running.text} if running is not None else None
    return {
        "id": id,
        "kept": ask.history is not None,
        "row": None if life is None else life.row,
        "life": [] if life is None else life.life,
        "progress": progress if progress is not None and progress["done"] is not None else None,
    }


async def remembered(ask: Ask, id: str) -> TaskLife | None:
    if ask.history is None:
        return None
    for vhost in await seen(ask):
        life = await ask.history.task(id, vhost)
        if life is not None:
            reads = await ask.parts.source.reads(ask.source)
            return life if reads(vhost, life.row.queue) else unread(life)
    return None


def unread(life: TaskLife) -> TaskLife:
    told = [entry if entry.what in PLAIN else Entry(entry.at, entry.what) for entry in life.life]
    return TaskLife(without_content(life.row), told)


async def running_of(ask: Ask, id: str) -> Running | None:
    for board in (await ask.boards()).values():
        for worker in board.workers.values():
            for running in worker.running.values():
                if running.id == id:
                    return running
    return None


async def why(ask: Ask) -> Any:
    """Why it has not run yet, without touching anything. `looked` is false where queues have to be looked into for that."""
    return await judged(ask, peeking=False)


async def look(ask: Ask) -> Any:
    """The same; what is looked at on the way is marked redelivered on brokers that have no other way to tell."""
    return await judged(ask, peeking=True)


async def judged(ask: Ask, peeking: bool) -> Row:
    (id,) = ask.names
    life = await remembered(ask, id)
    exact = await asks_no_peeking(ask.source.get)
    vhost = ask.query.get("vhost") or (life.row.vhost if life is not None else await likely_vhost(ask, id))
    beats = beats_of((await ask.boards()).get(vhost))
    last = life.row if life is not None else None
    known = None if last is None else Remembered(last.state, last.changed, last.queue, last.task)
    if exact or not peeking:
        found = await ask_why(id, None, vhost=vhost, get=ask.source.get, beats=beats, remembered=known)
    else:
        async with await connected(ask.source.amqp_url(vhost)) as connection:
            found = await ask_why(id, connection, vhost=vhost, get=ask.source.get, beats=beats, remembered=known)
    return {**asdict(found), "vhost": vhost, "looked": exact or peeking}


async def likely_vhost(ask: Ask, id: str) -> str:
    """Where a task is of which nothing is remembered."""
    seen = sorted(await ask.vhosts(), key=lambda vhost: (vhost != "/", vhost))
    for vhost, board in (await ask.boards()).items():
        if any(running.id == id for worker in board.workers.values() for running in worker.running.values()):
            return vhost
    return seen[0] if seen else "/"


def beats_of(board: Board | None) -> list[Beat]:
    """What workers said last, with what was heard since."""
    if board is None:
        return []
    return [
        msgspec.structs.replace(
            worker.beat,
            busy=worker.busy,
            running=[
                Told(
                    task=one.task,
                    id=one.id,
                    queue=one.queue,
                    attempt=one.attempt,
                    since=one.since,
                    done=one.done,
                    total=one.total,
                    text=one.text,
                )
                for one in worker.running.values()
            ],
        )
        for worker in board.workers.values()
    ]


async def cancel(ask: Ask) -> Any:
    (id,) = ask.names
    if not 0 < len(id.encode()) <= ID_BYTES_MAX:
        raise Refused(400, f"no task with an id of more than {ID_BYTES_MAX} bytes can be cancelled")
    vhost = ask.text("vhost")
    async with await connected(ask.source.amqp_url(vhost)) as connection:
        await cancel_task(connection, id, CANCEL_S)
    return {}


TABLE: Table = {
    "tasks": {"GET": show},
    "tasks/*": {"GET": one},
    "tasks/*/why": {"GET": why},
    "tasks/*/look": {"POST": look},
    "tasks/*/cancel": {"POST": cancel},
}
