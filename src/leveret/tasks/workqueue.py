"""The work queue of a program: its tasks, its consumer functions, and the way to its broker.

    work = WorkQueue()

    @work.task
    def resize(path: Path, width: int) -> None: ...

    resize.send(Path("hare.png"), width=200)

It registers and sends; running tasks is the worker's part. No state is global: a program may have several.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from math import ceil
from typing import Any, Final, ParamSpec, TypeVar, overload

from leveret.errors import PartlySent, TaskError
from leveret.tasks.handler import Consumer, Handler, Settings, TimeLimit
from leveret.tasks.local import broker_url
from leveret.tasks.message import properties_of
from leveret.tasks.middleware import Middleware
from leveret.tasks.outbox import Parcel
from leveret.tasks.retries import Retries, span
from leveret.tasks.schedules import CatchUp, Schedule, zone
from leveret.tasks.sender import Sender
from leveret.tasks.sent import Awaited, Sent
from leveret.tasks.task import Call, Decorator, Task
from leveret.tasks.topology import DEAD, SCHEDULER, Queue

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")

OFTEN: Final = Retries()


class WorkQueue:
    """`url` is the broker's (client/url tells its forms); without one it is LEVERET_URL, and without that the project's
    own local broker, started on demand (tasks/local).

    `default_queue`, `retry`, `time_limit` and `results` hold for tasks that say nothing else. `send_timeout_s` bounds
    each `send`.
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
        send_timeout_s: float = 30.0,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        self.url = url
        self.name = name
        self.default_queue = default_queue
        self.retry = retry
        self.time_limit = time_limit
        self.results = results
        self.send_timeout_s = send_timeout_s
        self.middleware = tuple(middleware)
        self.tasks: dict[str, Task[..., Any, Any]] = {}
        self.consumers: dict[str, Consumer[..., Any]] = {}
        self.schedules: dict[str, Schedule] = {}
        self._queues: dict[str, Queue] = {}
        self._aliases: dict[str, Task[..., Any, Any]] = {}
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
        return self._queues.get(name) or Queue(name, shared=shared, single_active=name.startswith(SCHEDULER))

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> Task[P, Coroutine[Any, Any, T], T]: ...

    @overload
    def task(self, function: Callable[P, T], /) -> Task[P, T, T]: ...

    @overload
    def task(
        self,
        function: None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        retry: Retries | None = None,
        time_limit: float | timedelta | None = None,
        hard_time_limit: float | timedelta | None = None,
        priority: int | None = None,
        result: bool | None = None,
        cancellable: bool = False,
        aliases: Sequence[str] = (),
    ) -> Decorator: ...

    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        retry: Retries | None = None,
        time_limit: float | timedelta | None = None,
        hard_time_limit: float | timedelta | None = None,
        priority: int | None = None,
        result: bool | None = None,
        cancellable: bool = False,
        aliases: Sequence[str] = (),
    ) -> object:
        """Make a task of a function, plain or async. Its name in messages is `name`, or else the function's own.

        The module is no part of the name: a program sends the same task whether it runs as a script or is imported, and
        moving a function strands no message.

        `time_limit`: after so many seconds TimeLimitExceeded is raised in it, which is a failure like any other; a plain
        function that is waiting in C code (`time.sleep`, a database) meets it when that returns. After `hard_time_limit`
        (by default 10 s later) its process is replaced, and the task charged with a failed attempt. `priority`: see
        `queue`. `result`: its value is sent back, for Sent.result. `cancellable`: it can be cancelled while it waits
        (costs a question to the broker before each run); what is delayed, and what runs, can be in any case. `aliases`: other
        names under which messages may come, as those that were sent before the task had its present name.
        """
        settings = Settings(
            queue or self.default_queue,
            retry or self.retry,
            TimeLimit.of(self.time_limit if time_limit is None else time_limit, hard_time_limit),
            priority,
            self.results if result is None else result,
            cancellable,
        )

        def register(function: Callable[..., Any]) -> Task[..., Any, Any]:
            named = name or str(getattr(function, "__name__", ""))
            task: Task[..., Any, Any] = Task(function, named, settings, self._send, self._send_async)
            self._add_task(task, aliases)
            return task

        return register if function is None else register(function)

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

    def scheduled(self, schedule: Schedule, due: datetime) -> Parcel:
        """The message for one due time, for a worker to send."""
        call = schedule.call
        self.check(call)
        properties = properties_of(call.task.name, self.name, id=schedule.id(due), priority=call.priority, once=True)
        late_ms = ceil(schedule.late().total_seconds() * 1000)
        return Parcel(call.queue, call.body, properties, late_ms)

    def consumer(self, queue: str, *, retry: Retries | None = None) -> Callable[[Callable[P, T]], Consumer[P, T]]:
        """Have a function take the plain messages of `queue`, from whatever publisher: f(body) or f(body, message)."""

        def register(function: Callable[P, T]) -> Consumer[P, T]:
            consumer = Consumer(function, Settings(queue, retry or self.retry))
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

    # ---- what a worker asks

    def queues(self) -> list[str]:
        """All that its tasks and consumer functions read, in the order of their appearance."""
        handlers: list[Handler[..., Any]] = [*self.tasks.values(), *self.consumers.values()]
        return list(dict.fromkeys(handler.queue for handler in handlers))

    def handler(self, queue: str, task: str) -> Handler[..., Any] | None:
        """Who takes a message from `queue` whose type is `task`."""
        return self.consumers.get(queue) or self.tasks.get(task) or self._aliases.get(task)

    # ---- sending and running

    def send_many(self, calls: Iterable[Call[T]]) -> list[Sent[T]]:
        """Send `[task.call(…), …]`, tasks of any kinds, with one wait for all confirms: some hundred times faster than one by one.

        Returns once the broker has confirmed that it keeps them all, within `send_timeout_s`. PartlySent if it has not:
        its `errors` tell which. They arrive in their order.
        """
        parcels, sent = self._parcels(calls)
        return _all_sent(sent, self._sender.send_many(parcels, self.send_timeout_s))

    async def send_many_async(self, calls: Iterable[Call[T]]) -> list[Sent[T]]:
        """As `send_many`, for coroutines."""
        parcels, sent = self._parcels(calls)
        return _all_sent(sent, await self._sender.send_many_async(parcels, self.send_timeout_s))

    def cancel(self, id: str) -> None:
        """Cancel a task. One that is delayed, or `cancellable`, does not begin any more; one that runs is told.

        An async task is cancelled at its next await; a plain function sees `current_task().cancelled`. Nothing says here
        whether it had ended already. Returns once the broker keeps it in mind, within `send_timeout_s`.
        """
        self._sender.cancel(id, self.send_timeout_s)

    async def cancel_async(self, id: str) -> None:
        """As `cancel`, for coroutines."""
        await self._sender.cancel_async(id, self.send_timeout_s)

    def _send(self, call: Call[T]) -> Sent[T]:
        parcel, sent = self._parcel(call)
        self._sender.send(parcel, self.send_timeout_s)
        return sent

    async def _send_async(self, call: Call[T]) -> Sent[T]:
        parcel, sent = self._parcel(call)
        await self._sender.send_async(parcel, self.send_timeout_s)
        return sent

    def _parcel(self, call: Call[T]) -> tuple[Parcel, Sent[T]]:
        self.check(call)
        id = call.id or str(uuid.uuid4())
        awaited = None
        if call.result:
            awaited = Awaited(self._sender.replies.expect(id), call.task.signature.read_result)
        properties = properties_of(
            call.task.name,
            self.name,
            id=id,
            reply_to=self._sender.replies.queue if call.result else None,
            priority=call.priority,
            cancellable=call.cancellable or call.delay_ms > 0,
        )
        sent = Sent(id, call.task.name, call.queue, awaited, self.cancel, self.cancel_async)
        return Parcel(call.queue, call.body, properties, call.delay_ms), sent

    def check(self, call: Call[Any]) -> None:
        """TaskError if it cannot be sent: its queue does not know its priority."""
        most = self.declared(call.queue).priorities
        if call.priority is not None and not 0 <= call.priority <= most:
            raise TaskError(
                f"task {call.task.name!r}: priority {call.priority}, but queue {call.queue!r} knows "
                + (f"0 to {most}" if most else f"none: say work.queue({call.queue!r}, priorities=10)")
            )

    def _parcels(self, calls: Iterable[Call[T]]) -> tuple[list[Parcel], list[Sent[T]]]:
        made = [self._parcel(call) for call in calls]
        return [parcel for parcel, _ in made], [sent for _, sent in made]

    def close(self) -> None:
        """Close the connection that sending opened. Sending opens it again."""
        self._sender.close()

    def run(self, *, processes: int = 1, threads: int = 8, **options: Any) -> int:
        """Be a worker until SIGTERM or SIGINT; the exit code. For one-file programs, under `if __name__ == "__main__"`.

        See leveret.worker.run, which does it. Looked up only here: programs that merely send load no worker.
        """
        code: int = import_module("leveret.worker").run(self, processes=processes, threads=threads, **options)
        return code


def _all_sent(sent: list[Sent[T]], outcomes: list[Exception | None]) -> list[Sent[T]]:
    errors = {number: error for number, error in enumerate(outcomes) if error is not None}
    if errors:
        raise PartlySent(len(sent), errors)
    return sent
