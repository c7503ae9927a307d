"""How all processes of a worker fare, together: in JSON for /health and /ready, and in Prometheus' text for /metrics.

Sums, so that whoever scrapes needs to know nothing of processes; what one counted that is gone stays counted. Plain functions of
what supervisor or inprocess has seen; served by health.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from leveret.worker.counts import Count
from leveret.worker.status import Status

RESPONSIVE_S: Final = 10.0
"""A process is expected to tell each second how it fares. One that has not for so long does not turn its loop."""


class Seen(msgspec.Struct, frozen=True):
    """A process, and what it last said, so long ago; None: nothing yet."""

    pid: int | None
    status: Status | None
    age_s: float

    @property
    def responsive(self) -> bool:
        return self.status is not None and self.age_s < RESPONSIVE_S

    @property
    def healthy(self) -> bool:
        return self.status is not None and self.responsive and self.status.connected

    @property
    def ready(self) -> bool:
        return self.status is not None and self.healthy and self.status.ready


class Overview(msgspec.Struct, frozen=True):
    """`restarts`: how many processes were started in place of others."""

    processes: list[Seen]
    counts: list[Count]
    restarts: int

    @property
    def healthy(self) -> bool:
        """All are there, connected, and turn their loops."""
        return all(seen.healthy for seen in self.processes)

    @property
    def ready(self) -> bool:
        """One takes tasks, at least."""
        return any(seen.ready for seen in self.processes)


def as_json(overview: Overview) -> dict[str, Any]:
    return {
        "healthy": overview.healthy,
        "ready": overview.ready,
        "restarts": overview.restarts,
        "processes": [_process(seen) for seen in overview.processes],
    }


def _process(seen: Seen) -> dict[str, Any]:
    status = seen.status
    if status is None:
        return {"pid": seen.pid, "connected": False, "responsive": False, "ready": False}
    oldest = status.oldest
    return {
        "pid": status.pid,
        "started": datetime.fromtimestamp(status.started_s, UTC).isoformat(timespec="seconds"),
        "connected": status.connected,
        "responsive": seen.responsive,
        "ready": seen.ready,
        "queues": status.queues,
        "slots": status.slots,
        "busy": status.busy,
        "oldest_running": oldest and {"task": oldest.task, "id": oldest.id, "for_s": round(oldest.for_s, 3)},
        "done": sum(count.done for count in status.counts),
        "failed": sum(count.failed for count in status.counts),
    }


# ---- Prometheus

COUNTERS: Final = {
    "done": "Tasks that were done.",
    "failed": "Attempts that raised, or crashed the process that they had to themselves.",
    "crashed": "Attempts that crashed the process that they had to themselves.",
    "retried": "Attempts that failed, and went back to be tried again.",
    "parked": "Tasks that went to the dead letters.",
    "cancelled": "Tasks that were cancelled.",
}


def as_metrics(overview: Overview) -> str:
    """In the text format 0.0.4."""
    lines: list[str] = []
    for name, text in COUNTERS.items():
        values = [(_labels(count), getattr(count, name)) for count in overview.counts]
        lines += _family(f"leveret_tasks_{name}_total", "counter", text, values)
    running = [(_labels(count), count.running) for count in overview.counts]
    lines += _family("leveret_tasks_running", "gauge", "Tasks that run just now.", running)
    told = [seen.status for seen in overview.processes if seen.status is not None]
    oldest_s = max((status.oldest.for_s for status in told if status.oldest is not None), default=0.0)
    for name, text, value in (
        ("processes", "Worker processes that are wanted.", len(overview.processes)),
        ("processes_healthy", "Of these, connected and responsive.", sum(one.healthy for one in overview.processes)),
        ("processes_ready", "Of these, taking tasks.", sum(one.ready for one in overview.processes)),
        ("slots", "Tasks that may run at a time.", sum(status.slots for status in told)),
        ("busy", "Messages that are being worked on.", sum(status.busy for status in told)),
        ("oldest_running_seconds", "How long the task has run that has run longest.", round(oldest_s, 3)),
    ):
        lines += _family(f"leveret_worker_{name}", "gauge", text, [("", value)])
    lines += _family(
        "leveret_worker_restarts_total", "counter", "Processes started in place of others.", [("", overview.restarts)]
    )
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, text: str, values: Iterable[tuple[str, float]]) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *(f"{name}{labels} {value}" for labels, value in values)]


def _labels(count: Count) -> str:
    return f'{{queue="{_escaped(count.queue)}",task="{_escaped(count.task)}"}}'


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
