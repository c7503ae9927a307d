"""Results that outlive the process that sent: what is kept of a task, and what a store of them has to do.

    work = WorkQueue(results_store="results.sqlite")

    @work.task(keep_result=timedelta(days=1))
    def total(numbers: list[int]) -> int: ...

Workers write, before they acknowledge (worker/keeping); `WorkQueue.result_of` and `Sent.result` read. A store is a file
(tasks/result_file) or a table (contrib/sqlalchemy_results).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from leveret.errors import TaskError
from leveret.tasks.replies import Answer, Error

State = Literal["done", "failed", "parked", "cancelled"]

DONE: Final = "done"
FAILED: Final = "failed"


class Kept(msgspec.Struct, frozen=True):
    """What is known of the task with this message id. `failed`: its last attempt did, and another one follows.

    `json` is what it returned, `error` why there is no value. `started` is when the last attempt began.
    """

    id: str
    task: str
    state: State
    attempts: int
    started: datetime
    ended: datetime
    json: bytes = b"null"
    error: Error | None = None

    @property
    def value(self) -> Any:
        """As plain JSON values; in its annotated type by `work.sent(id, task).result()`."""
        return msgspec.json.decode(self.json)

    @property
    def answer(self) -> Answer | None:
        """None while it goes on."""
        return None if self.state == FAILED else Answer(msgspec.Raw(self.json), self.error)


class Results(ABC):
    """Called on any thread, by several processes at a time. ResultsUnavailable if it cannot be reached just now."""

    @abstractmethod
    def put(self, kept: Kept, until: datetime) -> None:
        """Keep it until then, in place of what was kept under its id; but what is done stays done. On disk when this returns."""

    @abstractmethod
    def get(self, id: str, now: datetime) -> Kept | None:
        """What is kept, unless its time is over."""

    @abstractmethod
    def sweep(self, now: datetime) -> None:
        """Delete what need not be kept any more."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open. It opens again when it is used."""


def lasting(value: float | timedelta) -> timedelta:
    """How long to keep. TaskError if it makes no sense."""
    try:
        span = value if isinstance(value, timedelta) else timedelta(seconds=value)
        _ = datetime.now(UTC) + span
    except OverflowError:
        raise TaskError(f"keep_result={value} is longer than any time") from None
    if span <= timedelta():
        raise TaskError(f"keep_result={value}: expected a time above 0")
    return span


def ms(time: datetime) -> int:
    """Since the epoch."""
    return int(time.timestamp() * 1000)


def store_at(place: Results | str | Path | None) -> Results | None:
    """Looked up only here: programs that keep no results load no database."""
    if isinstance(place, str | Path):
        store: Results = import_module("leveret.tasks.result_file").ResultFile(place)
        return store
    return place
