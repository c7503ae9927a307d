"""The pages' JSON: a module for each view, with its TABLE of routes and the functions that answer them."""

from typing import Final

from leveret.dashboard.ask import Table
from leveret.dashboard.pages import (
    failures,
    overview,
    pausing,
    queue,
    queues,
    schedules,
    series,
    tasks,
    unacked,
    workers,
)

TABLES: Final[tuple[Table, ...]] = (
    overview.TABLE,
    queues.TABLE,
    queue.TABLE,
    pausing.TABLE,
    series.TABLE,
    workers.TABLE,
    tasks.TABLE,
    failures.TABLE,
    schedules.TABLE,
    unacked.TABLE,
)
