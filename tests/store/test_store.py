"""The store: what is reported durable is there after a crash, what was cancelled is not, and counts are exact."""

from __future__ import annotations

import gc
import os
import queue
import random
import signal
import sqlite3
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leveret.errors import StoreError
from leveret.store.batch import CANCELLED, DURABLE
from leveret.store.database import Database, Row, Work
from leveret.store.store import Store
from store.support import Message

WAIT_S = 60.0


class Bench:
    """A store whose reports are made by hand, as the loop would."""

    def __init__(self, directory: Path | None, open_database: Callable[[Path], Database] = Database) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.failures: list[BaseException] = []
        self.store = Store(directory, self.calls.put, self.failures.append, open_database)
        self.recovered = self.store.recover()
        self.store.start()

    def turn(self) -> None:
        """The end of a turn of the loop, and the next report."""
        self.store.flush_soon(0)
        self.calls.get(timeout=WAIT_S)()

    def settle(self) -> None:
        """Until nothing is gathered or under way."""
        self.store.flush_soon(0)
        while self.store._committing is not None and not self.failures:
            self.calls.get(timeout=WAIT_S)()

    def load(self, queue_id: int, first: int = 0, count: int = 10_000, size: int = 1 << 30) -> list[Row]:
        rows: list[Row] = []
        self.store.load(queue_id, first, count, size, rows.extend)
        self.settle()
        return rows


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], Bench]]:
    """Opens the store of one directory, again and again."""
    benches: list[Bench] = []

    def reopen() -> Bench:
        for bench in benches:
            bench.store.close()
        benches[:] = [Bench(tmp_path)]
        return benches[0]

    yield reopen
    for bench in benches:
        bench.store.close()


Opened = Callable[[], Bench]


def test_a_record_is_durable_after_its_commit_and_not_before(opened: Opened) -> None:
    bench = opened()
    note = Message(1, 0)
    bench.store.add(note)
    assert note.reports == 0
    bench.turn()
    assert (note.reports, note.state) == (1, DURABLE)


def test_records_come_back_in_order_with_their_counts(opened: Opened) -> None:
    bench = opened()
    bench.store.save_queue(1, "/", "q", "{}")
    for position in range(5):
        bench.store.add(Message(1, position, b"data%d" % position))
    bench = opened()
    (row,) = bench.recovered.queues
    assert (row.name, row.messages, row.bytes, row.last_position) == ("q", 5, 25, 4)
    assert [(got.position, got.data) for got in bench.load(1)] == [(n, b"data%d" % n) for n in range(5)]


def test_a_record_removed_before_it_was_written_is_never_written_and_counts_as_durable(opened: Opened) -> None:
    bench = opened()
    note = Message(1, 0)
    bench.store.add(note)
    bench.store.remove(note)
    assert (note.reports, note.state) == (1, CANCELLED)
    assert bench.load(1) == [] and note.reports == 1


def test_a_record_removed_while_it_is_being_committed_goes_in_the_next_batch(opened: Opened) -> None:
    bench = opened()
    bench.store.save_queue(1, "/", "q", "{}")
    note = Message(1, 0)
    bench.store.add(note)
    bench.store.flush_soon(0)
    bench.store.remove(note)
    bench.settle()
    assert note.reports == 1
    assert opened().recovered.queues[0].messages == 0


def test_expiry_deliveries_and_transience_are_kept(opened: Opened) -> None:
    bench = opened()
    note = Message(3, 7)
    note.expires, note.transient = 123456789012, True
    bench.store.add(note)
    bench.settle()
    note.deliveries = 4
    bench.store.touch(note)
    assert bench.load(3) == [Row(7, 4, 123456789012, True, b"x")]


def test_transient_records_end_with_a_restart(opened: Opened) -> None:
    bench = opened()
    bench.store.save_queue(1, "/", "q", "{}")
    for position in range(4):
        note = Message(1, position)
        note.transient = position % 2 == 1
        bench.store.add(note)
    bench = opened()
    assert (bench.recovered.queues[0].messages, bench.recovered.queues[0].bytes) == (2, 2)
    assert [row.position for row in bench.load(1)] == [0, 2]


def test_a_load_sees_all_that_was_added_before_it_and_is_bounded(opened: Opened) -> None:
    bench = opened()
    for position in range(10):
        bench.store.add(Message(1, position, b"x" * 100))
    assert [row.position for row in bench.load(1, first=3, count=2)] == [3, 4]
    assert [row.position for row in bench.load(1, size=250)] == [0, 1, 2]
    assert len(bench.load(1, size=1)) == 1
    assert bench.load(2) == []


def test_a_purge_takes_the_range_and_leaves_the_rest(opened: Opened) -> None:
    bench = opened()
    bench.store.save_queue(1, "/", "q", "{}")
    for position in range(10):
        bench.store.add(Message(1, position))
    bench.store.purge(1, 3, 8, 6, 6)
    bench.store.add(Message(1, 11))
    bench = opened()
    assert bench.recovered.queues[0].messages == 5
    assert [row.position for row in bench.load(1)] == [0, 1, 2, 9, 11]


def test_a_deleted_queue_takes_its_records_along_and_its_number_is_free_then(opened: Opened) -> None:
    bench = opened()
    bench.store.save_queue(1, "/", "q", "{}")
    for position in range(20_000):
        bench.store.add(Message(1, position))
    bench.settle()
    gone: list[bool] = []
    bench.store.delete_queue(1, lambda: gone.append(True))
    bench.store.flush_soon(0)
    while not gone:
        bench.calls.get(timeout=WAIT_S)()
    assert bench.load(1) == []
    assert opened().recovered.queues == []


def test_exchanges_bindings_and_settings_come_back(opened: Opened) -> None:
    bench = opened()
    bench.store.save_exchange("/", "x", "one")
    bench.store.save_exchange("/", "y", "two")
    bench.store.delete_exchange("/", "y")
    bench.store.save_binding("k1", "/", "b1")
    bench.store.save_binding("k2", "/", "b2")
    bench.store.delete_binding("k1")
    bench.store.save_setting("s", "v")
    recovered = opened().recovered
    assert [tuple(row) for row in recovered.exchanges] == [("/", "x", "one")]
    assert [tuple(row) for row in recovered.bindings] == [("k2", "/", "b2")]
    assert recovered.settings == {"s": "v"}


def test_the_highest_position_delivered_rides_on_the_next_commit(opened: Opened) -> None:
    bench = opened()
    bench.store.save_queue(1, "/", "q", "{}")
    bench.store.delivered(1, 41)
    assert opened().recovered.queues[0].delivered == 41


def test_counts_stay_exact_through_any_sequence(opened: Opened) -> None:
    chance = random.Random(7)
    bench = opened()
    model: dict[int, dict[int, Message]] = {}
    for number in (1, 2, 3):
        bench.store.save_queue(number, "/", f"q{number}", "{}")
        model[number] = {}
    position = 0
    for step in range(3000):
        number = chance.choice((1, 2, 3))
        held = model[number]
        if chance.random() < 0.6:
            note = Message(number, position, bytes(chance.randrange(1, 50)))
            position += 1
            held[note.id] = note
            bench.store.add(note)
        elif held:
            note = held.pop(chance.choice(list(held)))
            bench.store.remove(note)
        if chance.random() < 0.1:
            bench.store.flush_soon(0)
        if chance.random() < 0.05:
            bench.settle()
        if step % 1000 == 999:
            bench = opened()
            for row in bench.recovered.queues:
                expected = model[row.id].values()
                assert (row.messages, row.bytes) == (len(expected), sum(len(note.data) for note in expected))
            for note in (note for held in model.values() for note in held.values()):
                note.state = DURABLE


def test_what_is_written_is_free_at_once_without_a_collection_of_garbage(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    gone: list[weakref.ref[Message]] = []
    gc.collect()
    gc.disable()
    try:
        for position in range(3):
            message = Message(1, position)
            gone.append(weakref.ref(message))
            bench.store.add(message)
            del message
            bench.settle()
        work = [one for one in gc.get_objects() if isinstance(one, Work)]
        assert [one() for one in gone[:-1]] == [None, None] and len(work) <= 2, "the last one may be on its way yet"
    finally:
        gc.enable()
        bench.store.close()


# ---- failures


def test_a_second_broker_on_the_directory_is_told_who_has_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(StoreError, match=f"process id {os.getpid()}; stop it or choose another --data"):
        Store(tmp_path, lambda call: None, lambda error: None)
    bench.store.close()
    Bench(tmp_path).store.close()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b"not a database at all, but long enough to be looked at" * 100), "cannot be read"),
        (lambda path: _execute(path, "create table t (a)"), "of another program"),
        (lambda path: _execute(path, "pragma application_id = 1279612498; pragma user_version = 99"), "newer Leveret"),
    ],
    ids=["garbage", "foreign", "newer"],
)  # fmt: skip
def test_a_file_that_is_not_ours_is_refused_and_left_alone(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "leveret.db"
    damage(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=message):
        Bench(tmp_path)
    assert path.read_bytes() == before


def _execute(path: Path, script: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


def test_a_damaged_page_is_found_at_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for position in range(3000):
        bench.store.add(Message(1, position, b"x" * 500))
    bench.store.close()
    path = tmp_path / "leveret.db"
    data = bytearray(path.read_bytes())
    for page in range(8, len(data) // 16384):
        data[page * 16384 : page * 16384 + 64] = b"\xff" * 64
    path.write_bytes(data)
    with pytest.raises(StoreError, match="restore it from a backup"):
        Bench(tmp_path)


def test_the_wal_stays_bounded_under_load(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    largest = 0
    for step in range(60):
        for position in range(1000):
            bench.store.add(Message(1, step * 1000 + position, bytes(4000)))
        bench.settle()
        largest = max(largest, (tmp_path / "leveret.db-wal").stat().st_size)
    bench.store.close()
    assert largest < 128 * 1024 * 1024


def test_memory_alone_keeps_nothing_and_reports_at_once() -> None:
    bench = Bench(None)
    note = Message(1, 0)
    bench.store.add(note)
    assert note.reports == 1
    bench.store.remove(note)
    bench.store.flush_soon(0)
    bench.store.close()


CHILD = """
import sys
from pathlib import Path
from store.test_store import Bench, Message

class Loud(Message):
    def on_durable(self):
        print(self.id & 0xffffff, flush=True)

bench = Bench(Path(sys.argv[1]))
bench.store.save_queue(1, "/", "q", "{}")
position = 0
while True:
    for _ in range(100):
        bench.store.add(Loud(1, position, b"x" * 200))
        position += 1
    bench.turn()
"""


def test_after_kill_9_everything_reported_durable_is_there(tmp_path: Path, opened: Opened) -> None:
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, env=environment)
    assert child.stdout is not None
    reported = [int(child.stdout.readline()) for _ in range(3000)]
    child.send_signal(signal.SIGKILL)
    rest, _ = child.communicate()
    reported += [int(line) for line in rest.split(b"\n")[:-1]]
    bench = opened()
    positions = [row.position for row in bench.load(1, count=1 << 30)]
    assert set(reported) <= set(positions)
    assert bench.recovered.queues[0].messages == len(positions)
