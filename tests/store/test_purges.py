"""Rows of a purged or deleted queue go in slices, after the commit that struck them off; what that must not touch."""

import threading
from pathlib import Path

from leveret.store.batch import POSITION_BITS
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
    assert disk.finished.wait(60)


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


def crashed(bench: Bench, disk: HeldSlices, directory: Path) -> tuple[Bench, HeldSlices]:
    """The broker ends without deleting anything more, and starts again."""
    bench.commit()
    bench.store.close()
    return opened(directory)


def test_what_was_purged_before_a_crash_is_not_seen_while_its_rows_go(tmp_path: Path) -> None:
    bench, disk = filled(tmp_path)
    bench.store.purge(1, 2, 11, 8, 8)  # 10 and 11 were never written
    bench, disk = crashed(bench, disk, tmp_path)
    (row,) = bench.recovered.queues
    assert (row.messages, row.last_position) == (2, 11)
    bench.add(*[Message(1, position) for position in (12, 13)])
    bench.settle()
    assert bench.positions(1) == [0, 1, 12, 13]
    release(disk)
    assert bench.positions(1) == [0, 1, 12, 13]
    bench.store.close()


def test_what_is_read_in_parts_goes_on_behind_the_dead(tmp_path: Path) -> None:
    bench, disk = filled(tmp_path)
    bench.store.purge(1, 2, 7, 6, 6)
    bench, disk = crashed(bench, disk, tmp_path)
    assert [bench.positions(1, first, 3) for first in (0, 1, 2, 5, 8, 9)] == [
        [0, 1, 8],
        [1, 8, 9],
        [8, 9],
        [8, 9],
        [8, 9],
        [9],
    ]
    release(disk)
    bench.store.close()


def test_the_number_of_a_deleted_queue_is_taken_until_its_rows_are_gone(tmp_path: Path) -> None:
    bench, disk = filled(tmp_path)
    bench.store.delete_queue(1, lambda: None)
    bench, disk = crashed(bench, disk, tmp_path)
    assert bench.recovered.queues == [] and [first >> POSITION_BITS for first, _ in bench.recovered.dead] == [1]
    release(disk)
    bench.store.close()
    assert opened(tmp_path)[0].recovered.dead == []


def test_paged_messages_of_a_queue_that_was_not_durable_are_dead(tmp_path: Path) -> None:
    bench, disk = opened(tmp_path)
    bench.store.save_queue(1, "/", "jobs", "{}")
    bench.store.save_queue(3, "/", "more", "{}")
    for queue, position in ((1, 0), (2, 0), (2, 1), (3, 0), (4, 7)):
        message = Message(queue, position)
        message.transient = True
        bench.add(message)
    bench.add(Message(3, 1))
    bench, disk = crashed(bench, disk, tmp_path)
    assert sorted({first >> POSITION_BITS for first, _ in bench.recovered.dead}) == [2, 4]
    assert [(row.id, row.messages) for row in bench.recovered.queues] == [(1, 0), (3, 1)]
    assert [bench.positions(number) for number in (1, 2, 3, 4)] == [[], [], [1], []]
    release(disk)
    bench.store.close()


def test_a_purge_and_the_deletion_that_follows_are_each_finished(tmp_path: Path) -> None:
    """Both ranges begin with the queue's first message."""
    bench, disk = filled(tmp_path)
    gone: list[bool] = []
    bench.store.purge(1, 0, 9, 10, 10)
    bench.commit()
    bench.add(Message(1, 10))
    bench.store.delete_queue(1, lambda: gone.append(True))
    bench.commit()
    assert gone == []
    disk.released.set()
    while not gone:
        bench.calls.get(timeout=60)()
    assert bench.positions(1) == []
    bench.store.close()
    assert opened(tmp_path)[0].recovered.dead == []


class EndInside(Database):
    """A slice is being deleted until the store's end waits for its thread."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.entered = threading.Event()
        self.awaited = threading.Event()

    def delete_slice(self, first: int, last: int) -> bool:
        self.entered.set()
        assert self.awaited.wait(60)
        return super().delete_slice(first, last)


def test_an_end_while_the_last_slice_goes_is_an_orderly_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, EndInside)
    committer = bench.store._committer
    assert committer is not None
    disk, join = committer.database, committer.thread.join
    assert isinstance(disk, EndInside)
    bench.store.save_queue(1, "/", "jobs", "{}")
    bench.add(Message(1, 0))
    bench.settle()
    bench.store.purge(1, 0, 0, 1, 1)
    bench.commit()
    assert disk.entered.wait(60)
    committer.thread.join = lambda: (disk.awaited.set(), join())
    bench.store.close()
    while not bench.calls.empty():
        bench.calls.get()()
    assert bench.errors == []
