"""The work queue of a program: its tasks, its consumer functions, and the way to its broker.

    work = WorkQueue()

    @work.task
    def resize(path: Path, width: int) -> None: ...

    resize.send(Path("hare.png"), width=200)

It registers and sends; running tasks is the worker's part. No state is global: a program may have several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, Final, ParamSpec, TypeVar, overload

from leveret.errors import PartlySent, TaskError
from leveret.tasks.handler import Call, Consumer, Handler, Sent, Task
from leveret.tasks.local import broker_url
from leveret.tasks.message import properties_of
from leveret.tasks.middleware import Middleware
from leveret.tasks.outbox import Parcel
from leveret.tasks.retries import Retries
from leveret.tasks.sender import Sender

P = ParamSpec("P")
R = TypeVar("R")

OFTEN: Final = Retries()


class WorkQueue:
    """`url` is the broker's (client/url tells its forms); without one it is LEVERET_URL, and without that the project's
    own local broker, started on demand (tasks/local).

    `default_queue` and `retry` hold for tasks that say nothing else. `send_timeout_s` bounds each `send`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        name: str = "leveret",
        default_queue: str = "default",
        retry: Retries = OFTEN,
        send_timeout_s: float = 30.0,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        self.url = url
        self.name = name
        self.default_queue = default_queue
        self.retry = retry
        self.send_timeout_s = send_timeout_s
        self.middleware = tuple(middleware)
        self.tasks: dict[str, Task[..., Any]] = {}
        self.consumers: dict[str, Consumer[..., Any]] = {}
        self._sender = Sender(self.broker_url, f"{name} sender")

    def broker_url(self) -> str:
        """Where the broker is. Without a URL this may start one, and then waits until it is ready."""
        return broker_url(self.url)

    # ---- registering

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(
        self,
        function: None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        retry: Retries | None = None,
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...

    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        retry: Retries | None = None,
    ) -> object:
        """Make a task of a function, plain or async. Its name in messages is `name`, or else the function's own.

        The module is no part of the name: a program sends the same task whether it runs as a script or is imported, and
        moving a function strands no message.
        """

        def register(function: Callable[..., Any]) -> Task[..., Any]:
            task: Task[..., Any] = Task(
                function,
                name=name or str(getattr(function, "__name__", "")),
                queue=queue or self.default_queue,
                retries=retry or self.retry,
                send=self._send,
                send_async=self._send_async,
            )
            self._add_task(task)
            return task

        return register if function is None else register(function)

    def consumer(self, queue: str, *, retry: Retries | None = None) -> Callable[[Callable[P, R]], Consumer[P, R]]:
        """Have a function take the plain messages of `queue`, from whatever publisher: f(body) or f(body, message)."""

        def register(function: Callable[P, R]) -> Consumer[P, R]:
            consumer = Consumer(function, queue=queue, retries=retry or self.retry)
            self._add_consumer(consumer)
            return consumer

        return register

    def _add_task(self, task: Task[..., Any]) -> None:
        if task.name in self.tasks:
            raise TaskError(f"there are two tasks {task.name!r}: give one of them another name=")
        if task.queue in self.consumers:
            raise TaskError(f"queue {task.queue!r} of task {task.name!r} is read by a consumer function: use another")
        self.tasks[task.name] = task

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
        return self.consumers.get(queue) or self.tasks.get(task)

    # ---- sending and running

    def send_many(self, calls: Iterable[Call]) -> list[Sent]:
        """Send `[task.call(…), …]`, tasks of any kinds, with one wait for all confirms: some hundred times faster than one by one.

        Returns once the broker has confirmed that it keeps them all, within `send_timeout_s`. PartlySent if it has not:
        its `errors` tell which. They arrive in their order.
        """
        parcels, sent = self._parcels(calls)
        return _all_sent(sent, self._sender.send_many(parcels, self.send_timeout_s))

    async def send_many_async(self, calls: Iterable[Call]) -> list[Sent]:
        """As `send_many`, for coroutines."""
        parcels, sent = self._parcels(calls)
        return _all_sent(sent, await self._sender.send_many_async(parcels, self.send_timeout_s))

    def _send(self, call: Call) -> Sent:
        parcel, sent = self._parcel(call)
        self._sender.send(parcel, self.send_timeout_s)
        return sent

    async def _send_async(self, call: Call) -> Sent:
        parcel, sent = self._parcel(call)
        await self._sender.send_async(parcel, self.send_timeout_s)
        return sent

    def _parcel(self, call: Call) -> tuple[Parcel, Sent]:
        properties = properties_of(call.task, self.name, call.id)
        assert properties.message_id is not None
        sent = Sent(properties.message_id, call.task, call.queue)
        return Parcel(call.queue, call.body, properties, call.delay_ms), sent

    def _parcels(self, calls: Iterable[Call]) -> tuple[list[Parcel], list[Sent]]:
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


def _all_sent(sent: list[Sent], outcomes: list[Exception | None]) -> list[Sent]:
    errors = {number: error for number, error in enumerate(outcomes) if error is not None}
    if errors:
        raise PartlySent(len(sent), errors)
    return sent
