"""What is counted from reports, and the chart drawn of it."""

from __future__ import annotations

from typing import Literal

from leveret.demo.chart import busy, chart
from leveret.demo.job import Report
from leveret.demo.tally import Tally


def report(
    event: Literal["started", "done", "failed"], path: str, pid: int, at_s: float, again: bool = False
) -> Report:
    return Report(event, path, pid, at_s, again, 100, 25)


def test_a_task_counts_once_however_often_it_was_done() -> None:
    tally = Tally(["a", "b"])
    for pid, again in ((1, False), (2, True)):
        tally.take(report("started", "a", pid, 0.0, again))
        tally.take(report("done", "a", pid, 1.0, again))
    assert (tally.done, tally.missing, tally.redelivered) == (1, ["b"], 1)
    assert (tally.size_bytes, tally.compressed_bytes) == (100, 25)
    assert [worker.redelivered for worker in tally.workers.values()] == [0, 1]


def test_a_task_that_was_only_started_is_missing() -> None:
    tally = Tally(["a"])
    worker = tally.take(report("started", "a", 1, 0.0))
    assert tally.missing == ["a"]
    assert worker.current is not None and worker.current.path == "a"


def test_a_file_that_could_not_be_read_is_done_and_named() -> None:
    tally = Tally(["a"])
    tally.take(report("failed", "a", 1, 0.0))
    assert tally.done == 1
    assert [one.path for one in tally.unreadable] == ["a"]


def test_a_report_of_something_that_was_not_sent_is_no_task_done() -> None:
    tally = Tally(["a"])
    tally.take(report("done", "z", 1, 0.0))
    assert tally.done == 0


def test_the_chart_shows_who_was_busy_when_and_who_was_killed() -> None:
    tally = Tally(["a", "b"])
    first = tally.take(report("started", "a", 1, 100.0))
    tally.take(report("done", "a", 1, 102.0))
    first.killed_s = 103.0
    tally.take(report("started", "b", 2, 102.0))
    tally.take(report("done", "b", 2, 104.0))
    assert busy(first, 100.0, 1.0, 4) == [1.0, 1.0, 0.0, 0.0]
    assert chart(tally, columns=4) == [
        "worker 1 pid 1       ██ ✗ 1 done, killed",
        "worker 2 pid 2         ██ 1 done",
        "                     0 s4.0 s",
    ]


def test_without_any_task_finished_there_is_no_chart() -> None:
    assert chart(Tally(["a"])) == []
