"""A history stays within its limits, and gives up first what is worth least."""

from __future__ import annotations

from pathlib import Path

import pytest

from history.support import NOW, Book, beat, ended, figures, notice, of
from leveret.history import Limits, Of
from leveret.history.intake import BEATS_PER_S, FAILURES_PER_S, TAKEN_PER_S, WAITING_MAX, Intake
from leveret.history.recorder import SUBJECTS_MAX
from leveret.history.trimming import EVERY_S
from leveret.tasks.events import Parked, Started, Succeeded

DAY_S = 24 * 3600


def filled(
    book: Book, number: int, kind: type = Succeeded, prefix: str = "", at: float = NOW, **options: object
) -> None:
    """So many tasks that ended alike, a thousand a second."""
    for first in range(0, number, 1000):
        now = at + first / 1000
        book.heard(
            *(of(kind, f"{prefix}{one}", now, **options) for one in range(first, min(first + 1000, number))), at=now
        )
    book.flush()


def trimmed(book: Book, at: float) -> None:
    """Time has passed."""
    book.heard(beat(at), at=at)
    book.flush()


def test_of_too_many_tasks_the_oldest_that_succeeded_go_first() -> None:
    book = Book(tasks_max=100)
    filled(book, 50, Parked, "old failure ", error="x")
    filled(book, 200, at=NOW + 10)
    trimmed(book, NOW + 100)
    kept = book.ids(limit=1000)
    assert len(kept) <= 100
    assert len([id for id in kept if id.startswith("old failure")]) == 50
    book.close()


def test_failures_go_when_there_is_nothing_else() -> None:
    book = Book(tasks_max=100)
    for number in range(300):
        book.heard(of(Parked, str(number), NOW + number), at=NOW + number)
    trimmed(book, NOW + 400)
    assert book.ids(limit=1) == ["299"] and 90 <= len(book.ids(limit=1000)) <= 100
    book.close()


def test_no_tasks_at_all() -> None:
    book = Book(tasks_max=0)
    filled(book, 10)
    trimmed(book, NOW + 100)
    assert book.ids() == []
    book.close()


def test_what_is_too_old_goes() -> None:
    book = Book(days=2)
    book.heard(of(Parked, "old", exception="OSError"), beat(ended=[ended(failed=1)]))
    book.history.sample([figures(ready=5)], NOW)
    trimmed(book, NOW + 1.9 * DAY_S)
    assert book.ids() == ["old"] and len(book.failing(NOW - 600, NOW + 600)) == 1
    assert sum(book.series(Of.total(), NOW, NOW + 3 * DAY_S).failed) > 0
    trimmed(book, NOW + 2.1 * DAY_S)
    assert book.ids() == [] and book.failing(NOW - 600, NOW + 600) == []
    assert sum(book.series(Of.total(), NOW, NOW + 3 * DAY_S).failed) == 0
    book.close()


@pytest.mark.parametrize("in_file", [True, False])
def test_its_size_is_bounded(tmp_path: Path, in_file: bool) -> None:
    path = tmp_path / "h.sqlite3"
    book = Book(path if in_file else None, bytes_max=2_000_000)
    for number in range(12):
        at = NOW + number * (EVERY_S + 1)
        filled(book, 1000, Parked, f"{number} ", at, error="x" * 500, exception="E" * 200)
        trimmed(book, at + 5)
    assert book.ids(limit=1)[0].startswith("11 ")
    assert 0 < len(book.ids(limit=1000)) < 12_000
    book.close()
    if in_file:
        assert path.stat().st_size < 4_000_000


def test_any_number_of_queues_and_tasks_may_be_named(book: Book) -> None:
    many = [figures(f"q{number}", ready=1) for number in range(SUBJECTS_MAX + 500)]
    book.history.sample(many, NOW)
    assert book.series(Of.total(), until=NOW + 5).ready == [SUBJECTS_MAX + 500]
    known = [book.series(Of.queue("/", f"q{number}"), until=NOW + 5).ready != [None] for number in range(0, 5500, 50)]
    assert 0 < known.count(False) <= 11


def test_the_place_of_queues_that_are_long_gone_is_free_again() -> None:
    book = Book(days=1)
    book.history.sample([figures(f"q{number}", ready=1) for number in range(SUBJECTS_MAX)], NOW)
    book.history.sample([], NOW + 5)
    trimmed(book, NOW + 2 * DAY_S)
    book.history.sample([figures("new", ready=1)], NOW + 2 * DAY_S + 60)
    assert book.series(Of.queue("/", "new"), NOW + 2 * DAY_S, NOW + 2 * DAY_S + 120).ready.count(1) >= 1
    book.close()


# ---- what comes in


def test_of_very_many_events_in_a_second_those_that_failed_and_the_beats_find_room_longest() -> None:
    intake = Intake()
    intake.take([of(Started, str(number)) for number in range(TAKEN_PER_S + 10)], NOW, "/")
    assert intake.left_out == 10
    intake.take([of(Parked, str(number)) for number in range(FAILURES_PER_S)], NOW, "/")
    assert intake.left_out == 10 + TAKEN_PER_S
    intake.notice([notice("1")], NOW)
    assert intake.left_out == 10 + TAKEN_PER_S + 1
    intake.take([beat()] * (BEATS_PER_S + 1), NOW, "/")
    assert intake.left_out == 10 + TAKEN_PER_S + 2
    intake.take([of(Started)], NOW + 1, "/")
    assert len(intake.drain()) == FAILURES_PER_S + BEATS_PER_S + 1
    assert intake.drain() == []


def test_while_nothing_is_written_so_much_waits() -> None:
    intake = Intake()
    for second in range(2 * WAITING_MAX // TAKEN_PER_S):
        intake.take([of(Started)] * TAKEN_PER_S, NOW + second, "/")
    assert len(intake.drain()) == WAITING_MAX and intake.left_out == WAITING_MAX


def test_limits_have_the_promised_defaults() -> None:
    assert Limits() == Limits(tasks_max=100_000, days=14, bytes_max=256 * 1024 * 1024)
