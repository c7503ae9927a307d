"""The four panels as tables of text: their columns, and their rows sorted and filtered as the view says. Pure; used by drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from rich.text import Text

from leveret.board.board import Board, Failure, Queue, Running, Worker, seconds
from leveret.top.view import FAILURES, QUEUES, RUNNING, WORKERS, View

EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
BAR: Final = 10
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Column:
    """`width` in characters; `share` of what is left instead, if that is not 0. `counted`: how many rows there are stands there."""

    title: str
    width: int = 0
    share: int = 0
    justify: Literal["left", "right"] = "left"
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """`items` are all that are to be seen, in their order, `row` makes the row of one; `nothing` stands there if there are none."""

    name: str
    columns: tuple[Column, ...]
    items: Sequence[Any]
    row: Callable[[Any], list[Text]]
    nothing: str


def number(title: str, width: int) -> Column:
    return Column(title, width, justify="right")


COLUMNS: Final = {
    QUEUES: (
        Column("QUEUE", share=1, counted=True),
        *(number("READY", 8), number("DEAD", 7), number("READERS", 7)),
        *(number("DONE/S", 8), number("FAIL/S", 7), number("FAILED", 7)),
    ),
    WORKERS: (
        Column("WORKER", share=2, counted=True),
        Column("BUSY", 20),
        *(number("RAN", 8), number("MB", 5), number("UP", 6)),
        Column("NOW", share=3),
    ),
    RUNNING: (
        number("AGE", 6),
        Column("RUNNING", share=3, counted=True),
        Column("QUEUE", share=2),
        number("TRY", 3),
        Column("PROGRESS", share=3),
        Column("WORKER", share=2),
    ),
    FAILURES: (
        number("AGO", 6),
        Column("FAILED", share=2, counted=True),
        number("TRY", 3),
        Column("THEN", 17),
        Column("ERROR", share=4),
    ),
}


def clean(text: str) -> str:
    """What somebody else wrote, on one line and without what a terminal would obey."""
    return "".join(
        one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" if one not in "\n\t\r" else " " for one in text
    )


def share(part: float, whole: float) -> float:
    """Between 0 and 1, whatever somebody says."""
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0


def bar(part: float, whole: float, width: int, style: str) -> Text:
    """`part` of `whole`, in eighths of a character."""
    full, rest = divmod(round(share(part, whole) * width * 8), 8)
    drawn = "█" * full + (EIGHTHS[rest] if rest else "")
    return Text(drawn, style=style).append("·" * (width - len(drawn)), style="dim")


# ---- queues


def queues(board: Board, view: View, now: float) -> Panel:
    keys: dict[str, Callable[[Queue], Any]] = {
        "name": lambda row: row.name,
        "ready": lambda row: -(row.ready or 0),
        "done": lambda row: -row.done.per_s(now),
        "failed": lambda row: -row.failed.total,
    }
    chosen = [row for row in board.queues.values() if fits(view, row.name)]
    chosen.sort(key=keys[view.order(QUEUES)])
    return Panel(QUEUES, COLUMNS[QUEUES], chosen, lambda row: _queue(row, now), "no queue is known yet")


def _queue(row: Queue, now: float) -> list[Text]:
    failed = row.failed.total
    return [
        Text(clean(row.name)),
        _count(row.ready),
        _count(row.dead, "red" if row.dead else ""),
        _count(row.consumers, "yellow" if row.consumers == 0 else ""),
        Text(rate(row.done.per_s(now))),
        Text(rate(row.failed.per_s(now))),
        Text(str(failed), style="red" if failed else ""),
    ]


def _count(value: int | None, style: str = "") -> Text:
    return Text("-", style="dim") if value is None else Text(str(value), style=style)


def rate(per_s: float) -> str:
    return f"{per_s:.1f}" if per_s < 99.95 else str(round(per_s))


# ---- workers


def workers(board: Board, view: View, now: float) -> Panel:
    keys: dict[str, Callable[[Worker], Any]] = {
        "name": lambda row: (row.beat.host, row.beat.pid),
        "busy": lambda row: -row.busy,
        "ran": lambda row: -row.beat.ran,
        "memory": lambda row: -row.beat.memory_bytes,
    }
    chosen = [
        row
        for row in board.workers.values()
        if fits(view, row.place, row.beat.program, *row.beat.queues, *(one.task for one in row.running.values()))
    ]
    chosen.sort(key=keys[view.order(WORKERS)])
    nothing = "no worker is heard of: `leveret worker PROGRAM` starts one"
    return Panel(WORKERS, COLUMNS[WORKERS], chosen, lambda row: _worker(row, board, now), nothing)


def _worker(row: Worker, board: Board, now: float) -> list[Text]:
    beat = row.beat
    lost = board.connected and row.lost(now)
    busy = Text.assemble(bar(row.busy, beat.slots, BAR, "green"), f" {row.busy}/{beat.slots}")
    return [
        Text(clean(row.place), style="red" if lost else ""),
        Text(f"lost, silent {seconds(now - row.heard)}", style="red") if lost else busy,
        Text(str(beat.ran)),
        Text(str(beat.memory_bytes // MIB)),
        Text(seconds(now - beat.started - row.skew_s)),
        _now(row, now),
    ]


def _now(row: Worker, now: float) -> Text:
    told = "  ".join(
        f"{clean(one.task) or 'a message'} {seconds(now - one.since)}{percent(one)}"
        for one in sorted(row.running.values(), key=lambda one: one.since)[:8]
    )
    leaving = row.beat.state in ("quiet", "stopping")
    return Text.assemble((f"{row.beat.state}  ", "yellow"), told) if leaving else Text(told)


def percent(one: Running) -> str:
    if one.done is None or not one.total or one.total <= 0:
        return ""
    return f" {round(100 * share(one.done, one.total))}%"


# ---- running tasks


def running(board: Board, view: View, now: float) -> Panel:
    places = {id: worker.place for id, worker in board.workers.items()}
    keys: dict[str, Callable[[Running], Any]] = {
        "age": lambda one: one.since,
        "task": lambda one: one.task,
        "queue": lambda one: one.queue,
        "worker": lambda one: places[one.worker],
    }
    chosen = [one for one in board.running() if fits(view, one.task, one.id, one.queue, one.text, places[one.worker])]
    chosen.sort(key=keys[view.order(RUNNING)])
    return Panel(
        RUNNING, COLUMNS[RUNNING], chosen, lambda one: _running(one, places[one.worker], now), "nothing runs just now"
    )


def _running(one: Running, place: str, now: float) -> list[Text]:
    return [
        Text(seconds(now - one.since), style="cyan"),
        Text(clean(one.task) or "a message"),
        Text(clean(one.queue)),
        Text(str(one.attempt), style="yellow" if one.attempt > 1 else ""),
        _progress(one),
        Text(clean(place)),
    ]


def _progress(one: Running) -> Text:
    if one.done is None:
        return Text()
    if not one.total or one.total <= 0:
        return Text(f"{one.done:g} {clean(one.text)}")
    return Text.assemble(bar(one.done, one.total, 6, "cyan"), f"{percent(one)} {clean(one.text)}")


# ---- what failed of late


def failures(board: Board, view: View, now: float) -> Panel:
    keys: dict[str, Callable[[Failure], Any]] = {
        "newest": lambda one: -one.at,
        "task": lambda one: one.task,
        "queue": lambda one: one.queue,
    }
    chosen = [one for one in board.failures if fits(view, one.task, one.id, one.queue, one.what, one.error)]
    chosen.sort(key=keys[view.order(FAILURES)])
    nothing = "nothing has failed since this began"
    return Panel(FAILURES, COLUMNS[FAILURES], chosen, lambda one: _failure(one, now), nothing)


def _failure(one: Failure, now: float) -> list[Text]:
    return [
        Text(seconds(now - one.at)),
        Text(clean(one.task) or "a message"),
        Text(str(one.attempt)),
        Text(clean(one.what), style="red" if one.parked else "yellow"),
        Text(clean(one.error)),
    ]


def fits(view: View, *texts: str) -> bool:
    return not view.filter or any(view.filter.lower() in text.lower() for text in texts)


def all_of(board: Board, view: View, now: float) -> Iterable[Panel]:
    return (panel(board, view, now) for panel in (queues, workers, running, failures))
