"""The places where features and programs hook into sending and running tasks: a class of empty hooks.

Derive from it, override what is wanted, and hand instances to WorkQueue(middleware=[…]). `send` is called by workqueue, for
every message that it makes; `before`, `raised` and `after` by worker/executor, in the thread or on the event loop where the
task itself runs; `ended` by worker/runner, `ready` by worker/worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from leveret.tasks.message import Message
from leveret.tasks.outbox import Parcel
from leveret.tasks.outcome import Outcome

log = logging.getLogger("leveret.tasks")


class Outgoing(msgspec.Struct, frozen=True):
    """A message that is about to be sent, to arrive `delay_ms` from then. Only its `headers` may be changed, in place.

    `after`: in a workflow, the message of the task that is done, and behind which it comes.
    """

    task: str
    id: str
    queue: str
    delay_ms: int
    headers: dict[str, object]
    after: Message | None = None


class Middleware:
    """Around each task: `before` hooks in the order given, `after` hooks the other way round.

    A `before` that raises fails the attempt, as if the task had raised. Those whose `before` has returned hear of it in
    `after`, and nobody else. What any other hook raises is logged, and changes nothing.

    For a task in a process of its own `before`, `raised` and `after` are called there, without `ready`, and `ended` in the worker, which has
    what the task returned as JSON (msgspec.Raw).
    """

    def ready(self) -> None:
        """A worker process is about to take its first message. Called once, on its event loop: wait for nothing."""

    def send(self, outgoing: Outgoing) -> None:
        """A new message is about to be sent: a header added here goes with it, to the last of its attempts.

        For send, send_many, their async halves, and what is scheduled; not for a message that is tried again. What comes next in
        a workflow is sent by the worker, on its event loop.
        """

    def before(self, message: Message) -> None:
        """The task is about to run, for the time that `message.attempt` says."""

    def raised(self, message: Message, error: BaseException, outcome: Outcome) -> None:
        """It raised `error`, and `outcome` is what becomes of it: Failed (tried again after its `delay_s`) or Parked.

        Called before `after`. The exception is alive, with its traceback and the variables in there: whoever keeps it keeps
        those.
        """

    def after(self, message: Message, outcome: Outcome) -> None:
        """It ran: `outcome` is Done, Failed, Parked or Cancelled."""

    def ended(self, message: Message, outcome: Outcome) -> None:
        """A message is about to be settled, whether its task came to run or not: it was parked for its arguments, say.

        Called on the worker's event loop, which serves all of its tasks: be quick, and wait for nothing.
        """


Ended = Callable[[Message, Outcome], None]


def stamped(parcel: Parcel, middleware: Iterable[Middleware], after: Message | None = None) -> Parcel:
    """As their `send` hooks have it."""
    properties = parcel.properties
    headers = dict(properties.headers or {})
    outgoing = Outgoing(
        properties.type or "", properties.message_id or "", parcel.queue, parcel.delay_ms, headers, after
    )
    for one in middleware:
        try:
            one.send(outgoing)
        except Exception:
            log.exception("middleware %s failed before task=%s was sent", type(one).__name__, outgoing.task)
    return replace(parcel, properties=replace(properties, headers=headers or None))


def ended_hooks(middleware: Iterable[Middleware]) -> tuple[Ended, ...]:
    """Of those that have one."""
    return tuple(one.ended for one in middleware if type(one).ended is not _NO_HOOK)


def tell_ready(middleware: Iterable[Middleware]) -> None:
    for one in middleware:
        try:
            one.ready()
        except Exception:
            log.exception("middleware %s is not ready", type(one).__name__)


def tell(hooks: Iterable[Ended], message: Message, outcome: Outcome) -> None:
    for hook in hooks:
        try:
            hook(message, outcome)
        except Exception:
            log.exception("a middleware failed at the end of task=%s id=%s", message.task, message.id)


_NO_HOOK: Final = Middleware.ended
