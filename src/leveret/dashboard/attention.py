"""What somebody ought to look at, the gravest first. Pure: figures in, signs out. Used by pages/overview."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from leveret.board.board import Board

SHOWN: Final = 12
GRAVE: Final = "grave"
WARNING: Final = "warning"
WEIGHT: Final = {GRAVE: 0, WARNING: 1}


class Sign(NamedTuple):
    """`subject` is a name that somebody chose, `text` what is the matter with it, `href` where it is seen."""

    severity: str
    kind: str
    subject: str
    text: str
    href: str
    weight: float = 0.0


def in_queues(rows: Iterable[Mapping[str, Any]]) -> list[Sign]:
    found = []
    for row in rows:
        if row["own"]:
            continue
        at = f"#/queues/{quote(row['vhost'], safe='')}/{quote(row['name'], safe='')}"
        if row["ready"] and not row["consumers"]:
            text = many(row["ready"], "message waits and nobody takes it", "messages wait and nobody takes them")
            found.append(Sign(GRAVE, "no-consumers", row["name"], text, at, row["ready"]))
        elif row["growing"]:
            text = f"{row['in_rate']:.1f} come and {row['out_rate']:.1f} go each second"
            found.append(Sign(WARNING, "growing", row["name"], text, at, row["ready"]))
        if row["dead"]:
            text = many(row["dead"], "task failed for good", "tasks failed for good")
            there = at.replace("#/queues/", "#/failures/", 1)
            found.append(Sign(WARNING, "dead-letters", row["name"], text, there, row["dead"]))
    return found


def in_workers(boards: Mapping[str, Board], now: float) -> list[Sign]:
    return [
        Sign(
            GRAVE,
            "worker-lost",
            worker.place,
            f"this worker was last heard of {now - worker.heard:.0f} s ago",
            "#/workers",
        )
        for board in boards.values()
        for worker in board.workers.values()
        if board.connected and worker.lost(now)
    ]


def many(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"


def ordered(signs: Iterable[Sign]) -> list[Sign]:
    return sorted(signs, key=lambda sign: (WEIGHT[sign.severity], -sign.weight, sign.subject))[:SHOWN]
