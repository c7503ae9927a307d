"""The work queue of a program: its tasks, its consumer functions, and the way to its broker.

    work = WorkQueue()

    @work.task
    def resize(path: Path, width: int) -> None: ...

    resize.send(Path("hare.png"), width=200)

It registers and sends; running tasks is the worker's part. No state is global: a program may have several.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, Unpack, overload

import msgspec

from leveret.errors import Duplicate, PartlySent, TaskError
from leveret.tasks.awaited import Awaited
from leveret.tasks.continuation import Step
from leveret.tasks.departure import Departure
from leveret.tasks.events import Kind
from leveret.tasks.expiry import expires_of
from leveret.tasks.handler import Consumer, Handler, Settings, TimeLimit
from leveret.tasks.kept import Kept, Results, lasting, store_at
from leveret.tasks.limits import NONE, Limits
from leveret.tasks.listener import BlockingListener, Listener
from leveret.tasks.local import broker_url
from leveret.tasks.message import Message, new_id
from leveret.tasks.middleware import Middleware
from leveret.tasks.options import TaskOptions, WorkerOptions, refuse_unknown
from leveret.tasks.ordering import Ordering
from leveret.tasks.outbox import Parcel
from leveret.tasks.packing import Packing
from leveret.tasks.providing import Providers
from leveret.tasks.replies import Answer
from leveret.tasks.retries import Retries, span
from leveret.tasks.schedules import CatchUp, Schedule, zone
from leveret.tasks.sender import Sender
from leveret.tasks.sent import GIVE_UP_S, Sent, all_sent, giving_up, raise_unsent
from leveret.tasks.task import Call, Decorator, Task
from leveret.tasks.topology import DEAD, GROUP, SCHEDULER, Queue
from leveret.tasks.versions import version_of
from leveret.tasks.workflows import SentWorkflow, Workflow, ids

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")

OFTEN: Final = Retries()


class WorkQueue(Ordering):
    """`url` is the broker's (client/url tells its forms); without one it is LEVERET_URL, and without that the project's
    own local broker, started on demand (tasks/local).

    `results_store` keeps the results of tasks that say `keep_result`: a path of a SQLite file, or see tasks/kept.
    `default_queue`, `retry`, `time_limit` and `results` hold for tasks that say nothing else. `send_timeout_s` bounds
    each `send`. `events`: whether its workers say what they do, to whoever listens (tasks/events).
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        name: str = "leveret",
        default_queue: str = "default",
        retry: Retries = OFTEN,
        time_limit: float | timedelta | None = None,
        results: bool = False,
        results_store: Results | str | Path | None = None,
        send_timeout_s: float = 30.0,
        middleware: Sequence[Middleware] = (),
        events: bool = True,
    ) -> None:
        self.url = url
        self.name = name
        self.default_queue = default_queue
        self.retry = retry
        self.time_limit = time_limit
        self.results = results
        self.results_store = store_at(results_store)
        self.send_timeout_s = send_timeout_s
        self.middleware = tuple(middleware)
        self.announces = events
        self.tasks: dict[str, Task[..., Any, Any]] = {}
        self.consumers: dict[str, Consumer[..., Any]] = {}
        self.schedules: dict[str, Schedule] = {}
        self.now: Callable[[], datetime] = _utc_now
        """The clock by which tasks expire."""
        self.providers = Providers()
        self._queues: dict[str, Queue] = {}
        self._aliases: dict[str, Task[..., Any, Any]] = {}
        self._packing = Packing(name, lambda: self.middleware, self.declared, lambda: self.now())
        self._sender = Sender(self.broker_url, f"{name} sender", self.declared)

    def broker_url(self) -> str:
        """Where the broker is. Without a URL this may start one, and then waits until it is ready."""
        return broker_url(self.url)

    # ---- registering

    def queue(self, name: str, *, priorities: int = 0, weight: int = 1) -> Queue:
        """Say something of a queue; see topology.Queue. Senders and workers have to say the same."""
        if name in self._queues:
            raise TaskError(f"queue {name!r} is described twice")
        queue = self._queues[name] = Queue(name, priorities, weight)
        return queue

    def declared(self, name: str) -> Queue:
        """How a queue is to be declared."""
        shared = name.removesuffix(DEAD) in self.consumers
        group = name.startswith(GROUP)
        single = group or name.startswith(SCHEDULER)
        return self._queues.get(name) or Queue(name, shared=shared, single_active=single, group=group)

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> Task[P, Coroutine[Any, Any, T], T]: ...

    @overload
    def task(self, function: Callable[P, T], /) -> Task[P, T, T]: ...

    @overload
    def task(self, function: None = None, /, **options: Unpack[TaskOptions]) -> Decorator: ...

    def task(self, function: Callable[..., Any] | None = None, /, **options: Unpack[TaskOptions]) -> object:
        """Make a task of a function, plain or async. What can be said of it stands in tasks/options. TaskError: it makes no sense."""
        refuse_unknown(options, TaskOptions, "WorkQueue.task")
        settings = self._settings(options)

        def register(function: Callable[..., Any]) -> Task[..., Any, Any]:
            named = options.get("name") or str(getattr(function, "__name__", ""))
            task: Task[..., Any, Any] = Task(function, named, settings, self.providers, self._send, self._send_async)
            self._add_task(task, options.get("aliases", ()))
            return task

        return register if function is None else register(function)

    def _settings(self, options: TaskOptions) -> Settings:
        time_limit, result = options.get("time_limit"), options.get("result")
        return Settings(
            options.get("queue") or self.default_queue,
            options.get("retry") or self.retry,
            TimeLimit.of(self.time_limit if time_limit is None else time_limit, options.get("hard_time_limit")),
            options.get("priority"),
            self.results if result is None else result,
            options.get("cancellable") or False,
            options.get("process") or False,
            options.get("memory_mb") or 0,
            Limits(options.get("concurrency"), options.get("rate"), options.get("unique"), options.get("fair")),
            expires_of(options.get("expires")),
            self._keep_result(options.get("keep_result")),
            version_of(options.get("version")),
        )

    def _keep_result(self, value: float | timedelta | None) -> timedelta | None:
        if value is not None and self.results_store is None:
            raise TaskError('keep_result= needs a place: WorkQueue(results_store="results.sqlite"), say')
        return None if value is None else lasting(value)

    def schedule(
        self,
        cron: str = "",
        *,
        every: float | timedelta = 0,
        tz: str = "UTC",
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        jitter: float | timedelta = 0,
        catch_up: CatchUp = "last",
        name: str | None = None,
    ) -> Callable[[A], A]:
        """Have a task sent again and again, by one of the workers, whichever that is just now. Stands above `@work.task`.

        `cron`: five fields, or six with seconds first, in the time zone `tz`; or `every` so many seconds, counted from a
        fixed time. `jitter`: up to so much later, drawn anew each time. `catch_up`: see schedules.Schedule. `name` is its
        task's, and has to be given where a task has several. TaskError: one of them makes no sense.
        """

        def register(task: A) -> A:
            if not isinstance(task, Task):
                raise TaskError("@work.schedule(…) stands above @work.task, for it schedules a task")
            named = name or task.name
            if named in self.schedules:
                raise TaskError(f"there are two schedules {named!r}: give one of them another name=")
            self.schedules[named] = Schedule(
                named, task.call(*args, **(kwargs or {})), cron, zone(tz), span(every), span(jitter), catch_up
            )
            return task

        return register

    def scheduled(self, schedule: Schedule, due: datetime, id: str = "") -> Parcel:
        """The message for one due time, for a worker to send. See Packing.scheduled."""
        return self._packing.scheduled(schedule, due, id)

    def consumer(self, queue: str, *, retry: Retries | None = None) -> Callable[[Callable[P, T]], Consumer[P, T]]:
        """Have a function take the plain messages of `queue`, from whatever publisher: f(body) or f(body, message)."""

        def register(function: Callable[P, T]) -> Consumer[P, T]:
            consumer = Consumer(function, Settings(queue, retry or self.retry), self.providers)
            self._add_consumer(consumer)
            return consumer

        return register

    def _add_task(self, task: Task[..., Any, Any], aliases: Sequence[str]) -> None:
        for name in (task.name, *aliases):
            if name in self.tasks or name in self._aliases:
                raise TaskError(f"there are two tasks {name!r}: give one of them another name=")
        if task.queue in self.consumers:
            raise TaskError(f"queue {task.queue!r} of task {task.name!r} is read by a consumer function: use another")
        self.tasks[task.name] = task
        self._aliases.update(dict.fromkeys(aliases, task))

    def _add_consumer(self, consumer: Consumer[..., Any]) -> None:
        if consumer.queue in self.consumers:
            raise TaskError(f"queue {consumer.queue!r} has a consumer function already")
        if any(task.queue == consumer.queue for task in self.tasks.values()):
            raise TaskError(f"queue {consumer.queue!r} is used by tasks: a consumer function needs one of its own")
        self.consumers[consumer.queue] = consumer

    def override(self, provider: Callable[..., Any], replacement: Callable[..., Any]) -> AbstractContextManager[None]:
        """In a `with` statement of a test: meanwhile workers in this process ask `replacement` for what `provider` gives."""
        return self.providers.override(provider, replacement)

    # ---- what a worker asks

    def queues(self) -> list[str]:
        """All that its tasks and consumer functions read, in the order of their appearance."""
        handlers: list[Handler[..., Any]] = [*self.tasks.values(), *self.consumers.values()]
        return list(dict.fromkeys(handler.queue for handler in handlers))

    def handler(self, queue: str, task: str) -> Handler[..., Any] | None:
        """Who takes a message from `queue` whose type is `task`."""
        return self.consumers.get(queue) or self.tasks.get(task) or self._aliases.get(task)

    def limits(self, task: str) -> Limits:
        """Those of the task with that name; none if there is none."""
        found = self.tasks.get(task) or self._aliases.get(task)
        return NONE if found is None else found.settings.limits

    def following(self, message: Message, steps: Sequence[Step], value: msgspec.Raw, once: bool) -> Departure:
        """What comes next in a workflow, for a worker to send. See Packing.following."""
        return self._packing.following(message, steps, value, once)

    # ---- sending and running

    def send_many(self, calls: Iterable[Call[T]]) -> list[Sent[T]]:
        """Send `[task.call(…), …]`, tasks of any kinds, with one wait for all confirms: some hundred times faster than one by one.

        Returns once the broker has confirmed that it keeps them all, within `send_timeout_s`. PartlySent if it has not:
        its `errors` tell which. They arrive in their order. Of unique tasks the first of a key is sent; see Sent.duplicate.
        """
        parcels, sent = self._parcels(calls)
        return all_sent(sent, self._sender.send_many(parcels, self.send_timeout_s))

    async def send_many_async(self, calls: Iterable[Call[T]]) -> list[Sent[T]]:
        """As `send_many`, for coroutines."""
        parcels, sent = self._parcels(calls)
        return all_sent(sent, await self._sender.send_many_async(parcels, self.send_timeout_s))

    # ---- results that are kept

    def result_of(self, id: str) -> Kept | None:
        """What is kept of the task with that id, if it is one whose result is kept. ResultsUnavailable."""
        if self.results_store is None:
            raise TaskError("no results are kept: say WorkQueue(results_store=…)")
        return self.results_store.get(id, datetime.now(UTC))

    async def result_of_async(self, id: str) -> Kept | None:
        """As `result_of`, for coroutines."""
        return await asyncio.to_thread(self.result_of, id)

    def sent(self, id: str, task: Task[..., Any, T]) -> Sent[T]:
        """A task that was sent before, by this process or another: its `result` is read from where it is kept."""
        if task.settings.keep_result is None:
            raise TaskError(f"nothing is kept of task {task.name!r}: it needs keep_result=")
        awaited = Awaited(None, task.signature.read_result, partial(self._answer, id))
        return Sent(id, task.name, task.queue, awaited, self.cancel, self.cancel_async)

    def _answer(self, id: str) -> Answer | None:
        kept = self.result_of(id)
        return None if kept is None else kept.answer

    # ---- on their way

    def _send(self, call: Call[T] | Workflow[T]) -> Sent[T]:
        if isinstance(call, Workflow):
            departure, workflow = self._departure(call)
            try:
                for parcels in (departure.plans, departure.parcels):
                    raise_unsent(self._sender.send_many(parcels, self.send_timeout_s))
            except PartlySent as error:
                with giving_up(error):
                    self._sender.cancel(workflow.id, GIVE_UP_S)
                raise
            return workflow
        parcel, sent = self._parcel(call)
        try:
            self._sender.send(parcel, self.send_timeout_s)
        except Duplicate as error:
            return sent.instead(error.id)
        return sent

    async def _send_async(self, call: Call[T] | Workflow[T]) -> Sent[T]:
        if isinstance(call, Workflow):
            departure, workflow = self._departure(call)
            try:
                for parcels in (departure.plans, departure.parcels):
                    raise_unsent(await self._sender.send_many_async(parcels, self.send_timeout_s))
            except PartlySent as error:
                with giving_up(error):
                    await self._sender.cancel_async(workflow.id, GIVE_UP_S)
                raise
            return workflow
        parcel, sent = self._parcel(call)
        try:
            await self._sender.send_async(parcel, self.send_timeout_s)
        except Duplicate as error:
            return sent.instead(error.id)
        return sent

    def _departure(self, workflow: Workflow[T]) -> tuple[Departure, SentWorkflow[T]]:
        id, steps = new_id(), workflow.steps()
        departure = self._packing.departure(workflow, steps, id, self._sender.replies.queue)
        awaited = Awaited(self._sender.replies.expect(id), workflow.read)
        members = tuple(ids(steps))
        return departure, SentWorkflow(id, str(workflow), "", awaited, self.cancel, self.cancel_async, ids=members)

    def _parcel(self, call: Call[T]) -> tuple[Parcel, Sent[T]]:
        id = call.id or new_id()
        parcel = self._packing.parcel(call, id, self._sender.replies.queue if call.result else None)
        awaited = None
        look = None if call.task.settings.keep_result is None else partial(self._answer, id)
        if call.result or look is not None:
            reply = self._sender.replies.expect(id) if call.result else None
            awaited = Awaited(reply, call.task.signature.read_result, look)
        return parcel, Sent(id, call.task.name, call.queue, awaited, self.cancel, self.cancel_async)

    def check(self, call: Call[Any]) -> None:
        """TaskError if it cannot be sent: its queue does not know its priority, say."""
        self._packing.check(call)

    def _parcels(self, calls: Iterable[Call[T]]) -> tuple[list[Parcel], list[Sent[T]]]:
        made = [self._parcel(call) for call in calls]
        return [parcel for parcel, _ in made], [sent for _, sent in made]

    # ---- listening

    def events(self, *kinds: Kind, queues: Sequence[str] = (), timeout_s: float | None = None) -> BlockingListener:
        """What all workers at this broker say of their tasks from now on, of these kinds and queues (empty: of all).

        `with` it, and iterate: until it is closed, or until nothing came for `timeout_s`. See tasks/listener and
        docs/events.md.
        """
        return BlockingListener(self.broker_url(), kinds, queues, f"{self.name} listener", timeout_s)

    def events_async(self, *kinds: Kind, queues: Sequence[str] = ()) -> Listener:
        """As `events`, for coroutines: `async with`, `async for`."""
        return Listener(self.broker_url(), kinds, queues, f"{self.name} listener")

    def close(self) -> None:
        """Close the connection that sending opened, and the store of results. Using them opens them again."""
        self._sender.close()
        if self.results_store is not None:
            self.results_store.close()

    def run(self, **options: Unpack[WorkerOptions]) -> int:
        """Be a worker until SIGTERM or SIGINT; the exit code. For one-file programs, under `if __name__ == "__main__"`.

        See leveret.worker.run, which does it. Looked up only here: programs that merely send load no worker.
        """
        code: int = import_module("leveret.worker").run(self, **options)
        return code


def _utc_now() -> datetime:
    return datetime.now(UTC)
