"""Several tasks as one thing to send: one after another (chain), all at once (group), what comes when all are done (then).

    chain(fetch.call(url), resize.partial(200), store.partial()).send()
    group([resize.call(path, 200) for path in paths]).then(publish.partial()).send()

Each may stand in any other. A `partial` call has the result of what comes before it as its first argument, that of a group
being the list of its members' results in their order; a `call` takes none. Nothing is sent here: this makes the steps of
tasks/continuation. Used by workqueue.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

import msgspec

from leveret.errors import TaskError
from leveret.tasks.awaited import Awaited
from leveret.tasks.continuation import Send, Spread, Step
from leveret.tasks.departure import NOTHING, settled
from leveret.tasks.expiry import span_ms
from leveret.tasks.message import new_id, read_call
from leveret.tasks.replies import Answer, Reply
from leveret.tasks.sent import Sent
from leveret.tasks.task import Call

T = TypeVar("T")
U = TypeVar("U")

MEMBERS_MAX: Final = 50_000
"""Of one group. All its results are taken at once, and AMQP numbers what a consumer may hold with 16 bits."""


class SentWorkflow(Sent[T], frozen=True, eq=False):
    """`result` is that of its last task, or of its last group: a list. TaskFailed names the first task that failed for good;
    the others go on, and so does the workflow if the failed one is requeued from the dead letters. `cancel` keeps from
    running what has not begun. `ids` are those of all its tasks' messages.
    """

    ids: tuple[str, ...] = ()


class Workflow(ABC, Generic[T]):
    """A chain or a group. The result is T."""

    def send(self) -> SentWorkflow[T]:
        """Send what can begin. Returns once the broker has confirmed that it keeps all of that.

        Raises what Task.send does. PartlySent: only some of it was confirmed. It is cancelled then, as a whole, if the broker can be
        reached; a note of the error says so.
        """
        first = self._first()
        sent: Sent[T] = _complete(self) if first is None else first.task._send(self)
        assert isinstance(sent, SentWorkflow)
        return sent

    async def send_async(self) -> SentWorkflow[T]:
        """As `send`, for coroutines."""
        first = self._first()
        sent: Sent[T] = _complete(self) if first is None else await first.task._send_async(self)
        assert isinstance(sent, SentWorkflow)
        return sent

    def then(self, next: Call[U] | Workflow[U]) -> Chain[U]:
        """With something behind it, which gets its result if it is `partial`."""
        return Chain((self, next))

    def _first(self) -> Call[Any] | None:
        """Any of its calls, if it has one. TaskError if they are of several WorkQueues."""
        calls = list(self.calls())
        if any(call.task._send != calls[0].task._send for call in calls):
            raise TaskError("the tasks of a workflow belong to one WorkQueue, these do not")
        return calls[0] if calls else None

    # ---- what workqueue asks

    @abstractmethod
    def calls(self) -> Iterator[Call[Any]]:
        """All of them, in their order."""

    @property
    @abstractmethod
    def partial(self) -> bool:
        """Whether it needs a value to begin with."""

    @abstractmethod
    def steps(self) -> list[Step]:
        """Each with a new id."""

    @abstractmethod
    def read(self, value: bytes) -> T:
        """The result, from its JSON. TaskError if it does not fit the annotations."""

    @abstractmethod
    def __str__(self) -> str:
        """In short."""


class Chain(Workflow[T]):
    """Made by `chain`, and by `then`."""

    def __init__(self, members: Iterable[Call[Any] | Workflow[Any]]) -> None:
        self.members: Final = tuple(members)
        if not self.members:
            raise TaskError("a chain has at least one task")
        _check(self.members)

    def calls(self) -> Iterator[Call[Any]]:
        return _calls(self.members)

    @property
    def partial(self) -> bool:
        return self.members[0].partial

    def steps(self) -> list[Step]:
        return [step for member in self.members for step in _steps(member)]

    def read(self, value: bytes) -> T:
        result: T = _reader(self.members[-1])(value)
        return result

    def __str__(self) -> str:
        return f"chain to {_name(self.members[-1])}"


class Group(Workflow[list[T]]):
    """Made by `group`."""

    def __init__(self, members: Iterable[Call[T] | Workflow[T]]) -> None:
        self.members: Final = tuple(members)
        if len(self.members) > MEMBERS_MAX:
            raise TaskError(f"a group of {len(self.members)} members, {MEMBERS_MAX} at most: make it a group of groups")
        _check(self.members)

    def calls(self) -> Iterator[Call[Any]]:
        return _calls(self.members)

    @property
    def partial(self) -> bool:
        return any(member.partial for member in self.members)

    def steps(self) -> list[Step]:
        return [Spread(new_id(), [_steps(member) for member in self.members])]

    def read(self, value: bytes) -> list[T]:
        values = msgspec.json.decode(value, type=list[msgspec.Raw])
        return [_reader(member)(bytes(one)) for member, one in zip(self.members, values, strict=True)]

    def __str__(self) -> str:
        return f"group of {len(self.members)}"


def chain(*members: Call[Any] | Workflow[Any]) -> Chain[Any]:
    """One after another: each begins when the one before it is done. Its result is that of the last."""
    return Chain(members)


def group(members: Iterable[Call[T] | Workflow[T]]) -> Group[T]:
    """All of them at once, in any order. The result is the list of theirs, in the order given here."""
    return Group(members)


def _check(members: Iterable[Call[Any] | Workflow[Any]]) -> None:
    for member in members:
        if not isinstance(member, Call | Workflow):
            raise TaskError(
                f"{member!r} is no part of a workflow: give it task.call(…), task.partial(…), or a chain or group"
            )


def _calls(members: Iterable[Call[Any] | Workflow[Any]]) -> Iterator[Call[Any]]:
    for member in members:
        if isinstance(member, Call):
            yield member
        else:
            yield from member.calls()


def _steps(member: Call[Any] | Workflow[Any]) -> list[Step]:
    return [_send(member)] if isinstance(member, Call) else member.steps()


def _send(call: Call[Any]) -> Send:
    written = read_call(call.body)
    return Send(
        call.id or new_id(),
        call.task.name,
        call.queue,
        written.args,
        written.kwargs,
        call.partial,
        0 if call.due else call.delay_ms,
        call.due,
        call.priority,
        call.cancellable or call.delay_ms > 0,
        expires_ms=span_ms(call.expires) if isinstance(call.expires, timedelta) else 0,
        expires=call.expires if isinstance(call.expires, datetime) else None,
        version=call.version,
    )


def _reader(member: Call[Any] | Workflow[Any]) -> Callable[[bytes], Any]:
    return member.task.signature.read_result if isinstance(member, Call) else member.read


def _name(member: Call[Any] | Workflow[Any]) -> str:
    return member.task.name if isinstance(member, Call) else str(member)


def _complete(workflow: Workflow[T]) -> SentWorkflow[T]:
    """One without tasks: its groups are empty, and so are its results."""
    _, value = settled(workflow.steps(), NOTHING)
    reply = Reply()
    reply.answer.set_result(Answer(value))
    return SentWorkflow(new_id(), str(workflow), "", Awaited(reply, workflow.read), _let_be, _let_be_async)


def _let_be(id: str) -> None:
    """There is nothing to cancel."""


async def _let_be_async(id: str) -> None:
    """There is nothing to cancel."""


def ids(steps: Iterable[Step]) -> Iterator[str]:
    """Of all tasks among them."""
    for step in steps:
        if isinstance(step, Send):
            yield step.id
        elif isinstance(step, Spread):
            for member in step.members:
                yield from ids(member)
