"""What is remembered of queues and tasks in numbers, and what becomes of it as a series."""

from __future__ import annotations

import pytest

from history.support import NOW, Book, beat, ended, figures, of
from leveret.history import Figures, Of
from leveret.history.figures import Standing
from leveret.tasks.events import Failed, Parked, Retried

MAIL = Of.queue("/", "mail")


def test_rates_are_what_the_counts_grew_by(book: Book) -> None:
    for second, published in ((0, 1000), (5, 1010), (10, 1030)):
        book.history.sample([figures(ready=3, published=published, taken=published - 3)], NOW + second)
    series = book.series(MAIL, until=NOW + 15)
    assert (series.step_s, series.at) == (5, [NOW, NOW + 5, NOW + 10])
    assert (series.in_, series.out) == ([0, 2, 4], [0, 2, 4])
    assert book.series(Of.total(), until=NOW + 15).in_ == [0, 2, 4]


def test_a_broker_that_started_again_counts_from_nothing(book: Book) -> None:
    for second, published in ((0, 1000), (5, 20), (10, 30)):
        book.history.sample([figures(published=published)], NOW + second)
    assert book.series(MAIL, until=NOW + 15).in_ == [0, 4, 2]


def test_a_queue_that_was_made_meanwhile_counts_from_its_beginning(book: Book) -> None:
    book.history.sample([], NOW)
    book.history.sample([figures(published=10)], NOW + 5)
    assert book.series(MAIL, until=NOW + 10).in_ == [0, 2]


def test_a_queue_that_does_not_change_stands_as_it_did(book: Book) -> None:
    for second in range(0, 20, 5):
        book.history.sample([figures(ready=7, unacked=2, consumers=1)], NOW + second)
    series = book.series(MAIL, until=NOW + 25)
    assert series.ready == [7, 7, 7, 7, None]
    assert (series.unacked[:4], series.consumers[:4]) == ([2] * 4, [1] * 4)


def test_where_nobody_looked_nothing_is_known(book: Book) -> None:
    book.history.sample([figures(ready=7)], NOW)
    book.history.sample([figures(ready=7)], NOW + 15)
    assert book.series(MAIL, NOW - 5, NOW + 20).ready == [None, 7, None, None, 7]


def test_a_queue_that_is_gone_is_empty(book: Book) -> None:
    book.history.sample([figures(ready=7)], NOW)
    book.history.sample([], NOW + 5)
    book.history.sample([], NOW + 10)
    assert book.series(MAIL, until=NOW + 15).ready == [7, 0, 0]


def test_all_queues_together(book: Book) -> None:
    book.history.sample([figures(ready=7, consumers=1), figures("other", ready=2, unacked=1)], NOW)
    series = book.series(Of.total(), until=NOW + 5)
    assert (series.ready, series.unacked, series.consumers) == ([9], [1], [1])


def test_tasks_are_counted_by_what_the_beats_sum_up_and_not_twice(book: Book) -> None:
    book.heard(of(Failed), of(Retried), beat(ended=[ended(succeeded=8, failed=2, retried=2, took_s=5.0)]))
    for subject in (Of.task("/", "send"), MAIL, Of.total()):
        series = book.series(subject, until=NOW + 5)
        assert (series.succeeded, series.failed, series.took_s) == ([1.6], [0.4], [1.0])


def test_few_points_add_up_what_they_cover(book: Book) -> None:
    for second in range(0, 60, 5):
        book.history.sample([figures(ready=second, published=10 * second)], NOW + second)
    series = book.series(MAIL, until=NOW + 60, points=3)
    assert len(series.at) <= 3 and series.step_s == 20
    assert series.ready[-1] == 55 and sum(series.in_) * series.step_s == 550


def test_what_is_long_ago_is_there_in_coarser_steps(book: Book) -> None:
    for minute in range(0, 3 * 24 * 60, 15):
        book.history.sample([figures(ready=1, published=900 * minute)], NOW + 60 * minute)
    now = NOW + 3 * 24 * 3600
    book.history.sample([figures(ready=1, published=900 * 3 * 24 * 60)], now)
    whole = book.series(MAIL, NOW, now, 100)
    assert 90 <= len(whole.at) <= 100
    assert sum(whole.in_) * whole.step_s == pytest.approx(900 * 3 * 24 * 60, rel=0.02)
    assert book.series(MAIL, now - 600, now + 60, 200).step_s == 5
    assert book.series(MAIL, now - 24 * 3600, now, 300).step_s == 300
    assert book.series(MAIL, NOW, NOW + 3600, 100).step_s == 900


def test_a_queue_that_did_nothing_has_no_row() -> None:
    standing = Standing()
    idle = [figures(f"q{number}") for number in range(1000)]
    assert len(standing.rows(idle, NOW, ())) == 1
    assert len(standing.rows([*idle, figures("new")], NOW + 5, ())) == 1
    busy = figures("q7", published=1)
    rows = standing.rows([busy if one.name == "q7" else one for one in idle], NOW + 10, ())
    assert [row.name for row in rows] == ["", "q7"]


@pytest.mark.parametrize("name", ["amq.gen-x", "leveret.delay.3", "leveret.listener.x"])
def test_queues_that_are_only_a_way_count_in_the_whole_alone(book: Book, name: str) -> None:
    book.history.sample([], NOW)
    book.history.sample([figures(name, ready=5, published=5)], NOW + 5)
    assert book.series(Of.total(), until=NOW + 10).ready == [0, 5]
    assert book.series(Of.queue("/", name), until=NOW + 10).ready == [None, None]


def test_a_series_of_what_is_not_known_is_empty(book: Book) -> None:
    book.history.sample([], NOW)
    series = book.series(Of.task("/", "none"), until=NOW + 5)
    assert (series.in_, series.succeeded, series.ready) == ([0], [0], [None])


@pytest.mark.parametrize(
    ("since", "until", "points"), [(NOW, NOW, 0), (NOW, NOW - 10, 5), (0, 1e12, 10), (-1e9, 0, -3)]
)
def test_any_span_has_a_series(book: Book, since: float, until: float, points: int) -> None:
    book.history.sample([figures(ready=1)], NOW)
    series = book.series(MAIL, since, until, points)
    assert 1 <= len(series.at) <= max(1, points)
    assert len(book.failing(since, until, points)) == 0


@pytest.mark.parametrize("of", [Of.total(), Of.queue("/", "a/b%"), Of.task("ä", ""), Of.queue("", "\n")], ids=str)
def test_what_a_series_is_of_is_written_and_read(of: Of) -> None:
    assert Of.parse(str(of)) == of


@pytest.mark.parametrize("text", ["", "total/x", "queue", "queue/a", "queue/a/b/c", "worker/a/b"])
def test_what_is_no_subject_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected total"):
        Of.parse(text)


# ---- failures


def test_failures_are_counted_by_queue_task_and_exception(book: Book) -> None:
    for at in (0, 10, 400):
        wrong = {"exception": "OSError", "error": f"gone {at}"}
        book.heard(of(Failed, at=NOW + at, **wrong), of(Retried, at=NOW + at, **wrong), at=NOW + at)
    book.heard(of(Parked, "2", exception="", error="knows no task", reason="unknown-task"))
    often, once = book.failing(NOW, NOW + 600)
    assert (often.queue, often.task, often.exception, often.error) == ("mail", "send", "OSError", "gone 400")
    assert (often.count, often.first, often.last, sum(often.counts)) == (3, NOW, NOW + 400, 3)
    assert len([count for count in often.counts if count]) == 2
    assert (once.count, once.exception) == (1, "")


def test_a_figure_is_what_it_was_given_as() -> None:
    assert figures(ready=1) == Figures("/", "mail", 1, 0, 0, 0, 0)
