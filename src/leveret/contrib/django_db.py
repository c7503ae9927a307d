"""Django's database connections in a worker: what a web request does around each view, done around each task.

    work = WorkQueue(middleware=[DatabaseConnections()])

Each thread of a worker has its own connection, open for as long as CONN_MAX_AGE says. Without this, one that the database
has closed would fail all tasks of its thread. For plain functions: async ones use connections of other threads.
"""

from __future__ import annotations

from django.db import close_old_connections

from leveret.tasks.message import Message
from leveret.tasks.middleware import Middleware
from leveret.tasks.outcome import Outcome


class DatabaseConnections(Middleware):
    """Closes what is unusable or too old, before the task and after it."""

    def before(self, message: Message) -> None:
        close_old_connections()

    def after(self, message: Message, outcome: Outcome) -> None:
        close_old_connections()
