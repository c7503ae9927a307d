"""Events: what workers say of their tasks, to whoever listens just now. Their forms, and their addresses.

A topic exchange carries them, as transient messages that nobody confirms. Each message is a JSON array of events of one kind
and one queue, under the routing key `KIND.QUEUE`; a worker's beat, which says that it lives and what it runs, is sent every
some seconds under `worker.WORKER`. docs/events.md has the schema for other languages.

No I/O. Made by worker/announcer, read by listener.
"""

from __future__ import annotations

from functools import cache
from typing import Final, Literal, get_args

import msgspec

from leveret.tasks.ladder import word

EXCHANGE: Final = "leveret.events"
"""Topic, durable; declared by whoever says something or listens."""

BEAT_S: Final = 2.0
"""How often a worker says that it lives."""

WORD_CHARACTERS_MAX: Final = 240
TRACEBACK_CHARACTERS_MAX: Final = 4_000
"""The end of one says most."""

Kind = Literal["started", "progress", "failed", "retried", "succeeded", "parked", "cancelled", "worker"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""In the order in which they can come of one message."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True, gc=False):
    """`time` is in seconds since 1970, by the worker's clock. `worker` is one process for as long as it lives."""

    time: float = 0.0
    worker: str = ""


class TaskEvent(Event, frozen=True, kw_only=True, gc=False):
    """Of one message. `task` is empty for a plain message, `attempt` counts from 1."""

    task: str = ""
    id: str = ""
    queue: str = ""
    attempt: int = 1


class Started(TaskEvent, frozen=True, kw_only=True, gc=False, tag="started"):
    """It begins to run. `sent`: when its sender sent it, to the second, if it said so. `argument`: how its body begins, if it is text."""

    sent: float | None = None
    argument: str = ""


class Progressed(TaskEvent, frozen=True, kw_only=True, gc=False, tag="progress"):
    """It says how far it is; see replies.Progress."""

    done: float = 0.0
    total: float | None = None
    text: str = ""


class Succeeded(TaskEvent, frozen=True, kw_only=True, gc=False, tag="succeeded"):
    """`result`: how what it returned begins, for eyes; see worker/glimpse. Empty if it returned nothing."""

    took_s: float = 0.0
    result: str = ""


class Failed(TaskEvent, frozen=True, kw_only=True, gc=False, tag="failed"):
    """An attempt failed; `retried` or `parked` follows at once. `exception` is a type's name, `error` its text.

    `traceback` is the end of its traceback, empty where very many fail at a time.
    """

    took_s: float = 0.0
    exception: str = ""
    error: str = ""
    traceback: str = ""


class Retried(TaskEvent, frozen=True, kw_only=True, gc=False, tag="retried"):
    """The attempt failed, and another one is made in `delay_s`."""

    delay_s: float = 0.0
    exception: str = ""
    error: str = ""


class Parked(TaskEvent, frozen=True, kw_only=True, gc=False, tag="parked"):
    """It goes to its queue's dead letters; `reason` is one of those in docs/message-format.md. It may not have run at all."""

    took_s: float = 0.0
    reason: str = ""
    exception: str = ""
    error: str = ""


class Cancelled(TaskEvent, frozen=True, kw_only=True, gc=False, tag="cancelled"):
    took_s: float = 0.0


class Running(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task that a worker runs just now, since when, and how far it said that it is."""

    task: str = ""
    id: str = ""
    queue: str = ""
    attempt: int = 1
    since: float = 0.0
    done: float | None = None
    total: float | None = None
    text: str = ""


class Endings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How many attempts ended how. `failed` are those that raised; each is one of `retried` or `parked` as well."""

    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    parked: int = 0
    cancelled: int = 0


class Ended(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a task of a queue fared since the beat before. `all` counts all, `untold` those of them of which no event was made.

    `task` is empty for what the program has no task for. `took_s`: how long they ran, together.
    """

    task: str = ""
    queue: str = ""
    all: Endings = Endings()
    untold: Endings = Endings()
    took_s: float = 0.0


class Beat(Event, frozen=True, kw_only=True, tag="worker"):
    """A worker process lives: the next beat comes in `every_s`. `state` is "running", "quiet", "stopping" or, in the last, "stopped".

    `busy` of its `slots` tasks run, `running` are the oldest of them (RUNNING_MAX at most). `ran`: how many have ended since
    it `started`. `lost`: how many events it had to drop, for they could not be sent in time. `ended`: what ended
    since the beat before, events or not: whoever counts adds up `all`, or the events that he hears and `untold`. `weights` are
    those of its `queues` that are not 1. With a `supervisor`, which is the same for all its processes, it has `place` (1, 2, …)
    among them.
    """

    program: str = ""
    host: str = ""
    pid: int = 0
    version: str = ""
    started: float = 0.0
    state: str = "running"
    every_s: float = BEAT_S
    slots: int = 0
    busy: int = 0
    ran: int = 0
    lost: int = 0
    memory_bytes: int = 0
    queues: list[str] = []
    running: list[Running] = []
    ended: list[Ended] = []
    weights: dict[str, int] = {}
    supervisor: str = ""
    place: int = 0


AnyEvent = Started | Progressed | Succeeded | Failed | Retried | Parked | Cancelled | Beat


def read(body: bytes) -> list[AnyEvent]:
    """msgspec.DecodeError if it is none that this version knows."""
    return _decoder().decode(body)


@cache
def _decoder() -> msgspec.json.Decoder[list[AnyEvent]]:
    """Not made by workers, who only write events: it takes a while."""
    return msgspec.json.Decoder(list[AnyEvent])


def kind_of(event: Event) -> str:
    return str(type(event).__struct_config__.tag)


def address(kind: str, of: str) -> str:
    """The routing key; of a name whose word is too long for one the beginning counts."""
    return f"{kind}.{word(of)[:WORD_CHARACTERS_MAX]}"
