"""What happened here: a bounded memory of tasks, of queues' figures and of failures, in one SQLite file.

    history = History.open(directory / FILE, Limits())
    history.take(events, now)                       # what workers said (leveret.tasks.events)
    history.sample(figures, now)                    # how queues stand, every few seconds
    rows = await history.tasks(Filter(queue="mail", state="parked"))
    await history.close()

Fed by whoever hears events and asks for figures (cli/remembering in the broker's process); read by the dashboard.
"""

from leveret.history.history import FILE, History
from leveret.history.rows import (
    STATES,
    Entry,
    Figures,
    Filter,
    Limits,
    Notice,
    Of,
    Series,
    State,
    TaskLife,
    TaskRow,
    Trend,
)

__all__ = [
    "FILE",
    "STATES",
    "Entry",
    "Figures",
    "Filter",
    "History",
    "Limits",
    "Notice",
    "Of",
    "Series",
    "State",
    "TaskLife",
    "TaskRow",
    "Trend",
]
