"""What is known of workers and tasks, event by event, with the time as an argument."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.board.board import FAILURES_MAX, FORGOTTEN_S, NAMES_MAX, Board, seconds
from leveret.board.rate import Rate
from leveret.tasks import events
from leveret.tasks.events import Beat, Ended, Endings, Failed, Parked, Progressed, Retried, Started, Succeeded

NOW = 1_000_000.0


def beat(number: int = 1, now: float = NOW, **options: Any) -> Beat:
    about = {"program": "p", "host": "hare", "pid": number, "slots": 4, "queues": ["mail"], "started": now - 60}
    return Beat(worker=f"w{number}", time=now, **{**about, **options})


def of(kind: Any, id: str = "1", now: float = NOW, **options: Any) -> Any:
    return kind(**{"worker": "w1", "time": now, "task": "send", "id": id, "queue": "mail", **options})


@pytest.fixture
def board() -> Board:
    board = Board(NOW)
    board.take(beat(), NOW)
    return board


def test_a_task_runs_from_its_beginning_to_its_end(board: Board) -> None:
    board.take(of(Started), NOW)
    board.take(of(Started, "2"), NOW + 1)
    board.take(of(Progressed, done=3, total=10, text="third"), NOW + 2)
    first, second = board.running()
    assert (first.id, first.done, first.total, first.text) == ("1", 3, 10, "third") and second.done is None
    assert (board.busy, board.slots) == (2, 4)
    board.take(of(Succeeded), NOW + 3)
    assert [one.id for one in board.running()] == ["2"]
    assert (board.done.total, board.queues["mail"].done.total) == (1, 1)


def test_a_beat_is_the_truth_of_its_worker(board: Board) -> None:
    """What it does not name has ended or gone back; what it names runs, though its beginning was not heard."""
    board.take(of(Started), NOW)
    board.take(beat(busy=1, running=[events.Running(id="9", task="draw", queue="mail", since=NOW - 30)]), NOW + 2)
    (one,) = board.running()
    assert (one.id, one.task) == ("9", "draw")


def test_times_of_a_worker_whose_clock_is_wrong_are_set_right(board: Board) -> None:
    late = NOW - 3600
    board.take(beat(now=late, busy=1, running=[events.Running(id="9", queue="mail", since=late - 5)]), NOW)
    board.take(of(Started, "10", late), NOW)
    assert [NOW - one.since for one in board.running()] == [5, 0]


def test_a_worker_that_is_silent_for_several_beats_is_lost_and_later_forgotten(board: Board) -> None:
    worker = board.workers["w1"]
    assert not worker.lost(NOW + 7)
    assert worker.lost(NOW + 9)
    board.tick(NOW + 9)
    assert "w1" in board.workers
    board.tick(NOW + FORGOTTEN_S + 1)
    assert board.workers == {}


def test_while_we_hear_nothing_ourselves_nobody_is_lost(board: Board) -> None:
    board.connection(False, NOW + 1)
    board.tick(NOW + 1000)
    board.connection(True, NOW + 1000)
    board.tick(NOW + 1001)
    assert not board.workers["w1"].lost(NOW + 1001)


def test_a_worker_that_stopped_is_gone_at_once(board: Board) -> None:
    board.take(beat(state="stopping"), NOW)
    assert "w1" in board.workers
    board.take(beat(state="stopped"), NOW)
    assert board.workers == {} and board.running() == []


def test_failures_are_counted_once_and_told_with_what_follows(board: Board) -> None:
    for event in (
        of(Failed, exception="OSError", error="gone"),
        of(Retried, exception="OSError", error="gone", delay_s=3.0),
        of(Failed, attempt=2, exception="OSError", error="gone"),
        of(Parked, attempt=2, exception="OSError", error="gone", reason="attempts"),
        of(Parked, "2", reason="unknown-task", error="knows no task"),
    ):
        board.take(event, NOW)
    assert (board.failed.total, board.retried.total, board.parked.total) == (2, 1, 2)
    assert [(one.what, one.error) for one in board.failures] == [
        ("parked: unknown-task", "knows no task"),
        ("parked: attempts", "OSError: gone"),
        ("again in 3.0s", "OSError: gone"),
    ]


def summed(now: float, queue: str = "mail", **untold: int) -> Beat:
    return beat(now=now, ended=[Ended(task="send", queue=queue, all=Endings(**untold), untold=Endings(**untold))])


def test_what_was_not_told_one_by_one_is_counted_by_the_beats(board: Board) -> None:
    board.take(of(Succeeded), NOW)
    board.take(summed(NOW + 2, succeeded=9, failed=3, retried=2, parked=1), NOW + 2)
    assert (board.done.total, board.failed.total, board.retried.total, board.parked.total) == (10, 3, 2, 1)
    assert (board.queues["mail"].done.total, board.queues["mail"].failed.total) == (10, 3)


def test_what_is_told_and_summed_up_is_counted_once(board: Board) -> None:
    board.take(of(Succeeded), NOW)
    board.take(beat(now=NOW + 2, ended=[Ended(queue="mail", all=Endings(succeeded=1))]), NOW + 2)
    assert board.done.total == 1


def test_the_rate_of_what_only_the_beats_tell_is_even(board: Board) -> None:
    for second in range(2, 22, 2):
        board.take(summed(NOW + second, succeeded=20_000), NOW + second)
    assert {board.done.per_s(NOW + 21 + part / 10) for part in range(20)} == {10_000}


def test_what_ended_before_we_listened_is_not_counted() -> None:
    board = Board(NOW)
    board.take(summed(NOW, succeeded=5), NOW)
    board.take(summed(NOW + 2, succeeded=7), NOW + 2)
    assert board.done.total == 7


def test_the_last_beat_of_a_worker_counts_and_that_of_other_queues_does_not() -> None:
    board = Board(NOW, ["mail"])
    board.take(beat(), NOW)
    board.take(summed(NOW + 1, "other", succeeded=5), NOW + 1)
    board.take(beat(state="stopped", ended=[Ended(queue="mail", untold=Endings(succeeded=3))]), NOW + 2)
    assert board.done.total == 3


def test_only_what_was_asked_for_is_kept() -> None:
    board = Board(NOW, ["mail"])
    board.take(
        beat(1, busy=1, running=[events.Running(id="9", queue="other", since=NOW)], queues=["mail", "other"]), NOW
    )
    board.take(beat(2, queues=["other"]), NOW)
    board.take(of(Succeeded, queue="other"), NOW)
    assert list(board.queues) == ["mail"] and board.done.total == 0
    assert list(board.workers) == ["w1"] and board.running() == []


def test_what_others_name_at_will_does_not_fill_the_memory(board: Board) -> None:
    for number in range(NAMES_MAX + FAILURES_MAX):
        board.take(beat(number, queues=[f"q{number}"]), NOW)
        board.take(of(Parked, str(number), queue=f"p{number}"), NOW)
    assert len(board.workers) == len(board.queues) == NAMES_MAX
    assert len(board.failures) == FAILURES_MAX


def test_more_runs_than_a_beat_names() -> None:
    board = Board(NOW)
    named = [events.Running(id=str(number), queue="mail", since=NOW) for number in range(3)]
    board.take(beat(slots=500, busy=400, running=named), NOW)
    assert board.busy == 400 and len(board.running()) == 3


def test_a_rate_is_of_the_last_seconds_and_forgets_after_a_minute() -> None:
    rate = Rate(NOW)
    for second in range(10):
        rate.add(NOW + second, 10)
    assert rate.per_s(NOW + 10) == 10
    assert rate.last_minute(NOW + 10) == 100
    assert rate.per_s(NOW + 20) == 0
    assert (rate.last_minute(NOW + 100), rate.total) == (0, 100)
    assert Rate(NOW).per_s(NOW + 0.5) == 0


@pytest.mark.parametrize(
    ("span_s", "text"),
    [(-1, "0.0s"), (0.44, "0.4s"), (9.96, "10s"), (59, "59s"), (61, "1m01s"), (3700, "1h01m"), (90000, "1d01h")],
)
def test_spans_are_short(span_s: float, text: str) -> None:
    assert seconds(span_s) == text
