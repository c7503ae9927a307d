"""Judges what a power loss left: opens it with the real product, and holds it against what was promised before.

1. It opens, SQLite finds nothing wrong with it, and it holds exactly what a commit left: the last that had returned, or
   the one under way. This is the head of store/store.py.
2. Each message, queue, exchange, binding and setting is where its history allows (powerloss/history): what was confirmed
   is there, what was acknowledged and reported is not, a dead letter is in one place, octets are those published.
3. Counts of a queue are those of its rows; what is struck off or not persistent is gone after the start.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from leveret.broker.definitions import read_table
from leveret.broker.message import decode_stored
from leveret.broker.settings import GLOBAL_PARAMETER
from leveret.errors import StoreError
from leveret.store.database import Database, Load, Recovered
from leveret.store.store import FILE_NAME
from powerloss.acts import NUMBER_BYTES
from powerloss.disk import Image
from powerloss.history import NOWHERE, Copy
from powerloss.life import DIRECTORY, INCARNATION, LINE, place_of
from powerloss.recorded import Trace, contents

EVERYTHING: Final = 1 << 60

LOST: Final = "lost"
CORRUPT: Final = "corrupt"
CAME_BACK: Final = "came back"
DOUBLED: Final = "doubled"

# What was found right after the crash. The numbers are those at the head of store/store.py.
AT_REST: Final = "nothing under way"
NOT_COMMITTED: Final = "1: commit under way is not there"
NOT_REPORTED: Final = "2: commit under way is there"
REDELIVERED: Final = "3: acknowledged, there again"
STRUCK_OFF: Final = "4: deleted, rows still there"


@dataclass(frozen=True)
class Problem:
    kind: str
    text: str


@dataclass
class Found:
    """One image as it was found. `rows`: messages as (place, deliveries, body), by number."""

    problems: list[Problem] = field(default_factory=list)
    states: set[str] = field(default_factory=set)
    rows: dict[int, list[tuple[str, int, bytes]]] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)

    def wrong(self, kind: str, text: str) -> None:
        self.problems.append(Problem(kind, text))


def write_image(image: Image, root: Path) -> None:
    for path in sorted(image):
        content = image[path]
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)


class Judge:
    """Of one trace, at places that go up: what is over for good need not be looked at again."""

    def __init__(self, trace: Trace) -> None:
        self._trace: Final = trace
        self._alive: list[Copy] = list(trace.copies)
        self._returned: Final = [position for position, _ in trace.commits]
        self._bodies: Final = {copy.number: copy.body for copy in trace.copies}

    def pass_to(self, at: int) -> None:
        self._alive = [copy for copy in self._alive if not copy.places.over(at)]

    def judge(self, root: Path, at: int, commits: list[str] | None = None) -> Found:
        """`commits`: the contents that are right, where they are not those around `at`."""
        found = Found()
        directory = root / DIRECTORY
        directory.mkdir(exist_ok=True)
        try:
            database = Database(directory / FILE_NAME)
        except StoreError as error:
            found.wrong(CORRUPT, str(error))
            return found
        try:
            self._judge_contents(database, found, at, commits)
            recovered = database.recover()
            self._judge_rows(database, recovered, found)
        except (StoreError, sqlite3.Error) as error:
            found.wrong(CORRUPT, str(error))
            return found
        finally:
            self._close(database, found)
        self._judge_messages(found, at)
        self._judge_named(found, at)
        return found

    def _close(self, database: Database, found: Found) -> None:
        """Which writes once more: what is damaged may be found out by that alone."""
        try:
            database.close()
        except sqlite3.Error as error:
            found.wrong(CORRUPT, f"when it was closed: {error}")

    # ---- what is on the disk

    def _judge_contents(self, database: Database, found: Found, at: int, commits: list[str] | None) -> None:
        connection = database._connection
        report = connection.execute("pragma integrity_check(1)").fetchone()[0]
        if report != "ok":
            found.wrong(CORRUPT, report)
        there = contents(connection)
        if database.ranges_gone():
            found.states.add(STRUCK_OFF)
        if commits is not None:
            if there not in commits:
                found.wrong(CORRUPT, "not what any commit left")
            return
        before, after = self._commits_around(at)
        if there == before:
            found.states.add(AT_REST if at in self._returned else NOT_COMMITTED)
        elif there == after:
            found.states.add(NOT_REPORTED)
        else:
            earlier = any(there == digest for _, digest in self._trace.commits)
            found.wrong(LOST if earlier else CORRUPT, "not what the last commit left, nor the one under way")

    def _commits_around(self, at: int) -> tuple[str, str]:
        """The contents after the last commit that had returned there, and after the next."""
        commits = self._trace.commits
        next_one = bisect_right(self._returned, at)
        return commits[max(0, next_one - 1)][1], commits[min(next_one, len(commits) - 1)][1]

    def _judge_rows(self, database: Database, recovered: Recovered, found: Found) -> None:
        """After the product's own recovery, through its own eyes."""
        names: dict[int, str] = {}
        for row in recovered.queues:
            if row.name == LINE:
                names[row.id] = LINE
                continue
            if row.priority == 0:
                found.named[f"queue {row.name}"] = str(read_table(json.loads(row.definition)["arguments"])[INCARNATION])
            names[row.id] = place_of(row.name, found.named.get(f"queue {row.name}"))
        living = 0
        for row in recovered.queues:
            load = Load(row.id, 0, EVERYTHING, EVERYTHING, lambda rows: None)
            database.load(load)
            living += len(load.rows)
            if (row.messages, row.bytes) != (len(load.rows), sum(len(kept.data) for kept in load.rows)):
                found.wrong(CORRUPT, f"{row.name} says {row.messages} messages, and has {len(load.rows)}")
            for _, deliveries, _, _, data in load.rows:
                body = decode_stored(data)[3]
                number = int.from_bytes(body[:NUMBER_BYTES], "big")
                found.rows.setdefault(number, []).append((names[row.id], deliveries, body))
        self._judge_dead(database, recovered, living, found)
        self._read_named(recovered, found)

    def _judge_dead(self, database: Database, recovered: Recovered, living: int, found: Found) -> None:
        """What belongs to no queue is being deleted."""
        execute = database._connection.execute
        rows = execute("select count(*) from message").fetchone()[0]
        dead = sum(
            execute("select count(*) from message where id between ? and ?", struck).fetchone()[0]
            for struck in recovered.dead
        )
        if rows != living + dead:
            found.wrong(CORRUPT, f"of {rows} rows, {living} are in queues and {dead} are being deleted")

    def _read_named(self, recovered: Recovered, found: Found) -> None:
        for exchange in recovered.exchanges:
            found.named[f"exchange {exchange.name}"] = "there"
        for bound in recovered.bindings:
            definition = json.loads(bound.definition)
            found.named[f"binding {definition['source']} {definition['destination']}"] = "there"
        for key, value in recovered.settings.items():
            kind, *rest = json.loads(key) if key.startswith("[") else (key,)
            if kind == GLOBAL_PARAMETER:
                found.named[f"setting {rest[0]}"] = str(json.loads(value))

    # ---- what was promised

    def _judge_messages(self, found: Found, at: int) -> None:
        for number, rows in found.rows.items():
            if number in self._trace.transient:
                found.wrong(CAME_BACK, f"transient message {number}")
            elif number not in self._bodies:
                found.wrong(CORRUPT, f"message {number} was never published")
            elif any(body != self._bodies[number] for _, _, body in rows):
                found.wrong(CORRUPT, f"message {number} has other octets")
        told: Counter[int] = Counter()
        for copy in self._alive:
            rows = [row for row in found.rows.get(copy.number, []) if self._is_of(copy, row[0])]
            told[copy.number] += len(rows)
            self._judge_copy(copy, rows, found, at)
        for number, rows in found.rows.items():
            if number in self._bodies and told[number] != len(rows):
                found.wrong(CAME_BACK, f"message {number} is {[place for place, _, _ in rows]}")

    def _is_of(self, copy: Copy, place: str) -> bool:
        return any(step.value == place for step in copy.places.steps)

    def _judge_copy(self, copy: Copy, rows: list[tuple[str, int, bytes]], found: Found, at: int) -> None:
        allowed = copy.places.allowed(at)
        if not rows:
            if NOWHERE not in allowed:
                found.wrong(LOST, f"message {copy.number} should be in {sorted(allowed)}")
            return
        if len(rows) > 1:
            found.wrong(DOUBLED, f"message {copy.number} is in {[place for place, _, _ in rows]}")
        place, deliveries, _ = rows[0]
        if place not in allowed:
            found.wrong(CAME_BACK, f"message {copy.number} is in {place}, not in {sorted(allowed)}")
        if copy.places.asked_for(at) == NOWHERE:
            found.states.add(REDELIVERED)
        returns = copy.returns.get(place)
        right = {NOWHERE} if returns is None else returns.allowed(at)
        if deliveries not in {int(count or 0) for count in right}:
            found.wrong(LOST, f"message {copy.number} came back {deliveries} times, not {sorted(right)}")

    def _judge_named(self, found: Found, at: int) -> None:
        for name, history in self._trace.named.items():
            value, allowed = found.named.get(name, NOWHERE), history.allowed(at)
            if value not in allowed:
                kind = LOST if value == NOWHERE or NOWHERE not in allowed else CAME_BACK
                found.wrong(kind, f"{name} is {value or 'not there'}, not {sorted(allowed)}")
