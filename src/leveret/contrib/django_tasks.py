"""Django's own tasks (django.tasks, Django 6 and newer), sent to Leveret's workers.

    TASKS = {"default": {"BACKEND": "leveret.contrib.django_tasks.LeveretBackend", "QUEUES": ["default"], "OPTIONS": {}}}

    DJANGO_SETTINGS_MODULE=settings leveret worker leveret.contrib.django_worker

OPTIONS, all of which may be left out, are those of WorkQueue: "url", "retry" (Retries) and "send_timeout_s". In messages a
task's name is the dotted path of its function; the worker imports it, and runs it if it is a Django task. Arguments stay the
plain JSON they are for every backend: annotations are not looked at. Results are not kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from inspect import iscoroutinefunction
from math import ceil
from typing import Any

import msgspec
from django.core.exceptions import ImproperlyConfigured
from django.tasks import Task, TaskContext, TaskResult, TaskResultStatus
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import TaskError as TaskFailure
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.utils.json import normalize_json
from django.utils.module_loading import import_string
from django.utils.timezone import is_naive, make_aware

from leveret.contrib.django_db import DatabaseConnections
from leveret.errors import PartlySent
from leveret.tasks import (
    Call,
    Cancelled,
    Done,
    Failed,
    Handler,
    Message,
    Middleware,
    Outcome,
    Retries,
    Sent,
    WorkQueue,
    current_message,
)
from leveret.tasks import (
    Task as LeveretTask,
)

log = logging.getLogger("leveret.django")


class LeveretBackend(BaseTaskBackend):  # type: ignore[misc]
    """Django makes one for each thread; `work` is the same for all of them."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = False
    supports_priority = False

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        if not self.queues:
            raise ImproperlyConfigured(
                f'TASKS["{alias}"]["QUEUES"] is empty: name the queues, for workers have to know them'
            )
        self.work: DjangoQueue = _work(alias, tuple(sorted(self.queues)), tuple(sorted(self.options.items())))

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Returns once the broker has confirmed that it keeps the task. Errors are those of leveret's Task.send."""
        self.validate_task(task)
        call = _call(self.work, task, args, kwargs)
        try:
            (sent,) = self.work.send_many([call])
        except PartlySent as error:
            raise error.errors[0] from None
        return self._enqueued(task, sent, args, kwargs)

    async def aenqueue(self, task: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        self.validate_task(task)
        call = _call(self.work, task, args, kwargs)
        try:
            (sent,) = await self.work.send_many_async([call])
        except PartlySent as error:
            raise error.errors[0] from None
        return self._enqueued(task, sent, args, kwargs)

    def _enqueued(self, task: Any, sent: Sent[Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        result = _result(task, sent.id, self.alias, args, kwargs, enqueued_at=datetime.now(UTC))
        task_enqueued.send(type(self), task_result=result)
        return result


@cache
def _work(alias: str, queues: tuple[str, ...], options: tuple[tuple[str, Any], ...]) -> DjangoQueue:
    """One for a process, and with it one connection, however many threads there are."""
    return DjangoQueue(alias, queues, **dict(options))


class DjangoQueue(WorkQueue):
    """Reads the queues of a backend, and takes Django's tasks as their messages come. Tasks of its own it may have too."""

    def __init__(
        self, alias: str, queues: Sequence[str], *, url: str | None = None, retry: Retries | None = None, **options: Any
    ) -> None:
        middleware = (DatabaseConnections(), Signals(self))
        super().__init__(url, name="django", retry=retry or Retries(), middleware=middleware, **options)
        self.alias = alias
        self._names = list(queues)

    def queues(self) -> list[str]:
        return list(dict.fromkeys([*self._names, *super().queues()]))

    def handler(self, queue: str, task: str) -> Handler[..., Any] | None:
        known = super().handler(queue, task)
        if known is None and (found := django_task(task)) is not None:
            known = self.task(name=task, queue=found.queue_name)(_function(found, self.alias))
        return known


def django_task(path: str) -> Any | None:
    """The Django task of that dotted path; None if there is none, or its module cannot be imported."""
    try:
        found = import_string(path)
    except Exception as error:  # whatever that module does
        log.error("there is no task %s: %s: %s", path, type(error).__name__, error)
        return None
    return found if isinstance(found, Task) else None


def _function(task: Any, alias: str) -> Callable[..., Any]:
    """Without the annotations of the task's function: arguments are handed on as they are."""
    if iscoroutinefunction(task.func):

        async def run_async(*args: Any, **kwargs: Any) -> Any:
            return normalize_json(await task.func(*_context(task, alias, args, kwargs), *args, **kwargs))

        return run_async

    def run(*args: Any, **kwargs: Any) -> Any:
        return normalize_json(task.func(*_context(task, alias, args, kwargs), *args, **kwargs))

    return run


def _context(task: Any, alias: str, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The first argument of a task that takes its context; of others nothing."""
    message = current_message()
    if not task.takes_context or message is None:
        return ()
    return (TaskContext(task_result=_running(task, message, alias, args, kwargs)),)


def _call(work: DjangoQueue, task: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Call[Any]:
    sent = work.handler(task.queue_name, task.module_path)
    if not isinstance(sent, LeveretTask):
        raise ImproperlyConfigured(f"{task.module_path} names no task")
    delay_s = _delay_ms(task.run_after) / 1000
    options = sent.options(delay=delay_s, queue=task.queue_name)
    return options.call(*normalize_json(list(args)), **normalize_json(kwargs))


def _delay_ms(run_after: datetime | None) -> int:
    if run_after is None:
        return 0
    due = make_aware(run_after) if is_naive(run_after) else run_after
    return max(0, ceil((due - datetime.now(UTC)).total_seconds() * 1000))


# ---- what Django is told


class Signals(Middleware):
    """task_started before each attempt; task_finished after the last one. An attempt that is repeated has not finished."""

    def __init__(self, work: DjangoQueue) -> None:
        self._work = work

    def before(self, message: Message) -> None:
        if (result := self._running(message)) is not None:
            task_started.send(LeveretBackend, task_result=result)

    def after(self, message: Message, outcome: Outcome) -> None:
        if isinstance(outcome, Failed | Cancelled) or (result := self._running(message)) is None:
            return
        object.__setattr__(result, "finished_at", datetime.now(UTC))
        if isinstance(outcome, Done):
            object.__setattr__(result, "_return_value", outcome.value)
            object.__setattr__(result, "status", TaskResultStatus.SUCCESSFUL)
        else:
            failure = outcome.failure
            name = failure.exception if "." in failure.exception else f"builtins.{failure.exception}"
            result.errors.append(TaskFailure(exception_class_path=name, traceback=failure.traceback))
            object.__setattr__(result, "status", TaskResultStatus.FAILED)
        task_finished.send(LeveretBackend, task_result=result)

    def _running(self, message: Message) -> Any | None:
        task = django_task(message.task)
        if task is None:  # one of the queue's own
            return None
        call = msgspec.json.decode(message.body)
        return _running(task, message, self._work.alias, call.get("args", []), call.get("kwargs", {}))


def _running(task: Any, message: Message, alias: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    sent = message.properties.timestamp
    result = _result(task, message.id, alias, args, kwargs, enqueued_at=sent if isinstance(sent, datetime) else None)
    now = datetime.now(UTC)
    for name, value in (("status", TaskResultStatus.RUNNING), ("started_at", now), ("last_attempted_at", now)):
        object.__setattr__(result, name, value)
    result.worker_ids.extend(["leveret"] * message.attempt)  # Django counts attempts so
    return result


def _result(
    task: Any, id: str, alias: str, args: Sequence[Any], kwargs: dict[str, Any], enqueued_at: datetime | None
) -> Any:
    return TaskResult(
        task=task,
        id=id,
        status=TaskResultStatus.READY,
        enqueued_at=enqueued_at,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=list(args),
        kwargs=kwargs,
        backend=alias,
        errors=[],
        worker_ids=[],
    )
