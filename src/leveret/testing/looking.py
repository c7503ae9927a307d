"""The messages of a queue in the words of the program: which task, with what arguments, due when. Used by harness."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from leveret.errors import TaskError
from leveret.tasks import Consumer, Message, Task, WorkQueue
from leveret.tasks.message import ATTEMPT
from leveret.testing.place import Waiting


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A message that waits. `due` is how long it still waits before it is ready; `attempt` the one that comes, from 1.

    A plain message, and one whose task the program does not know, has its body as its only argument.
    """

    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    queue: str
    id: str
    attempt: int = 1
    due: timedelta = timedelta()
    body: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        later = f" in {self.due}" if self.due else ""
        again = f", attempt {self.attempt}" if self.attempt > 1 else ""
        return f"{described(self.task, self.args, self.kwargs)}{later}{again} (queue {self.queue!r})"


def described(task: str, args: Iterable[object], kwargs: dict[str, Any]) -> str:
    shown = [repr(one) for one in args] + [f"{name}={value!r}" for name, value in kwargs.items()]
    return f"{task}({', '.join(shown)})"


def enqueued(work: WorkQueue, waiting: Waiting) -> Enqueued:
    properties = waiting.properties
    handler = work.handler(waiting.queue, properties.type or "")
    name = handler.name if isinstance(handler, Consumer) else properties.type or ""
    args, kwargs = _arguments(handler, waiting)
    failed = (properties.headers or {}).get(ATTEMPT, 0)
    attempt = failed + 1 if isinstance(failed, int) else 1
    due = timedelta(milliseconds=waiting.due_in_ms)
    return Enqueued(name, args, kwargs, waiting.queue, properties.message_id or "", attempt, due, waiting.body)


def _arguments(handler: object, waiting: Waiting) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(handler, Task):
        try:
            return handler.arguments(Message(waiting.queue, waiting.body, waiting.properties, 1, False))
        except TaskError:
            pass  # shown as it is
    return (waiting.body,), {}


def same_call(task: Task[..., Any, Any], one: Enqueued, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether it calls the task so, whichever arguments were given by name and which defaults were left out."""
    wanted = task.signature.decode(task.signature.encode(args, kwargs))
    try:
        return _bound(task, *wanted) == _bound(task, one.args, one.kwargs)
    except TypeError:  # its arguments do not fit the function
        return False


def _bound(task: Task[..., Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    bound = inspect.signature(task.__wrapped__).bind(*args, **kwargs)  # type: ignore[attr-defined]
    bound.apply_defaults()
    return bound.arguments
