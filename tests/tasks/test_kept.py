"""Stores of results, a SQLite file and a table by SQLAlchemy: what is kept, how long, and with several processes writing."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine

from leveret.contrib.sqlalchemy_results import ResultTable
from leveret.errors import ResultsUnavailable, TaskError, WaitTimeout
from leveret.tasks import WorkQueue
from leveret.tasks.kept import Kept, Results
from leveret.tasks.replies import Error
from leveret.tasks.result_file import SWEPT_MAX, ResultFile

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)
DONE = Kept("id", "total", "done", 2, NOON - timedelta(seconds=1.5), NOON, b'{"sum": 6}')
FAILED = msgspec.structs.replace(
    DONE, state="failed", attempts=1, json=b"null", error=Error("ValueError", "no", "at", "")
)
WITHIN_S = 60

Make = Callable[[Path], Results]
MAKES = {
    "file": ResultFile,
    "table": lambda path: ResultTable(create_engine(f"sqlite:///{path}", connect_args={"timeout": WITHIN_S})),
}


@pytest.fixture(params=MAKES)
def make(request: pytest.FixtureRequest) -> Make:
    return MAKES[request.param]


@pytest.fixture
def store(make: Make, tmp_path: Path) -> Iterator[Results]:
    store = make(tmp_path / "results.sqlite")
    yield store
    store.close()


def test_what_was_put_is_there_as_it_was_also_for_another_process(store: Results, make: Make, tmp_path: Path) -> None:
    store.put(DONE, LATER)
    store.put(msgspec.structs.replace(FAILED, id="other"), LATER)
    store.close()
    for one in (store, make(tmp_path / "results.sqlite")):
        assert one.get("id", NOON) == DONE and DONE.value == {"sum": 6}
        assert one.get("other", NOON) == msgspec.structs.replace(FAILED, id="other")
        assert one.get("nobody's", NOON) is None
        one.close()


def test_what_happened_last_counts_but_what_is_done_stays_done(store: Results) -> None:
    parked = msgspec.structs.replace(FAILED, state="parked", attempts=3)
    for kept in (FAILED, parked, DONE, FAILED, parked, msgspec.structs.replace(DONE, json=b"7")):
        store.put(kept, LATER)
    assert store.get("id", NOON) == DONE


def test_what_is_over_is_seen_no_more_and_swept(store: Results, tmp_path: Path) -> None:
    store.put(DONE, LATER)
    store.put(msgspec.structs.replace(DONE, id="other"), LATER + timedelta(seconds=1))
    assert store.get("id", LATER - timedelta(milliseconds=1)) == DONE
    assert store.get("id", LATER) is None
    store.sweep(LATER)
    assert store.get("id", NOON) is None and store.get("other", NOON) is not None


def test_sweeping_goes_bit_by_bit_to_the_end(tmp_path: Path) -> None:
    store = ResultFile(tmp_path / "results.sqlite")
    store.put(DONE, LATER)
    with store._connection() as connection:
        connection.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?) "
            "insert into result select 'x' || i, 't', 'done', 1, 0, 0, x'', null, i from n",
            (SWEPT_MAX + 10,),
        )
    store.sweep(NOON)
    with store._connection() as connection:
        assert connection.execute("select id from result").fetchall() == [("id",)]
    store.close()


def test_a_store_that_is_away_says_so_and_works_when_it_is_back(make: Make, tmp_path: Path) -> None:
    store = make(tmp_path / "away" / "results.sqlite")
    for act in (lambda: store.put(DONE, LATER), lambda: store.get("id", NOON), lambda: store.sweep(NOON)):
        with pytest.raises(ResultsUnavailable, match="cannot be reached"):
            act()
    (tmp_path / "away").mkdir()
    store.put(DONE, LATER)
    assert store.get("id", NOON) == DONE
    store.close()


WRITER = """
import sys
from datetime import timedelta
import msgspec
from tasks.test_kept import DONE, FAILED, LATER, MAKES
from pathlib import Path

kind, path, number = sys.argv[1:]
store = MAKES[kind](Path(path))
for turn in range(20):
    store.put(msgspec.structs.replace(FAILED, id=f"shared {turn}"), LATER)
    store.put(msgspec.structs.replace(DONE, id=f"{number} {turn}"), LATER)
    store.put(msgspec.structs.replace(DONE, id=f"shared {turn}", json=number.encode()), LATER)
"""


@pytest.mark.parametrize("kind", MAKES)
def test_several_processes_and_threads_write_at_a_time(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    tests = str(Path(__file__).parent.parent)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {tests!r})\n{WRITER}", kind, str(path)]
    processes = [subprocess.Popen([*command, str(number)]) for number in range(3)]
    store = MAKES[kind](path)
    wrong: list[BaseException] = []

    def write() -> None:
        try:
            for turn in range(20):
                store.put(msgspec.structs.replace(FAILED, id=f"shared {turn}"), LATER)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN_S)
    assert [process.wait(WITHIN_S) for process in processes] == [0, 0, 0] and wrong == []
    for turn in range(20):
        shared = store.get(f"shared {turn}", NOON)
        assert shared is not None and shared.state == "done" and shared.json in (b"0", b"1", b"2")
        assert all(store.get(f"{number} {turn}", NOON) is not None for number in range(3))
    store.close()


# ---- what a program says and asks


@dataclass
class Sum:
    sum: int


@pytest.mark.parametrize(("keep", "complaint"), [(0, "above 0"), (-5, "above 0"), (1e300, "longer than any time")])
def test_how_long_to_keep_has_to_make_sense(keep: Any, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=complaint):
        WorkQueue(results_store=tmp_path / "r").task(keep_result=keep)(print)


def test_keeping_needs_a_place_and_asking_something_that_is_kept(tmp_path: Path) -> None:
    work = WorkQueue()
    with pytest.raises(TaskError, match="needs a place"):
        work.task(keep_result=5)(print)
    with pytest.raises(TaskError, match="no results are kept"):
        work.result_of("id")
    kept = WorkQueue(results_store=tmp_path / "results.sqlite")
    with pytest.raises(TaskError, match="needs keep_result="):
        kept.sent("id", kept.task(name="t")(lambda: None))


def test_a_result_that_is_kept_is_waited_for_and_read_in_its_type(tmp_path: Path) -> None:
    work = WorkQueue(results_store=str(tmp_path / "results.sqlite"))

    @work.task(keep_result=3600)
    def total(numbers: list[int]) -> Sum:
        return Sum(sum(numbers))

    sent = work.sent("id", total)
    assert not sent.done and sent.progress is None
    with pytest.raises(WaitTimeout):
        sent.result(timeout_s=0)
    assert work.results_store is not None
    far = datetime.now(UTC) + timedelta(days=1)
    work.results_store.put(FAILED, far)
    assert not sent.done
    later = threading.Timer(0.2, lambda: work.results_store.put(DONE, far))  # type: ignore[union-attr]
    later.start()
    assert sent.result(WITHIN_S) == Sum(6) and sent.done
    work.close()


def test_a_store_that_is_away_is_asked_again_until_the_time_is_over(tmp_path: Path) -> None:
    work = WorkQueue(results_store=tmp_path / "away" / "results.sqlite")
    total = work.task(name="total", keep_result=3600)(lambda: None)
    with pytest.raises(ResultsUnavailable):
        work.sent("id", total).result(timeout_s=0)

    def come_back() -> None:
        (tmp_path / "away").mkdir()
        work.results_store.put(DONE, datetime.now(UTC) + timedelta(days=1))  # type: ignore[union-attr]

    threading.Timer(0.2, come_back).start()
    assert work.sent("id", total).result(WITHIN_S) == {"sum": 6}
    work.close()


def test_a_program_that_keeps_no_results_loads_no_database() -> None:
    program = "import sys; from leveret.tasks import WorkQueue; WorkQueue(); assert 'sqlite3' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=WITHIN_S)
