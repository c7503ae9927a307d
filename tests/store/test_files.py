"""One broker per directory, and files that are not a store of ours are refused and left as they are."""

import os
import sqlite3
from pathlib import Path

import pytest

from leveret.errors import StoreError
from leveret.store.store import FILE_NAME
from store.support import Bench, Message


def test_a_second_store_is_refused_and_names_the_first_ones_process(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(StoreError, match=f"in use by the broker with process id {os.getpid()}; stop it or choose"):
        Bench(tmp_path)
    bench.store.close()
    Bench(tmp_path).store.close()


def refused(directory: Path, reason: str) -> None:
    """Opening raises StoreError for that reason, changes nothing, and leaves the directory unlocked."""
    path = directory / FILE_NAME
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(StoreError, match=reason):
            Bench(directory)
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused_unchanged(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("create table notes (text)")
    connection.close()
    refused(tmp_path, "another program")


def test_a_newer_store_is_refused_unchanged(tmp_path: Path) -> None:
    Bench(tmp_path).store.close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("pragma user_version = 99")
    connection.close()
    refused(tmp_path, "newer")


def test_a_file_that_is_no_database_is_refused_unchanged(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"these are not the bytes of a database. " * 1000)
    refused(tmp_path, "backup")


def test_a_damaged_store_is_refused_unchanged(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.add(*[Message(1, position, b"x" * 1000) for position in range(500)])
    bench.store.close()
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40_000] = b"\xff" * 40_000
    path.write_bytes(content)
    refused(tmp_path, "backup")


def test_the_wal_stays_bounded_under_continuous_load(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    largest = 0
    for batch in range(100):
        bench.add(*[Message(1, batch * 1000 + number, b"x" * 1024) for number in range(1000)])
        bench.settle()
        largest = max(largest, (tmp_path / f"{FILE_NAME}-wal").stat().st_size)
    bench.store.close()
    assert largest < 64 * 1024 * 1024
