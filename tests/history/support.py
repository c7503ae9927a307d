"""A history of its own for a test, and what workers and brokers would say, on a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from leveret.history import Figures, Filter, History, Limits, Notice, Of, Series, TaskLife, TaskRow, Trend
from leveret.tasks.events import Beat, Ended, Endings

T = TypeVar("T")
NOW = 1_700_000_000.0
"""Where steps of five seconds, minutes and quarters of an hour begin is counted from 1970: this is none of the latter two."""


def of(kind: Any, id: str = "1", at: float = NOW, **options: Any) -> Any:
    return kind(**{"worker": "w1", "time": at, "task": "send", "id": id, "queue": "mail", **options})


def beat(at: float = NOW, **options: Any) -> Beat:
    return Beat(**{"worker": "w1", "time": at, "slots": 4, "queues": ["mail"], **options})


def ended(queue: str = "mail", task: str = "send", took_s: float = 0.0, **numbers: int) -> Ended:
    return Ended(queue=queue, task=task, all=Endings(**numbers), took_s=took_s)


def figures(name: str = "mail", ready: int = 0, published: int = 0, taken: int = 0, **options: Any) -> Figures:
    given = {"vhost": "/", "unacked": 0, "consumers": 0, **options}
    return Figures(name=name, ready=ready, published=published, taken=taken, **given)


def notice(*ids: str, at: float = NOW, what: str = "requeued", **options: Any) -> Notice:
    given = {"vhost": "/", "queue": "mail", "why": "connection closed", "connection": "c1", **options}
    return Notice(at=at, what=what, ids=list(ids), number=len(ids), **given)


class Book:
    """A history that a plain function writes into and asks: what was written before is always read."""

    def __init__(self, path: Path | None = None, **limits: Any) -> None:
        self._runner = asyncio.Runner()
        self.history = History.open(path, Limits(**limits))

    def heard(self, *events: Any, at: float = NOW, vhost: str = "/") -> None:
        self.history.take(events, at, vhost)

    def tasks(self, **filter: Any) -> list[TaskRow]:
        return self._of(self.history.tasks(Filter(**filter)))

    def ids(self, **filter: Any) -> list[str]:
        return [row.id for row in self.tasks(**filter)]

    def row(self, id: str = "1") -> TaskRow:
        return self.life_of(id).row

    def life_of(self, id: str = "1", vhost: str | None = None) -> TaskLife:
        found = self._of(self.history.task(id, vhost))
        assert found is not None
        return found

    def life(self, id: str = "1") -> list[tuple[float, str, str]]:
        """Seconds from NOW on, what, detail."""
        return [(round(one.at - NOW, 3), one.what, one.detail) for one in self.life_of(id).life]

    def series(self, of: Of, since: float = NOW, until: float = NOW + 60, points: int = 120) -> Series:
        return self._of(self.history.series(of, since, until, points))

    def failing(self, since: float = NOW, until: float = NOW + 60, points: int = 24) -> list[Trend]:
        return self._of(self.history.failing(since, until, points))

    def knows(self, id: str) -> bool:
        return self._of(self.history.task(id)) is not None

    def close(self) -> None:
        self._runner.run(self.history.close())

    def flush(self) -> None:
        self._runner.run(self.history.flush())

    def _of(self, question: Coroutine[Any, Any, T]) -> T:
        self.flush()
        return self._runner.run(question)
