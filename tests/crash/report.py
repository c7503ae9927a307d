"""The table of the runs, a row each."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from crash.checker import Verdict
from crash.driver import Plan

COLUMNS = (
    *("broker", "queues", "kills", "broker", "worker", "publisher", "sent", "confirmed", "done", "lost", "invented"),
    *("repeated", "unexplained", "acks certain", "order broken", "counts fallen", "other", "slowest recovery"),
)


def table(results: Iterable[tuple[Plan, Verdict]]) -> Table:
    shown = Table(*COLUMNS, title="Killed at random (SIGKILL)")
    for plan, verdict in results:
        shown.add_row(*row(plan, verdict))
    return shown


def row(plan: Plan, verdict: Verdict) -> list[str]:
    kills = verdict.kills
    other = len(verdict.unflagged) + len(verdict.cut) + len(verdict.left)
    numbers = [
        *(sum(kills.values()), kills["broker"], kills["worker"], kills["publisher"]),
        *(verdict.sent, verdict.confirmed, verdict.done, _lost(verdict), len(verdict.invented)),
        *(verdict.repeated, len(verdict.unexplained), verdict.certain, len(verdict.disordered), len(verdict.fallen)),
        other,
    ]
    return [plan.broker, plan.queue_type, *map(str, numbers), f"{verdict.recovery_slowest_s:.2f} s"]


def _lost(verdict: Verdict) -> str:
    """RabbitMQ promises dead letters of classic queues no safety, so they are told apart."""
    dead_letters = verdict.lost_of.get("delayed", 0)
    return f"{len(verdict.lost)} ({dead_letters} dead letters)" if dead_letters else str(len(verdict.lost))
