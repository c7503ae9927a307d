"""Counts that only grow, and how queues stand, made into what is added to each five seconds. Pure; used by history/recorder.

Of queues only those get rows that changed since they were last looked at: for the others their last row still holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from leveret.history.rows import Figures
from leveret.history.words import name
from leveret.tasks.events import Beat

PASSING: Final = ("amq.gen-", "leveret.")
"""Names of queues that come and go, or are only a way: of these nothing is kept."""

Subject = tuple[str, str, str]
"""Kind, virtual host, name."""


class Row(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """In the order of the statement that writes it."""

    kind: str
    vhost: str
    name: str
    at: float
    ready: int | None = None
    unacked: int | None = None
    consumers: int | None = None
    came: int = 0
    went: int = 0
    succeeded: int = 0
    failed: int = 0
    took_s: float = 0.0

    @property
    def subject(self) -> Subject:
        return self.kind, self.vhost, self.name


class Standing:
    """How the queues stood last. `known`: those that have rows already."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], Figures] = {}
        self._looked = False

    def rows(self, figures: Sequence[Figures], at: float, known: Iterable[Subject]) -> list[Row]:
        last, now = self._last, {(one.vhost, one.name): one for one in figures}
        self._last = now
        queues = [row for one in figures for row in self._queue(one, last.get((one.vhost, one.name)), at, known)]
        queues += [_gone(one, at) for key, one in last.items() if key not in now and _stands(one)]
        total = Row(kind="total", vhost="", name="", at=at, ready=0, unacked=0, consumers=0)
        for one in figures:
            total.ready, total.unacked = (total.ready or 0) + one.ready, (total.unacked or 0) + one.unacked
            total.consumers = (total.consumers or 0) + one.consumers
        for row in queues:
            total.came += row.came
            total.went += row.went
        self._looked = True
        return [total, *(row for row in queues if not row.name.startswith(PASSING))]

    def _queue(self, one: Figures, last: Figures | None, at: float, known: Iterable[Subject]) -> Iterable[Row]:
        if one == last:
            return
        if last is None and not self._looked:  # since when it has counted nobody knows
            came = went = 0
            if not _stands(one) and ("queue", one.vhost, one.name) not in known:
                return
        else:
            came = grown(one.published, 0 if last is None else last.published)
            went = grown(one.taken, 0 if last is None else last.taken)
            if last is None and not came and not went and not _stands(one):
                return
        yield Row(
            kind="queue",
            vhost=name(one.vhost),
            name=name(one.name),
            at=at,
            ready=one.ready,
            unacked=one.unacked,
            consumers=one.consumers,
            came=came,
            went=went,
        )


def _stands(one: Figures) -> bool:
    return bool(one.ready or one.unacked or one.consumers)


def _gone(one: Figures, at: float) -> Row:
    return Row(kind="queue", vhost=name(one.vhost), name=name(one.name), at=at, ready=0, unacked=0, consumers=0)


def grown(now: int, before: int) -> int:
    """Since then; a count that is lower than before began anew."""
    return now - before if now >= before else now


def of_beat(beat: Beat, at: float, vhost: str) -> Iterable[Row]:
    """How tasks ended since the beat before: by task, by queue, and together."""
    for tally in beat.ended:
        for kind, where, called in (("task", vhost, tally.task), ("queue", vhost, tally.queue), ("total", "", "")):
            yield Row(
                kind=kind,
                vhost=name(where),
                name=name(called),
                at=at,
                succeeded=tally.all.succeeded,
                failed=tally.all.failed,
                took_s=tally.took_s,
            )
