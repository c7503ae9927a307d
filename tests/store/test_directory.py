"""A new data directory survives a power loss: the entries that lead to it are synced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from leveret.store.directory import make_directory
from leveret.store.schema import open_database


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The inodes of what is synced."""
    found: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda descriptor: found.add(os.fstat(descriptor).st_ino))
    return found


def test_the_entries_of_every_directory_that_is_made_are_synced(tmp_path: Path, synced: set[int]) -> None:
    make_directory(tmp_path / "new" / "data")
    assert synced == {tmp_path.stat().st_ino, (tmp_path / "new").stat().st_ino}


def test_that_of_a_directory_that_is_there_is_synced_again(tmp_path: Path, synced: set[int]) -> None:
    """Whoever made it may have been killed before the sync."""
    (tmp_path / "data").mkdir()
    make_directory(tmp_path / "data")
    assert synced == {tmp_path.stat().st_ino}


def test_a_directory_whose_file_system_cannot_sync_it_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    make_directory(tmp_path / "data")
    assert (tmp_path / "data").is_dir()


def test_a_failed_sync_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        make_directory(tmp_path / "data")


def test_it_is_for_its_owner_only(tmp_path: Path) -> None:
    make_directory(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_what_is_in_a_directory_that_others_may_read_is_for_its_owner_only(tmp_path: Path) -> None:
    open_database(tmp_path / "leveret.db").close()
    assert (tmp_path / "leveret.db").stat().st_mode & 0o077 == 0
