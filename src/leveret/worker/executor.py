"""One message through named steps: find -> decode -> before -> run -> after, ending in a named Outcome. What is injected into the
function is part of `run`: a provider that fails is an attempt that failed.

A step that ends the journey returns the outcome; None means go on. What happens to the message then is settle's
affair, and which thread or loop runs it is the worker's. No I/O, no state between messages.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final

from leveret.errors import TaskCancelled, TaskCrashed, TaskError, TimeLimitExceeded
from leveret.tasks import (
    Cancelled,
    Crashed,
    Done,
    Failed,
    Failure,
    Handler,
    Message,
    Middleware,
    Outcome,
    Parked,
    TaskContext,
    WorkQueue,
)
from leveret.tasks.context import cancel_on_loop, running
from leveret.tasks.message import DELIVERIES_MAX
from leveret.tasks.outcome import ARGUMENTS, ATTEMPTS, CRASHES, NOT_RETRIED, PROPERTIES, REJECTED, UNKNOWN_TASK
from leveret.tasks.retries import Reject
from leveret.worker.interrupt import Interrupt

log = logging.getLogger("leveret.worker")

CRASHES_MAX: Final = 5
"""So often a message may come back from workers that were killed, or lost their broker, while they had it."""

PLAIN: Final = frozenset({bool, int, float, str, bytes, list, dict, tuple})
"""Most results are of these, and have nothing that waits to be run."""

UNINTERRUPTED: Final = nullcontext()
OWN_FRAMES: Final = 1
"""A traceback begins in the function that caught the error, which is this module's."""


class Job:
    """A message on its way, and who takes it. `interrupt` reaches the thread of a plain function while that runs, if it has
    a time limit."""

    __slots__ = ("args", "clock", "context", "entered", "error", "handler", "interrupt", "kwargs", "middleware")

    def __init__(
        self,
        context: TaskContext,
        handler: Handler[..., Any],
        middleware: tuple[Middleware, ...] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        interrupt: Interrupt | None = None,
    ) -> None:
        self.context = context
        self.handler = handler
        self.middleware = middleware
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.clock = clock
        self.interrupt = interrupt
        self.entered = 0
        """So many of the middleware have let it in, and are told how it ended."""
        self.error: BaseException | None = None
        """What it raised, until they have been told."""

    @property
    def message(self) -> Message:
        return self.context.message


def perform(job: Job) -> Outcome:
    """All steps of a plain function, in the calling thread."""
    with running(job.context):
        return decode(job) or conclude(job, before(job) or run(job))


async def perform_async(job: Job) -> Outcome:
    """All steps of an async function, on the running loop. Raises CancelledError only if it is itself cancelled."""
    with running(job.context):
        return decode(job) or conclude(job, before(job) or await run_async(job))


# ---- the steps


def find(work: WorkQueue, message: Message) -> Handler[..., Any] | Parked:
    """Who takes it; or that nobody can."""
    if not message.readable:
        return _refused(PROPERTIES, "the message's properties are no AMQP")
    handler = work.handler(message.queue, message.task)
    if handler is None:
        return _refused(UNKNOWN_TASK, f"this worker knows no task {message.task!r} (queue {message.queue!r})")
    if message.attempt > handler.retries.attempts:
        return _refused(ATTEMPTS, f"{message.attempt - 1} attempts failed")
    if message.deliveries > DELIVERIES_MAX:
        return _refused(ATTEMPTS, f"it came back {message.deliveries} times without an answer from its worker")
    if message.crashes > CRASHES_MAX:
        return _refused(CRASHES, f"{message.crashes} times the worker died or lost its broker that had begun with it")
    return handler


def decode(job: Job) -> Outcome | None:
    try:
        job.args, job.kwargs = job.handler.arguments(job.message)
    except BaseException as error:  # TaskError; and a dataclass of the program's may raise anything while it is made
        return Parked(ARGUMENTS, Failure.of(error, OWN_FRAMES))
    return None


def before(job: Job) -> Outcome | None:
    started = job.clock()
    try:
        for one in job.middleware:
            one.before(job.message)
            job.entered += 1
    except BaseException as error:
        return _failed(job, error, started)
    return None


def run(job: Job) -> Outcome:
    started = job.clock()
    job.context.begin()
    try:
        with job.interrupt or UNINTERRUPTED:
            if job.handler.needs is None:
                value = job.handler.function(*job.args, **job.kwargs)
            else:
                with job.handler.providers.given(job.handler.needs, job.context) as given:
                    value = job.handler.function(*job.args, **job.kwargs, **given)
        _refuse_unfinished(value)
    except BaseException as error:  # SystemExit too: a task ends itself by it, never its worker
        return _failed(job, error, started)
    return Done(value, job.clock() - started)


async def run_async(job: Job) -> Outcome:
    started = job.clock()
    job.context.begin(cancel_on_loop())
    limit = asyncio.timeout(job.context.limit_s)
    try:
        async with limit:
            if job.handler.needs is None:
                value = await job.handler.function(*job.args, **job.kwargs)
            else:
                async with job.handler.providers.given_async(job.handler.needs, job.context) as given:
                    value = await job.handler.function(*job.args, **job.kwargs, **given)
        _refuse_unfinished(value)
    except asyncio.CancelledError as error:
        if job.context.cancelled:
            return Cancelled(job.clock() - started)
        if _being_cancelled():
            raise
        return _failed(job, error, started)
    except BaseException as error:
        return _failed(job, _exceeded(error) if limit.expired() else error, started)
    return Done(value, job.clock() - started)


def conclude(job: Job, outcome: Outcome) -> Outcome:
    """The `raised` and `after` hooks. The task has run, so nothing they raise can undo it."""
    error, job.error = job.error, None  # which holds its frames, which hold the job
    for one in reversed(job.middleware[: job.entered]):
        try:
            if error is not None:
                one.raised(job.message, error, outcome)
            one.after(job.message, outcome)
        except BaseException:
            log.exception(
                "middleware %s failed after task=%s id=%s", type(one).__name__, job.handler.name, job.message.id
            )
    return outcome


# ---- outcomes


def _failed(job: Job, error: BaseException, started: float) -> Outcome:
    failure, took_s = Failure.of(error, OWN_FRAMES), job.clock() - started
    retries, attempt = job.handler.retries, job.message.attempt
    if isinstance(error, TaskCancelled) and job.context.cancelled:
        return Cancelled(took_s)
    job.error = error
    if isinstance(error, Reject):
        return Parked(REJECTED, failure, took_s)
    if not retries.again(error):
        return Parked(NOT_RETRIED, failure, took_s)
    if attempt >= retries.attempts:
        return Parked(ATTEMPTS, failure, took_s)
    return Failed(failure, took_s, retries.delay_s(error, attempt))


def overran(job: Job, took_s: float) -> Outcome:
    """It did not end within its hard limit; its process is about to."""
    text = f"the task did not end within its hard time limit of {took_s:g} s, and its process was replaced"
    return _failed(job, TimeLimitExceeded(text), job.clock() - took_s)


def killed(job: Job, took_s: float) -> Outcome:
    """It did not end within its hard limit; the process that it had to itself was killed."""
    text = f"the task did not end within its hard time limit of {took_s:g} s, and was killed"
    return _failed(job, TimeLimitExceeded(text), job.clock() - took_s)


def crashed(job: Job, text: str, took_s: float) -> Outcome:
    """The process that it had to itself died under it."""
    crashes = job.message.crashes + 1
    failure = Failure("leveret.errors.TaskCrashed", text, "")
    if crashes > CRASHES_MAX:
        return Parked(CRASHES, failure, took_s)
    return Crashed(failure, took_s, job.handler.retries.delay_s(TaskCrashed(text), crashes))


def _exceeded(error: BaseException) -> TimeLimitExceeded:
    """With the place where it was interrupted."""
    return TimeLimitExceeded().with_traceback((error.__cause__ or error).__traceback__)


def _refused(reason: str, text: str) -> Parked:
    return Parked(reason, Failure("leveret.errors.TaskError", text, "", tried=False))


def ended_oddly(job: Job, error: BaseException) -> Outcome:
    """It ended in a way that no step saw: it was cancelled by something of its own, or could not be started."""
    return _failed(job, error, job.clock())


def _refuse_unfinished(value: object) -> None:
    """A wrapped async function looks like a plain one, and its work would be dropped in silence."""
    if value is None or type(value) in PLAIN:
        return
    if inspect.iscoroutine(value):
        value.close()
    if inspect.isawaitable(value) or inspect.isgenerator(value) or inspect.isasyncgen(value):
        kind = type(value).__name__
        raise TaskError(f"the function returned a {kind}, which nobody runs: make it `async def`, below all decorators")


def _being_cancelled() -> bool:
    """Whether the worker cancels this task, rather than the task something of its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
