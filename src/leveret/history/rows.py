"""The values that go into a history and come out of it. No I/O; all times are seconds since 1970.

Everything here goes into JSON as it is, in the names that the dashboard's pages have.
"""

from __future__ import annotations

from typing import Final, Literal, Self, get_args
from urllib.parse import quote, unquote

import msgspec

State = Literal["running", "waiting", "succeeded", "parked", "cancelled", "expired", "dropped"]
STATES: Final[tuple[State, ...]] = get_args(State)
"""`waiting`: it failed or came back, and will run again. The last four ended without success; `dropped`: purged, or given up
by the broker where nobody wants what is given up."""

EVER: Final = 1e12


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept at most. What succeeded goes before what failed, and the oldest of it first."""

    tasks_max: int = 100_000
    days: float = 14.0
    bytes_max: int = 256 * 1024 * 1024


class Of(msgspec.Struct, frozen=True):
    """What a series is of: all queues together, one queue, or one task in all its queues."""

    kind: Literal["total", "queue", "task"]
    vhost: str = ""
    name: str = ""

    @classmethod
    def total(cls) -> Self:
        return cls("total")

    @classmethod
    def queue(cls, vhost: str, name: str) -> Self:
        return cls("queue", vhost, name)

    @classmethod
    def task(cls, vhost: str, name: str) -> Self:
        return cls("task", vhost, name)

    @classmethod
    def parse(cls, text: str) -> Self:
        """`total`, `queue/VHOST/NAME` or `task/VHOST/NAME`, each name percent-encoded. ValueError if it is none of these."""
        kind, *names = text.split("/")
        if kind == "total" and not names:
            return cls.total()
        if kind in ("queue", "task") and len(names) == 2:
            return cls(kind, unquote(names[0]), unquote(names[1]))  # type: ignore[arg-type]  # checked above
        raise ValueError(f"{text!r}: expected total, queue/VHOST/NAME or task/VHOST/NAME")

    def __str__(self) -> str:
        return self.kind if self.kind == "total" else f"{self.kind}/{quote(self.vhost, '')}/{quote(self.name, '')}"


class Figures(msgspec.Struct, frozen=True, gc=False):
    """How a queue stands. `published` and `taken` count all since the broker started, or the queue was made.

    `taken` are those that left it by an acknowledgement, or with a consumer that gives none. A number lower than before means
    that counting began anew.
    """

    vhost: str
    name: str
    ready: int
    unacked: int
    published: int
    taken: int
    consumers: int


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the broker did with messages besides delivering them: `number` of them, of which `ids` are known.

    `what`: "requeued", "dead-lettered", "dropped" or "purged"; `why` in words; `connection`: whose they were, if anybody's.
    """

    at: float
    vhost: str
    queue: str
    what: str
    why: str = ""
    connection: str = ""
    number: int = 1
    ids: list[str] = []


class TaskRow(msgspec.Struct, kw_only=True):
    """One message, as it was last heard of. None: it is not known, or has not happened.

    `changed`: when it was last heard of. `took_s` and `error` are of the last attempt that ended. `argument`: the beginning
    of its arguments, as JSON.
    """

    id: str
    vhost: str = "/"
    queue: str = ""
    task: str = ""
    state: State = "running"
    attempts: int = 1
    worker: str = ""
    sent: float | None = None
    started: float | None = None
    ended: float | None = None
    changed: float = 0.0
    took_s: float | None = None
    exception: str = ""
    error: str = ""
    reason: str = ""
    argument: str = ""


class Entry(msgspec.Struct, frozen=True):
    """Something that happened to a message: `what` is an event's kind, or a Notice's `what`; of an attempt that failed
    there may be a `traceback`."""

    at: float
    what: str
    detail: str = ""
    traceback: str = ""


class TaskLife(msgspec.Struct):
    """The oldest entries first. Of a very long life the middle is left out."""

    row: TaskRow
    life: list[Entry]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks; empty: all. `id` is compared whole, `argument` may be any part of it. The newest first.

    `before`: last heard of before then; for the next page give the last row's `changed`.
    """

    id: str = ""
    task: str = ""
    queue: str = ""
    vhosts: tuple[str, ...] = ()
    worker: str = ""
    state: tuple[State, ...] = ()
    exception: str = ""
    argument: str = ""
    since: float = 0.0
    before: float = EVER
    limit: int = 100


class Series(msgspec.Struct, rename={"in_": "in"}):
    """`step_s` apart, `at` is where each begins. ready, unacked, consumers: as it stood at its end, None where nobody looked.

    All others are per second; `took_s`: seconds that tasks ran, per second, which is how many ran at a time.
    """

    step_s: float
    at: list[float]
    ready: list[int | None]
    unacked: list[int | None]
    consumers: list[int | None]
    in_: list[float]
    out: list[float]
    succeeded: list[float]
    failed: list[float]
    took_s: list[float]


class Trend(msgspec.Struct):
    """Attempts that failed alike, `counts` of them in each of the `step_s` long stretches since `since`."""

    vhost: str
    queue: str
    task: str
    exception: str
    error: str
    """Of the last one."""
    count: int
    first: float
    last: float
    since: float
    step_s: float
    counts: list[int]
