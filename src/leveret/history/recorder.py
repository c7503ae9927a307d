"""Writes what came in: one transaction a second, each table in one statement, so that the loop's thread is hardly ever in its way.

(While a statement runs Python's lock is free. Row by row, each would have to wait for it.) Used by history/keeper's thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from leveret.history.changes import Change, Clocks, merged, newly_long, of_event, of_notice, of_running
from leveret.history.figures import Row, Standing, Subject, of_beat
from leveret.history.intake import Heard, Piece, Sample
from leveret.history.rows import Limits, Notice
from leveret.history.schema import FAILURE_S, STEPS
from leveret.history.trimming import Trimming
from leveret.tasks.events import Beat, Parked, Retried

FIELDS: Final = Change.__struct_fields__
LIFE_CHARACTERS_MAX: Final = 8_000
LIFE_BEGINNING: Final = 2_000
"""Of a life that is longer so much is kept of its beginning, and the rest of its end."""

TRACES_CHARACTERS_MAX: Final = 16_000
"""Of the tracebacks of one task the last are kept, as they stand in JSON."""

SUBJECTS_MAX: Final = 5_000


def _value(place: int) -> str:
    return f"json_extract(value, '$[{place}]')"


UNSAID: Final[dict[str, str]] = dict.fromkeys(
    ("queue", "task", "worker", "exception", "error", "reason", "argument"), "''"
) | {"state": "'waiting'", "attempts": "1"}
"""What a column has that nothing was said of; null otherwise."""

_SAID: Final = ", ".join(
    f"coalesce({_value(place)}, {UNSAID[name]})" if name in UNSAID else _value(place)
    for place, name in enumerate(FIELDS)
)

TASKS: Final = f"""
insert into task ({", ".join(FIELDS)}) select {_SAID} from json_each(?1) where true
on conflict (vhost, id) do update set
    queue = iif(excluded.queue = '', queue, excluded.queue),
    task = iif(excluded.task = '', task, excluded.task),
    worker = iif(excluded.worker = '', worker, excluded.worker),
    argument = iif(excluded.argument = '', argument, excluded.argument),
    state = iif(excluded.changed >= changed, excluded.state, state),
    ended = iif(excluded.changed >= changed, excluded.ended, ended),
    attempts = max(attempts, excluded.attempts),
    sent = coalesce(sent, excluded.sent),
    started = min(coalesce(started, excluded.started), coalesce(excluded.started, started)),
    took_s = coalesce(excluded.took_s, took_s),
    exception = iif(excluded.exception = '' and excluded.state != 'succeeded', exception, excluded.exception),
    error = iif(excluded.exception = '' and excluded.state != 'succeeded', error, excluded.error),
    reason = iif(excluded.reason = '' and excluded.state != 'succeeded', reason, excluded.reason),
    changed = max(changed, excluded.changed),
    life = iif(length(life) + length(excluded.life) <= {LIFE_CHARACTERS_MAX}, life || excluded.life,
        substr(life, 1, {LIFE_BEGINNING}) || char(10) || substr(life || excluded.life, {LIFE_BEGINNING - LIFE_CHARACTERS_MAX})),
    traces = substr(traces || excluded.traces, -{TRACES_CHARACTERS_MAX})
"""

SUBJECTS: Final = (
    "insert into subject (kind, vhost, name) "
    "select json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') from json_each(?1) "
    "where true on conflict do nothing"
)

FIGURES: Final = f"""
insert into figure
select step, subject.id, cast(json_extract(value, '$[3]') / step as integer) * step, {", ".join(_value(place) for place in range(4, 12))}
from json_each(?1)
cross join ({" union all ".join(f"select {step} as step" for step in STEPS)})
join subject on (subject.kind, subject.vhost, subject.name) = ({_value(0)}, {_value(1)}, {_value(2)})
where true
on conflict (step, subject, at) do update set
    ready = coalesce(excluded.ready, ready), unacked = coalesce(excluded.unacked, unacked),
    consumers = coalesce(excluded.consumers, consumers),
    came = came + excluded.came, went = went + excluded.went, succeeded = succeeded + excluded.succeeded,
    failed = failed + excluded.failed, took_s = took_s + excluded.took_s
"""

FAILURES: Final = f"""
insert into failure
select cast({_value(0)} / {FAILURE_S} as integer) * {FAILURE_S}, {", ".join(_value(place) for place in range(1, 6))}, 1, {_value(0)}, {_value(0)}
from json_each(?1) where true
on conflict (at, vhost, queue, task, exception) do update set
    number = number + 1, error = excluded.error, first = min(first, excluded.first), last = max(last, excluded.last)
"""


class Recorder:
    def __init__(self, limits: Limits) -> None:
        self._clocks = Clocks()
        self._standing = Standing()
        self._trimming = Trimming(limits)
        self._subjects: set[Subject] = set()

    def begin(self, connection: sqlite3.Connection) -> None:
        """With that file from now on."""
        self._subjects = set(connection.execute("select kind, vhost, name from subject"))

    def write(self, connection: sqlite3.Connection, pieces: Sequence[Piece]) -> None:
        changes: list[Change] = []
        rows: list[Row] = []
        failures: list[tuple[float, str, str, str, str, str]] = []
        now = 0.0
        for piece in pieces:
            now = max(now, piece.at)
            if isinstance(piece, Sample):
                rows += self._standing.rows(piece.figures, piece.at, self._subjects)
            elif isinstance(piece, Notice):
                changes += of_notice(piece)
            else:
                self._hear(piece, changes, rows, failures)
        self._write(connection, TASKS, merged(changes))
        self._write_figures(connection, rows)
        self._write(connection, FAILURES, failures)
        if self._trimming.trim(connection, now):
            self.begin(connection)

    def _hear(
        self,
        heard: Heard,
        changes: list[Change],
        rows: list[Row],
        failures: list[tuple[float, str, str, str, str, str]],
    ) -> None:
        event, now, vhost = heard.event, heard.at, heard.vhost
        if isinstance(event, Beat):
            self._clocks.hear(event, now)
            rows += of_beat(event, now, vhost)
            for one in newly_long(event):
                since = self._clocks.right(event.worker, one.since, now)
                changes.append(of_running(one, event, now, since, vhost))
            return
        at = self._clocks.right(event.worker, event.time, now)
        change = of_event(event, at, vhost)
        changes.append(change)
        if isinstance(event, Retried | Parked):  # each attempt that failed is followed by one of these
            failures.append(
                (at, change.vhost, change.queue or "", change.task or "", change.exception or "", change.error or "")
            )

    def _write_figures(self, connection: sqlite3.Connection, rows: list[Row]) -> None:
        new = {row.subject for row in rows} - self._subjects
        room = SUBJECTS_MAX - len(self._subjects)
        if new:
            taken = sorted(new, reverse=True)[: max(0, room)]  # so that the total is among them
            self._write(connection, SUBJECTS, taken)
            self._subjects.update(taken)
        self._write(connection, FIGURES, rows)

    def _write(self, connection: sqlite3.Connection, statement: str, values: Iterable[Any]) -> None:
        listed = list(values)
        if listed:
            connection.execute(statement, (msgspec.json.encode(listed).decode(),))
