"""What comes after a task in a workflow: the member `next` of its message's body, a list of steps, and what they lead to.

    {"args": [...], "kwargs": {...}, "next": [STEP, ...]}

    {"do": "task", "id", "task", "queue", "args", "kwargs", "fed", …}   send this task; if `fed`, the value before its `args`
    {"do": "group", "id", "members": [[STEP, …], …]}                    begin all of these with the value, join theirs
    {"do": "join", "group", "index", "of"}                              the value is what that group waits for at `index`

The first step is for the value that the task returned, and the others travel on with it. Behind the last one stands whoever
asked for the result. A group's queue holds its plan and what its members returned (see worker/groups). These are the words
alone: workflows makes them, departure makes messages of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from leveret.errors import TaskError
from leveret.tasks.topology import GROUP


class Send(msgspec.Struct, tag_field="do", tag="task", omit_defaults=True, frozen=True):
    """`delay_ms` counts from its turn, `due` is a time. So `expires_ms` counts from when it is due, and `expires` is a time."""

    id: str
    task: str
    queue: str
    args: list[msgspec.Raw] = []
    kwargs: dict[str, msgspec.Raw] = {}
    fed: bool = False
    delay_ms: int = 0
    due: datetime | None = None
    priority: int | None = None
    cancellable: bool = False
    expires_ms: int = 0
    expires: datetime | None = None
    version: int = 1


class Spread(msgspec.Struct, tag_field="do", tag="group", frozen=True):
    id: str
    members: list[list[Send | Spread | Join]] = []


class Join(msgspec.Struct, tag_field="do", tag="join", frozen=True):
    """`of`: so many results are put into the group's queue in all."""

    group: str
    index: int
    of: int


Step = Send | Spread | Join


class Body(msgspec.Struct, omit_defaults=True):
    args: list[msgspec.Raw] = []
    kwargs: dict[str, msgspec.Raw] = {}
    next: list[Send | Spread | Join] = []


class Plan(msgspec.Struct, tag_field="kind", tag="plan"):
    """The first message of a group's queue. `known` are results that nobody has to work for, by index."""

    size: int
    known: dict[int, msgspec.Raw] = {}
    next: list[Send | Spread | Join] = []


class Result(msgspec.Struct, tag_field="kind", tag="result"):
    """What a member returned, in its group's queue."""

    index: int
    value: msgspec.Raw


def read_next(body: bytes) -> list[Step]:
    """TaskError if it is no such JSON."""
    try:
        return list(msgspec.json.decode(body, type=Body).next)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise TaskError(f"what comes next in the workflow cannot be read: {error}") from None


def read_in_group(body: bytes) -> Plan | Result:
    """msgspec.MsgspecError if it is neither."""
    content: Plan | Result = msgspec.json.decode(body, type=Plan | Result)
    return content


def group_queue(group: str) -> str:
    return GROUP + group


class Collected:
    """Plan and results of a group, as they come: of each the first counts. `of`: how many results are put into its queue."""

    def __init__(self, of: int) -> None:
        self.plan: Plan | None = None
        self.results: dict[int, msgspec.Raw] = {}
        self.size_bytes = 0
        self._of = of

    def add(self, content: Plan | Result) -> bool:
        """Whether it is the first."""
        if isinstance(content, Plan):
            first = self.plan is None
            self.plan = self.plan or content
            return first
        if content.index in self.results:
            return False
        self.results[content.index] = content.value
        self.size_bytes += len(content.value)
        return True

    @property
    def complete(self) -> bool:
        return self.plan is not None and len(self.results) >= self._of

    def end(self) -> tuple[list[Step], msgspec.Raw]:
        """What comes then, and the list of all results for it. TaskError if they are not those of the plan."""
        assert self.plan is not None
        found = self.plan.known | self.results
        try:
            return list(self.plan.next), listed([found[index] for index in range(self.plan.size)])
        except KeyError as error:
            raise TaskError(f"the results of the group do not fit its plan: there is none of member {error}") from None


def listed(values: Sequence[msgspec.Raw]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(bytes(value) for value in values) + b"]")
