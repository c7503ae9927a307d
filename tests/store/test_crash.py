"""What was reported durable is there after a kill; a failed commit is fatal and reports nothing."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from leveret.store.database import Database, Work
from leveret.store.store import FILE_NAME
from store.support import Bench, Message

CHILD = """
import sys
from pathlib import Path
from store.support import Bench, Message

class Printed(Message):
    def on_durable(self):
        print(self.position, flush=True)

bench = Bench(Path(sys.argv[1]))
bench.store.save_queue(1, "/", "jobs", "{}")
position = 0
while True:
    for _ in range(20):
        position += 1
        message = Printed(1, position, b"x" * 100)
        message.position = position
        bench.add(message)
    bench.until(lambda: bench.store.pending_count < 40)
"""


@pytest.mark.parametrize("reports", [1, 50, 777])
def test_every_position_reported_before_a_kill_is_there_after_it(tmp_path: Path, reports: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
        text=True,
    )
    assert child.stdout is not None
    printed = [int(child.stdout.readline()) for _ in range(reports)]
    child.send_signal(signal.SIGKILL)
    printed += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    child.wait()
    child.stdout.close()
    bench = Bench(tmp_path)
    found = bench.positions(1)
    assert set(printed) <= set(found)
    assert found == list(range(1, len(found) + 1)), "a commit is there entirely or not at all, in order"
    assert bench.recovered.queues[0].messages == len(found)
    bench.store.close()


class FailingDisk(Database):
    """Commits once, then fails."""

    commits = 0

    def commit(self, work: Work) -> None:
        self.commits += 1
        if self.commits > 1:
            raise sqlite3.OperationalError("disk I/O error")
        super().commit(work)


def test_a_failed_commit_is_fatal_reports_nothing_and_is_never_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FailingDisk)
    kept, lost, later = Message(1, 1), Message(1, 2), Message(1, 3)
    bench.add(kept)
    bench.settle()
    bench.add(lost)
    bench.until(lambda: bench.errors)
    bench.add(later)
    bench.store.flush_soon(0)
    bench.store.close()
    assert [str(error) for error in bench.errors] == ["disk I/O error"]
    assert (kept.reports, lost.reports, later.reports) == (1, 0, 0)
    again = Bench(tmp_path)
    assert again.positions(1) == [1]
    again.store.close()


class FullDisk(Database):
    """SQLite itself reports the disk full, in the midst of a commit."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._connection.execute("pragma max_page_count = 40")


def test_a_full_disk_leaves_exactly_what_was_reported(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FullDisk)
    messages = [Message(1, position, b"x" * 1000) for position in range(2000)]
    for start in range(0, 2000, 100):
        bench.add(*messages[start : start + 100])
        bench.until(lambda: bench.store.pending_count == 0 or bench.errors)
        if bench.errors:
            break
    bench.store.close()
    assert "full" in str(bench.errors[0])
    again = Bench(tmp_path)
    assert again.positions(1) == [number for number, message in enumerate(messages) if message.reports]
    again.store.close()


def test_a_crash_between_creating_the_file_and_its_tables_does_not_lock_the_user_out(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    bench = Bench(tmp_path)
    assert bench.recovered.queues == []
    bench.store.close()
