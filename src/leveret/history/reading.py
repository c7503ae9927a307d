"""The questions that a history answers, each on its thread. Reads only.

Used by history/history.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

import msgspec

from leveret.history.rows import Entry, Filter, Of, Series, TaskLife, TaskRow, Trend
from leveret.history.schema import FAILURE_S, STEPS

FAILED: Final = "failed"
LIMIT_MAX: Final = 1_000
POINTS_MAX: Final = 2_000
TRENDS_MAX: Final = 500
COLUMNS: Final = TaskRow.__struct_fields__
SELECT: Final = f"select {', '.join(COLUMNS)} from task"
GAUGES: Final = ("ready", "unacked", "consumers")
COUNTS: Final = ("came", "went", "succeeded", "failed", "took_s")
ROWS_MAX: Final = 6_000
"""So many are added up for one series."""

WITHIN: Final = (
    "from figure where step = ?1 and subject = (select id from subject where kind = ?2 and vhost = ?3 and name = ?4)"
)
SUMS: Final = f"select (at - ?5) / ?7, {', '.join(f'sum({name})' for name in COUNTS)} {WITHIN} and at >= ?5 and at < ?6 group by 1"
STOOD: Final = f"select (at - ?5) / ?7, {{}} {WITHIN} and at >= ?5 and at < ?6 and ready is not null order by at"
BEFORE: Final = f"select {{}} {WITHIN} and at < ?5 and ready is not null order by at desc limit 1"
LOOKED: Final = (
    "select distinct (at - ?2) / ?4 from figure where step = ?1 and subject = (select id from subject where kind = 'total') "
    "and at >= ?2 and at < ?3 and ready is not null"
)
FAILING: Final = "select vhost, queue, task, exception, error, at, number, first, last from failure where at >= ? and at < ? order by at"

_lines: Final = msgspec.json.Decoder(tuple[float, str, str])
_traces: Final = msgspec.json.Decoder(tuple[float, str])


def tasks(connection: sqlite3.Connection, filter: Filter) -> list[TaskRow]:
    conditions = ["changed < ?", "changed >= ?"]
    values: list[object] = [filter.before, filter.since]
    for name in ("id", "task", "queue", "worker", "exception"):
        if value := getattr(filter, name):
            conditions.append(f"{name} = ?")
            values.append(value)
    for column, wanted in (("state", filter.state), ("vhost", filter.vhosts)):
        if wanted:
            conditions.append(f"{column} in ({', '.join('?' * len(wanted))})")
            values += wanted
    if filter.argument:
        conditions.append("instr(argument, ?)")
        values.append(filter.argument)
    values.append(max(0, min(filter.limit, LIMIT_MAX)))
    where = " and ".join(conditions)
    found = connection.execute(f"{SELECT} where {where} order by changed desc limit ?", values)
    return [_row(values) for values in found]


def task(connection: sqlite3.Connection, id: str, vhost: str | None) -> TaskLife | None:
    where = "id = ?1 and (?2 is null or vhost = ?2) order by changed desc limit 1"
    found = connection.execute(
        f"select life, traces, {', '.join(COLUMNS)} from task where {where}", (id, vhost)
    ).fetchone()
    if found is None:
        return None
    life, traces, *row = found
    return TaskLife(_row(tuple(row)), sorted(_life(life, dict(_traced(traces))), key=lambda one: one.at))


def _row(values: tuple[object, ...]) -> TaskRow:
    return TaskRow(**dict(zip(COLUMNS, values, strict=True)))  # type: ignore[arg-type]  # as the table has them


def _life(text: str, traces: Mapping[float, str]) -> Iterable[Entry]:
    for line in text.split("\n"):
        with suppress(msgspec.DecodeError):  # where the middle was cut out
            at, what, detail = _lines.decode(line)
            yield Entry(at, what, detail, traces.get(at, "") if what == FAILED else "")


def _traced(text: str) -> Iterable[tuple[float, str]]:
    for line in text.split("\n"):
        with suppress(msgspec.DecodeError):  # where the beginning was cut off
            yield _traces.decode(line)


def series(connection: sqlite3.Connection, of: Of, since: float, until: float, points: int) -> Series:
    points = max(1, min(points, POINTS_MAX))
    step = _step(connection, since, until, points)
    wide = max(1, math.ceil((until - since) / (step * points))) * step
    first = int(since // wide * wide)
    places = max(1, min(points, math.ceil((until - first) / wide)))
    at = [float(first + place * wide) for place in range(places)]
    within = (step, of.kind, of.vhost, of.name, first, first + places * wide)
    ready, unacked, consumers = (_stood(connection, gauge, within, wide, places) for gauge in GAUGES)
    counted = [[0.0] * places for _ in COUNTS]
    for place, *sums in connection.execute(SUMS, (*within, wide)):
        for values, one in zip(counted, sums, strict=True):
            values[place] = one / wide
    return Series(wide, at, ready, unacked, consumers, *counted)


def _step(connection: sqlite3.Connection, since: float, until: float, points: int) -> int:
    """The finest that reaches so far back, if it has not many more rows than are asked for."""
    (newest,) = connection.execute("select max(at) from figure where step = 900").fetchone()
    for step, kept_s in STEPS.items():
        if (not kept_s or since >= (newest or until) - kept_s) and (until - since) / step <= ROWS_MAX:
            return step
    return max(STEPS)


def _stood(
    connection: sqlite3.Connection, gauge: str, within: tuple[object, ...], wide: int, places: int
) -> list[int | None]:
    """A queue that did not change has no row: as long as anybody looked at any queue it is as it was."""
    looked = {place for (place,) in connection.execute(LOOKED, (within[0], *within[4:], wide))}
    before = connection.execute(BEFORE.format(gauge), within[:5]).fetchone()
    last: int | None = None if before is None else before[0]
    told = dict(connection.execute(STOOD.format(gauge), (*within, wide)))
    found: list[int | None] = []
    for place in range(places):
        last = told.get(place, last)
        found.append(last if place in looked else None)
    return found


def failing(connection: sqlite3.Connection, since: float, until: float, points: int) -> list[Trend]:
    points = max(1, min(points, POINTS_MAX))
    wide = max(1, math.ceil((until - since) / (FAILURE_S * points))) * FAILURE_S
    first = int(since // wide * wide)
    places = max(1, min(points, math.ceil((until - first) / wide)))
    trends: dict[tuple[str, str, str, str], Trend] = {}
    for row in connection.execute(FAILING, (first, first + places * wide)):
        vhost, queue, task, exception, error, at, number, began, last = row
        known = trends.get((vhost, queue, task, exception))
        trend = known or Trend(vhost, queue, task, exception, error, 0, began, last, first, wide, [0] * places)
        trends[vhost, queue, task, exception] = trend
        trend.count += number
        trend.first = min(trend.first, began)
        if last >= trend.last:
            trend.last, trend.error = last, error
        trend.counts[(at - first) // wide] += number
    return sorted(trends.values(), key=lambda trend: -trend.count)[:TRENDS_MAX]
