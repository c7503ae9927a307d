"""Messages on disk are found by their octets, in the time that is given, and hold up nobody."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from leveret.store.schema import open_database
from leveret.store.seeking import FOUND_MAX, Seeker, Sought
from leveret.store.store import Store

NOBODY = Sought([], False)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "db")
    yield connection
    connection.close()


@pytest.fixture
def seeker(database: sqlite3.Connection, tmp_path: Path) -> Seeker:
    return Seeker(tmp_path / "db")


def fill(database: sqlite3.Connection, *bodies: bytes) -> None:
    database.execute("begin")
    database.executemany("insert into message values (?, 1, 0, 0, ?)", enumerate(bodies))
    database.execute("commit")


def test_those_that_have_the_octets_are_found(database: sqlite3.Connection, seeker: Seeker) -> None:
    fill(database, b"a\0needle\xff", b"other", b"needle", b"needl")
    assert seeker.seek(b"needle", 60) == Sought([(0, 1, b"a\0needle\xff"), (2, 1, b"needle")], True)
    assert seeker.seek(b"never", 60) == Sought([], True)


def test_so_many_and_no_more(database: sqlite3.Connection, seeker: Seeker) -> None:
    fill(database, *[b"x"] * (FOUND_MAX + 1))
    rows, complete = seeker.seek(b"x", 60)
    assert len(rows) == FOUND_MAX and not complete


def test_when_the_time_is_over_it_says_that_not_all_was_looked_at(database: sqlite3.Connection, seeker: Seeker) -> None:
    fill(database, *[b"hay" * 10] * 20_000)
    assert seeker.seek(b"needle", -1) == NOBODY


def test_a_search_sees_what_is_committed_and_a_transaction_that_is_open_does_not_stop_it(
    database: sqlite3.Connection, seeker: Seeker
) -> None:
    fill(database, b"needle")
    database.execute("begin immediate")
    database.execute("insert into message values (7, 0, 0, 0, 'needle')")
    assert [row[0] for row in seeker.seek(b"needle", 60).rows] == [0]
    database.execute("commit")


def test_one_at_a_time(database: sqlite3.Connection, seeker: Seeker, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(database, b"needle")
    begun, over = threading.Event(), threading.Event()
    look = seeker._look

    def slowly(octets: bytes, until: float) -> Sought:
        begun.set()
        assert over.wait(60)
        return look(octets, until)

    monkeypatch.setattr(seeker, "_look", slowly)
    first = threading.Thread(target=seeker.seek, args=(b"needle", 60))
    first.start()
    assert begun.wait(60)
    assert seeker.seek(b"needle", 60) == NOBODY
    over.set()
    first.join()
    assert len(seeker.seek(b"needle", 60).rows) == 1


def test_a_file_that_is_gone_or_none_of_ours_is_not_made(tmp_path: Path) -> None:
    assert Seeker(tmp_path / "gone").seek(b"x", 60) == NOBODY
    assert not (tmp_path / "gone").exists()
    (tmp_path / "other").write_bytes(b"no database, but long enough to be taken for one" * 100)
    assert Seeker(tmp_path / "other").seek(b"x", 60) == NOBODY


def test_a_store_in_memory_has_nothing_on_disk() -> None:
    assert Store(None, lambda call: call(), lambda error: None).seek(b"x", 60) == Sought([], True)
