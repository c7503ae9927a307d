"""How the processes that run tasks write their logs: with the task that is running on every line.

A record of whatever logger, the task's own code included, has the attributes task, id, queue and attempt while a task runs in its
thread or asyncio task. Used by alone, child and zygote; what a line looks like stands in lines.
"""

from __future__ import annotations

import logging

from leveret.tasks import Message, current_message
from leveret.worker import lines
from leveret.worker.options import Options


def set_up(options: Options) -> None:
    """For processes of our own."""
    lines.set_up(options, name_task)


def fields(message: Message) -> dict[str, object]:
    """What names a task on a line of log; `extra` of a record that is written elsewhere than in the task."""
    return {"task": message.task, "id": message.id, "queue": message.queue, "attempt": message.attempt}


def name_task(record: logging.LogRecord) -> bool:
    """A logging filter that lets everything through, and adds the task that is running."""
    message = None if hasattr(record, "attempt") else current_message()
    if message is not None:
        record.__dict__.update(fields(message))
        record.by_task = True
    return True
