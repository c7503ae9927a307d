"""Leveret: a work queue for Python, with a durable AMQP 0-9-1 broker inside.

from leveret import WorkQueue, current_task
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leveret.tasks import (
        Reject,
        Retries,
        Retry,
        TaskCancelled,
        TaskFailed,
        TimeLimitExceeded,
        WorkQueue,
        chain,
        current_message,
        current_task,
        group,
        inject,
        wait_many,
    )

__version__ = "0.1.0"

__all__ = [
    "Reject",
    "Retries",
    "Retry",
    "TaskCancelled",
    "TaskFailed",
    "TimeLimitExceeded",
    "WorkQueue",
    "chain",
    "current_message",
    "current_task",
    "group",
    "inject",
    "wait_many",
]


def __getattr__(name: str) -> object:
    """Looked up when asked for: whoever needs a part of the package loads no more than that part."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module("leveret.tasks"), name)
    return found
