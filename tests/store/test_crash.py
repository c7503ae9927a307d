"""What was reported durable is there after a kill; a failed commit is fatal and reports nothing."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from leveret.store.store import FILE_NAME
from store.support import Bench

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


def test_a_crash_between_creating_the_file_and_its_tables_does_not_lock_the_user_out(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    bench = Bench(tmp_path)
    assert bench.recovered.queues == []
    bench.store.close()


def test_a_crash_after_the_first_page_and_before_the_tables_does_not_lock_the_user_out(tmp_path: Path) -> None:
    unfinished = sqlite3.connect(tmp_path / FILE_NAME)
    unfinished.execute("pragma page_size = 16384")
    unfinished.execute("pragma journal_mode = wal")
    unfinished.close()
    assert (tmp_path / FILE_NAME).stat().st_size > 0
    bench = Bench(tmp_path)
    assert bench.recovered.queues == []
    bench.store.close()
