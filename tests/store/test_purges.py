"""Rows of a purged or deleted queue go in slices, after the commit that struck them off; what that must not touch."""

import threading
from pathlib import Path

from leveret.store.database import Database
from store.support import Bench, Message


class HeldSlices(Database):
    """Deletes nothing until `released`; `finished` when a range is gone."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.released = threading.Event()
        self.finished = threading.Event()

    def delete_slice(self, first: int, last: int) -> bool:
        done = self.released.is_set() and super().delete_slice(first, last)
        if done:
            self.finished.set()
        return done


def opened(directory: Path) -> tuple[Bench, HeldSlices]:
    made: list[HeldSlices] = []

    def open_database(path: Path) -> HeldSlices:
        made.append(HeldSlices(path))
        return made[0]

    return Bench(directory, open_database), made[0]


def release(disk: HeldSlices) -> None:
    disk.released.set()
    assert disk.finished.wait(30)


def filled(directory: Path) -> tuple[Bench, HeldSlices]:
    bench, disk = opened(directory)
    bench.store.save_queue(1, "/", "jobs", "{}")
    bench.add(*[Message(1, position) for position in range(10)])
    bench.settle()
    return bench, disk


def test_a_message_behind_the_purged_range_survives_its_slices(tmp_path: Path) -> None:
    bench, disk = filled(tmp_path)
    bench.store.purge(1, 0, 9, 10, 10)
    bench.add(Message(1, 10))
    bench.settle()
    release(disk)
    assert bench.positions(1) == [10]
    bench.store.close()
