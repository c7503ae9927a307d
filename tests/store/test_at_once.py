"""The loop commits a little itself, if its turn was quiet and the disk is quick; whatever else happens is the thread's affair."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from leveret.store import committer
from leveret.store.batch import POSITION_BITS
from leveret.store.committer import QUICK_IN_A_ROW, QUICK_S
from leveret.store.database import Database, Work
from leveret.store.schema import BUSY_MS
from leveret.store.store import LITTLE_BYTES, LITTLE_ROWS
from store.support import Bench, Message


class Clock:
    """Each commit takes as long as `commit_s` says."""

    commit_s = 0.0

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        self._now_s += self.commit_s
        return self._now_s


class Disk(Database):
    """It refuses to commit while `error` is there."""

    error: sqlite3.Error | None = None

    def commit(self, work: Work, lock_ms: int = BUSY_MS) -> None:
        if self.error is not None:
            raise self.error
        super().commit(work, lock_ms)

    def lock_ms(self) -> int:
        """How long another program that has the file locked is waited for just now."""
        (waits_ms,) = self._connection.execute("pragma busy_timeout").fetchone()
        return int(waits_ms)


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as the test has it")
    error.sqlite_errorcode = code
    return error


class Quick:
    """A store on a disk that was quick often enough."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.clock = clock
        self.bench = Bench(directory, self._open)
        self.bench.store.save_queue(1, "/", "jobs", "{}")
        self.bench.commit()
        self.position = 0
        self.become_quick()

    def _open(self, path: Path) -> Disk:
        self.disk = Disk(path)
        return self.disk

    def become_quick(self) -> None:
        for _ in range(QUICK_IN_A_ROW):
            self.by_the_thread(self.add())

    def add(self, count: int = 1, data: bytes = b"x") -> list[Message]:
        messages = [Message(1, self.position + number, data) for number in range(count)]
        self.position += count
        self.bench.add(*messages)
        return messages

    def at_once(self, messages: list[Message], quiet: bool = True) -> bool:
        """Whether they are on disk as soon as the turn has ended."""
        self.bench.store.flush_soon(0, quiet)
        return all(message.reports for message in messages)

    def by_the_thread(self, messages: list[Message]) -> None:
        self.bench.settle()
        assert all(message.reports == 1 for message in messages)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(committer, "monotonic", clock)
    monkeypatch.setattr(committer, "RETRY_S", 0.01)
    return clock


@pytest.fixture
def quick(tmp_path: Path, clock: Clock) -> Iterator[Quick]:
    quick = Quick(tmp_path, clock)
    yield quick
    quick.bench.store.close()


def test_a_little_of_a_quiet_turn_is_on_disk_at_its_end(quick: Quick, tmp_path: Path) -> None:
    commits = quick.bench.store.commits
    messages = quick.add(LITTLE_ROWS)
    assert quick.at_once(messages)
    assert quick.bench.store.commits == commits + 1 and quick.bench.calls.empty()
    with sqlite3.connect(tmp_path / "leveret.db") as other:
        ids = {message.id for message in messages}
        assert ids <= {row[0] for row in other.execute("select id from message")}
        assert other.execute("select messages from queue").fetchone() == (quick.position,)


def test_what_others_are_told_in_that_turn_goes_out_first(quick: Quick) -> None:
    messages = quick.add()
    assert not quick.at_once(messages, quiet=False)
    quick.by_the_thread(messages)


@pytest.mark.parametrize("count, size", [(LITTLE_ROWS + 1, 1), (2, LITTLE_BYTES)])
def test_much_is_for_the_thread(quick: Quick, count: int, size: int) -> None:
    messages = quick.add(count, bytes(size))
    assert not quick.at_once(messages)
    quick.by_the_thread(messages)


def test_one_slow_commit_ends_it_until_many_were_quick_again(quick: Quick) -> None:
    quick.clock.commit_s = 2 * QUICK_S
    assert quick.at_once(quick.add())
    quick.clock.commit_s = 0.0
    for _ in range(QUICK_IN_A_ROW):
        messages = quick.add()
        assert not quick.at_once(messages)
        quick.by_the_thread(messages)
    assert quick.at_once(quick.add())


def test_a_disk_that_was_never_seen_to_be_quick_is_not_waited_for(tmp_path: Path, clock: Clock) -> None:
    clock.commit_s = 2 * QUICK_S
    quick = Quick(tmp_path, clock)
    messages = quick.add()
    assert not quick.at_once(messages)
    quick.by_the_thread(messages)
    quick.bench.store.close()


def test_a_database_in_use_is_not_waited_for(quick: Quick) -> None:
    using = quick.bench.store._committer._using  # type: ignore[union-attr]
    messages = quick.add()
    with using:
        assert not quick.at_once(messages)
        assert not messages[0].reports
    quick.by_the_thread(messages)


def test_another_program_that_has_the_file_locked_is_the_threads_affair(quick: Quick, tmp_path: Path) -> None:
    """The thread waits for it, and what the loop does after that does not."""
    stuck: list[str] = []
    quick.bench.store.on_stuck = stuck.append
    for _ in range(2):
        assert quick.at_once(quick.add())
        assert quick.disk.lock_ms() == 0
        other = sqlite3.connect(tmp_path / "leveret.db", isolation_level=None)
        other.execute("begin immediate")
        messages = quick.add()
        assert not quick.at_once(messages)
        other.execute("rollback")
        other.close()
        quick.by_the_thread(messages)
        assert quick.disk.lock_ms() == BUSY_MS
    assert not stuck


def test_on_a_full_disk_it_is_the_thread_that_waits(quick: Quick) -> None:
    stuck: list[str] = []
    quick.bench.store.on_stuck = stuck.append
    quick.disk.error = sqlite_error(sqlite3.SQLITE_FULL)
    messages = quick.add()
    assert not quick.at_once(messages)
    quick.bench.until(lambda: stuck)
    later = quick.add()
    assert not quick.at_once(later) and not messages[0].reports
    quick.disk.error = None
    quick.by_the_thread(messages + later)
    assert stuck == ["room on the disk", ""]
    positions = quick.bench.positions(1)
    assert positions == list(range(quick.position))


def test_any_other_failure_is_the_end_and_nothing_is_tried_again(tmp_path: Path, clock: Clock) -> None:
    quick = Quick(tmp_path, clock)
    quick.disk.error = sqlite_error(sqlite3.SQLITE_IOERR)
    messages = quick.add()
    assert not quick.at_once(messages)
    (error,) = quick.bench.errors
    assert "nothing was confirmed that is not on disk" in str(error)
    quick.disk.error = None
    assert not quick.at_once(messages + quick.add())
    quick.bench.store.close()
    assert not any(message.reports for message in messages)
    again = Bench(tmp_path)
    assert messages[0].id & (1 << POSITION_BITS) - 1 not in again.positions(1)
    again.store.close()


def test_what_is_acknowledged_and_sent_together_is_both_done(quick: Quick) -> None:
    first = quick.add()
    assert quick.at_once(first)
    quick.bench.store.remove(first[0])
    second = quick.add()
    assert quick.at_once(second)
    assert first[0].id & (1 << POSITION_BITS) - 1 not in quick.bench.positions(1)
