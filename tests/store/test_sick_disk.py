"""A full disk is waited for, and nothing is lost or promised meanwhile; any other failure of the disk is the end."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from leveret.store import committer
from leveret.store.batch import POSITION_BITS
from leveret.store.database import Database, Work
from leveret.store.schema import BUSY_MS
from leveret.store.store import FILE_NAME
from store.support import WAIT_S, Bench, Message

LOTS = 1 << 30


class SmallDisk(Database):
    """SQLite itself finds no room beyond `pages`, in the midst of a commit."""

    pages = LOTS

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.tries = 0

    def commit(self, work: Work, lock_ms: int = BUSY_MS) -> None:
        self.tries += 1
        self._connection.execute(f"pragma max_page_count = {self.pages}")
        super().commit(work, lock_ms)


class Sick:
    """A store on a disk that becomes full."""

    def __init__(self, directory: Path, make: Callable[[Path], Database] = SmallDisk) -> None:
        self.made: list[Database] = []

        def open_database(path: Path) -> Database:
            self.made.append(make(path))
            return self.made[0]

        self.bench = Bench(directory, open_database)
        self.stuck: list[str] = []
        self.bench.store.on_stuck = self.stuck.append

    @property
    def disk(self) -> SmallDisk:
        assert isinstance(self.made[0], SmallDisk)
        return self.made[0]

    def fill(self, first: int, count: int, size: int = 1000) -> list[Message]:
        messages = [Message(1, position, b"x" * size) for position in range(first, first + count)]
        self.bench.add(*messages)
        return messages

    def become_full(self, first: int = 100, count: int = 1000) -> list[Message]:
        """The messages that find no room."""
        self.disk.pages = 1  # SQLite takes the size that the file has
        messages = self.fill(first, count)
        self.bench.until(lambda: self.stuck)
        return messages


@pytest.fixture
def sick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sick:
    monkeypatch.setattr(committer, "RETRY_S", 0.01)
    sick = Sick(tmp_path)
    sick.bench.store.save_queue(1, "/", "jobs", "{}")
    sick.fill(0, 100)
    sick.bench.settle()
    return sick


def test_what_finds_no_room_is_committed_once_there_is_some(sick: Sick, tmp_path: Path) -> None:
    late = sick.become_full()
    tries = sick.disk.tries
    while sick.disk.tries < tries + 3:
        sick.bench.store.flush_soon(0)
    assert sick.stuck == ["room on the disk"] and sick.bench.store.stuck
    assert not any(message.reports for message in late)
    later = sick.fill(5000, 10)
    sick.disk.pages = LOTS
    sick.bench.settle()
    assert sick.stuck == ["room on the disk", ""] and not sick.bench.store.stuck
    assert all(message.reports == 1 for message in late + later)
    sick.bench.store.close()
    again = Bench(tmp_path)
    assert len(again.positions(1)) == again.recovered.queues[0].messages == 1110
    again.store.close()


def test_meanwhile_what_is_on_disk_can_be_read_and_what_is_not_is_waited_for(sick: Sick) -> None:
    sick.become_full()
    assert sick.bench.positions(1, 90) == list(range(90, 100))
    found: list[int] = []
    sick.bench.store.load(1, 100, 10, LOTS, lambda rows: found.extend(row.position for row in rows))
    tries = sick.disk.tries
    while sick.disk.tries < tries + 3:
        sick.bench.store.flush_soon(0)
    assert found == []
    sick.disk.pages = LOTS
    sick.bench.until(lambda: found)
    assert found == list(range(100, 110))
    sick.bench.store.close()


def test_what_is_asked_for_just_as_the_commit_goes_through_is_read(sick: Sick) -> None:
    sick.become_full()
    sick.disk.pages = LOTS
    not_heard_yet = [sick.bench.calls.get(timeout=WAIT_S) for _ in ("there is room", "it is committed")]
    assert sick.bench.store.stuck
    found: list[int] = []
    for first in (95, 5000):
        sick.bench.store.load(1, first, 10, LOTS, lambda rows: found.append(len(rows)))
        sick.bench.store.flush_soon(0)
    for call in not_heard_yet:
        call()
    sick.bench.until(lambda: len(found) == 2)
    assert found == [10, 0]
    sick.bench.store.close()


def test_a_broker_that_ends_meanwhile_gives_up_and_loses_nothing_that_was_promised(sick: Sick, tmp_path: Path) -> None:
    late = sick.become_full()
    sick.bench.store.close()
    (error,) = sick.bench.errors
    assert str(error).startswith(f"{tmp_path / FILE_NAME}: still waiting for room on the disk; ")
    assert not any(message.reports for message in late)
    again = Bench(tmp_path)
    assert again.positions(1) == list(range(100))
    again.store.close()


def test_deleted_rows_go_when_there_is_room_again(sick: Sick) -> None:
    class NoRoom(sqlite3.OperationalError):
        sqlite_errorcode = sqlite3.SQLITE_FULL

    refused: list[int] = []
    delete = sick.disk.delete_slice

    def delete_slice(first: int, last: int) -> bool:
        if not refused:
            refused.append(first)
            raise NoRoom("database or disk is full")
        return delete(first, last)

    sick.disk.delete_slice = delete_slice  # type: ignore[method-assign]
    gone: list[bool] = []
    sick.bench.store.delete_queue(1, lambda: gone.append(True))
    sick.bench.commit()
    while not refused:
        pass
    sick.bench.store.save_queue(2, "/", "more", "{}")
    sick.bench.commit()
    while not gone:
        sick.bench.calls.get(timeout=WAIT_S)()
    assert refused == [1 << POSITION_BITS] and sick.bench.errors == []
    sick.bench.store.close()


def test_who_has_the_file_locked_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "RETRY_S", 0.01)

    class Impatient(Database):
        def commit(self, work: Work, lock_ms: int = BUSY_MS) -> None:
            super().commit(work, lock_ms=0)

    sick = Sick(tmp_path, Impatient)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("begin immediate")
    messages = sick.fill(0, 3)
    sick.bench.until(lambda: sick.stuck)
    other.execute("rollback")
    other.close()
    sick.bench.settle()
    assert sick.stuck == ["another program to unlock the file", ""]
    assert all(message.reports == 1 for message in messages)
    sick.bench.store.close()


@pytest.mark.parametrize(
    ("code", "text", "advice"),
    [
        (sqlite3.SQLITE_IOERR_FSYNC, "disk I/O error", "see what the system's log says of that disk"),
        (sqlite3.SQLITE_IOERR_WRITE, "disk I/O error", "see what the system's log says of that disk"),
        (sqlite3.SQLITE_READONLY, "attempt to write a readonly database", "mounted read-only"),
        (sqlite3.SQLITE_CORRUPT, "database disk image is malformed", "`leveret store check` tells more"),
    ],
)
def test_any_other_failure_is_the_end_with_words_that_help(tmp_path: Path, code: int, text: str, advice: str) -> None:
    class Failing(Database):
        commits = 0

        def commit(self, work: Work, lock_ms: int = BUSY_MS) -> None:
            self.commits += 1
            if self.commits > 1:
                error = sqlite3.OperationalError(text)
                error.sqlite_errorcode = code
                raise error
            super().commit(work, lock_ms)

    sick = Sick(tmp_path, Failing)
    kept, lost, later = (Message(1, position) for position in range(3))
    sick.bench.add(kept)
    sick.bench.settle()
    sick.bench.add(lost)
    sick.bench.until(lambda: sick.bench.errors)
    sick.bench.add(later)
    sick.bench.store.flush_soon(0)
    sick.bench.store.close()
    (error,) = sick.bench.errors
    assert str(error).startswith(f"{tmp_path / FILE_NAME}: {text}; ") and advice in str(error)
    assert (kept.reports, lost.reports, later.reports) == (1, 0, 0) and sick.stuck == []
    again = Bench(tmp_path)
    assert again.positions(1) == [0]
    again.store.close()
