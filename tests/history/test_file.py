"""The file of a history: it outlives its process, and nothing that is wrong with it is in anybody's way."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from history.support import NOW, Book, figures, of
from leveret.errors import LeveretError
from leveret.history import Filter, History, Of, file
from leveret.history.recorder import FIGURES, Recorder
from leveret.tasks.events import Parked, Started, Succeeded


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


def written(path: Path, id: str = "1") -> None:
    book = Book(path)
    book.heard(of(Parked, id, exception="OSError", error="gone"))
    book.history.sample([figures(ready=5)], NOW)
    book.close()


def test_what_was_closed_is_there_again(path: Path) -> None:
    written(path)
    book = Book(path)
    assert book.row().error == "gone"
    assert book.series(Of.queue("/", "mail"), until=NOW + 5).ready == [5]
    assert len(book.failing()) == 1
    book.heard(of(Succeeded, at=NOW + 1), at=NOW + 1)
    assert book.row().state == "succeeded"
    book.close()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from typing import Any
from leveret.history import History
from leveret.tasks.events import Started
async def main():
    history = History.open(Path(sys.argv[1]))
    for number in range(20):
        history.take([Started(id=str(number), queue="mail", time=1.0)], 1.0 + number)
        await history.flush()
    history.take([Started(id="unwritten", time=30.0)], 30.0)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


def test_a_process_that_was_killed_loses_only_what_was_not_written(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -9
    book = Book(path)
    assert sorted(map(int, book.ids())) == list(range(20))
    book.close()


@pytest.mark.parametrize(
    "garbage", [b"this is no database", b"SQLite format 3\x00" + b"\xff" * 5000], ids=["text", "broken pages"]
)
def test_a_broken_file_is_put_aside_and_the_log_says_so(
    path: Path, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(garbage)
    written(path)
    book = Book(path)
    assert book.ids() == ["1"]
    book.close()
    assert path.with_name("history.sqlite3.broken").read_bytes() == garbage
    assert "begins anew" in caplog.text


def test_a_file_of_which_a_page_was_overwritten_is_put_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    book = Book(path)
    for number in range(2000):
        book.heard(of(Started, str(number), NOW + number), at=NOW + number)
    book.close()
    data = bytearray(path.read_bytes())
    data[8192 : len(data) // 2] = b"\xa5" * (len(data) // 2 - 8192)
    path.write_bytes(data)
    written(path, "after")
    book = Book(path)
    assert book.ids() == ["after"]
    book.close()
    assert "begins anew" in caplog.text


def test_a_file_of_a_later_version_is_put_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(path)
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 999")
    connection.close()
    book = Book(path)
    assert book.ids() == []
    book.close()
    assert "version 999" in caplog.text


def test_a_locked_file_is_done_without_and_not_put_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin exclusive")
    book = Book(path)
    book.heard(of(Started, "new"))
    assert book.ids() == ["new"]
    book.close()
    other.execute("rollback")
    other.close()
    assert "in memory" in caplog.text and not path.with_name("history.sqlite3.broken").exists()
    book = Book(path)
    assert book.ids() == ["1"]
    book.close()


def test_where_nothing_can_be_written_it_is_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    book = Book(tmp_path / "nowhere" / "history.sqlite3")
    book.heard(of(Started))
    assert book.ids() == ["1"]
    book.close()
    assert "in memory" in caplog.text


def test_a_file_that_breaks_while_it_is_used_begins_anew(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    book = Book(path)
    book.heard(of(Started, "before"))
    book.flush()
    with sqlite3.connect(path) as connection:
        connection.execute("drop table task")
    connection.close()
    book.heard(of(Started, "after"))
    assert book.ids() == ["after"]
    book.close()
    assert "begins anew" in caplog.text


def test_a_question_that_makes_no_sense_is_its_askers_affair(path: Path) -> None:
    book = Book(path)
    book.heard(of(Started))
    with pytest.raises(sqlite3.Error):
        book.tasks(state=("running",) * 300_000)
    assert book.ids() == ["1"]
    book.close()
    assert not path.with_name("history.sqlite3.broken").exists()


def test_it_is_closed_twice_and_who_asks_later_is_not_left_waiting(path: Path) -> None:
    async def late() -> None:
        history = History.open(path)
        await history.close()
        await history.close()
        await history.tasks(Filter())

    with pytest.raises(LeveretError, match="closed"):
        asyncio.run(late())


def test_who_asks_and_goes_away_ends_nothing(book: Book) -> None:
    """A browser that is closed while its question waits for the one before."""
    keeper = book.history._keeper
    begun, over = threading.Event(), threading.Event()
    first = keeper.ask(lambda connection: (begun.set(), over.wait(60)))
    assert begun.wait(60)
    gone = keeper.ask(lambda connection: None)
    assert gone.cancel()
    assert not first.cancel()
    over.set()
    book.heard(of(Started))
    assert book.ids() == ["1"]


def test_an_error_of_ours_ends_nothing(book: Book, caplog: pytest.LogCaptureFixture) -> None:
    book.history.sample([None], NOW)  # type: ignore[list-item]  # that is the error
    book.flush()
    book.heard(of(Started))
    assert book.ids() == ["1"]
    assert [record.levelno for record in caplog.records if "error of Leveret" in record.message] == [logging.ERROR]


def test_what_was_rolled_back_is_not_taken_to_be_there(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Recorder._write
    errors = [RuntimeError("of ours")]

    def failing(self: Recorder, connection: Any, statement: str, values: Any) -> None:
        if statement == FIGURES and errors:
            raise errors.pop()
        write(self, connection, statement, values)

    monkeypatch.setattr(Recorder, "_write", failing)
    for second, ready in ((0, 3), (5, 4)):
        book.history.sample([figures(ready=ready)], NOW + second)
        book.flush()
    assert not errors
    assert book.series(Of.queue("/", "mail"), until=NOW + 10).ready[-1] == 4


def test_nobody_else_may_read_it(path: Path) -> None:
    path.touch(0o644)  # as an earlier version left it
    path.chmod(0o644)
    written(path)
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_that_somebody_has_locked_for_a_moment_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a backup does, or who opens it at the same moment after a crash: it is not done without for that."""
    Book(path).close()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("pragma locking_mode = exclusive")
    other.execute("begin immediate")
    refused: list[Exception] = []
    connect = file.HistoryFile._connect

    def connect_and_give_way(self: file.HistoryFile) -> None:
        try:
            connect(self)
        except sqlite3.Error as error:
            refused.append(error)
            other.close()
            raise

    monkeypatch.setattr(file, "BUSY_S", 0)
    monkeypatch.setattr(file.HistoryFile, "_connect", connect_and_give_way)
    book = Book(path)
    book.heard(of(Started))
    assert book.ids() == ["1"]
    book.close()
    assert len(refused) == 1 and "locked" in str(refused[0])
    assert sqlite3.connect(path).execute("select id from task").fetchall() == [("1",)]
