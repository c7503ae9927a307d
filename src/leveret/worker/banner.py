"""What a worker says of itself when it starts: one screen at most. Used by supervisor and inprocess."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from leveret import __version__
from leveret.worker.options import Options
from leveret.worker.status import About

NAMES_MAX: Final = 12


def banner(app: str, options: Options, about: About, health: str = "") -> str:
    """Several lines. `health` is where that can be asked for."""
    most = max(len(about.tasks), len(about.schedules)) if options.verbose else NAMES_MAX
    by_process = ", each task in a process of its own" if options.process_per_task else ""
    lines = [
        f"leveret {__version__} works for {app}",
        f"  broker     {about.broker}",
        f"  queues     {_some(about.queues, NAMES_MAX)}",
        f"  at a time  {options.processes} × {options.threads} tasks (processes × threads){by_process}",
        f"  tasks      {_some(about.tasks, most)}",
    ]
    if about.schedules:
        lines += [f"  schedules  {about.schedules[0]}", *(f"             {one}" for one in about.schedules[1:most])]
        lines += (
            [f"             and {len(about.schedules) - most} more (--verbose)"] if len(about.schedules) > most else []
        )
    if health:
        lines.append(f"  health     {health}")
    return "\n".join(lines)


def _some(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most} more (--verbose)" if len(names) > most else ""
    return ", ".join(names[:most]) + more
