"""What is remembered of tasks: one row for each message, as it was last heard of, and its life."""

from __future__ import annotations

import pytest

from history.support import NOW, Book, beat, notice, of
from leveret.history import Filter
from leveret.history.intake import TRACED_CHARACTERS_MAX, Heard, Intake
from leveret.history.recorder import LIFE_CHARACTERS_MAX, TRACES_CHARACTERS_MAX
from leveret.history.words import TEXT_CHARACTERS_MAX
from leveret.tasks.events import (
    TRACEBACK_CHARACTERS_MAX,
    Cancelled,
    Failed,
    Parked,
    Progressed,
    Retried,
    Running,
    Started,
    Succeeded,
)


def test_a_task_that_succeeds(book: Book) -> None:
    book.heard(
        of(Started, sent=NOW - 9, argument='{"args":[1]}'),
        of(Succeeded, at=NOW + 2, took_s=2.0, result="[1]"),
        at=NOW + 3,
    )
    row = book.row()
    assert (row.vhost, row.queue, row.task, row.state, row.worker) == ("/", "mail", "send", "succeeded", "w1")
    assert (row.sent, row.started, row.ended, row.changed, row.took_s) == (NOW - 9, NOW, NOW + 2, NOW + 2, 2.0)
    assert row.argument == '{"args":[1]}'
    assert book.life() == [(0, "started", "attempt 1 by w1"), (2, "succeeded", "[1]")]


@pytest.mark.parametrize("at_once", [True, False], ids=["in one transaction", "one by one"])
def test_a_task_that_fails_is_tried_again_and_parked(book: Book, at_once: bool) -> None:
    wrong = {"exception": "OSError", "error": "gone"}
    for event in (
        of(Started),
        of(Failed, at=NOW + 1, took_s=1.0, **wrong),
        of(Retried, at=NOW + 1, delay_s=3.0, **wrong),
        of(Started, at=NOW + 4, attempt=2, worker="w2"),
        of(Failed, at=NOW + 6, attempt=2, took_s=2.0, **wrong),
        of(Parked, at=NOW + 6, attempt=2, took_s=2.0, reason="attempts", **wrong),
    ):
        book.heard(event, at=NOW + 7)
        if not at_once:
            book.flush()
    row = book.row()
    assert (row.state, row.attempts, row.started, row.ended) == ("parked", 2, NOW, NOW + 6)
    assert (row.exception, row.error, row.reason, row.took_s) == ("OSError", "gone", "attempts", 2.0)
    assert [what for _, what, _ in book.life()] == ["started", "failed", "retried", "started", "failed", "parked"]
    assert book.life()[-1][2] == "attempts: OSError: gone"


def test_what_failed_once_and_then_succeeded_has_succeeded_without_an_error(book: Book) -> None:
    book.heard(of(Started), of(Retried, exception="OSError", error="gone"))
    assert (book.row().state, book.row().exception) == ("waiting", "OSError")
    book.heard(of(Started, at=NOW + 1, attempt=2), at=NOW + 1)
    assert (book.row().state, book.row().ended) == ("running", None)
    book.heard(of(Succeeded, at=NOW + 2, attempt=2), at=NOW + 2)
    row = book.row()
    assert (row.state, row.exception, row.error, row.attempts) == ("succeeded", "", "", 2)


def test_a_word_that_comes_late_changes_nothing_but_the_life(book: Book) -> None:
    book.heard(of(Succeeded, at=NOW + 2), at=NOW + 2)
    book.flush()
    book.heard(of(Started, at=NOW + 1), at=NOW + 3)
    row = book.row()
    assert (row.state, row.ended, row.started) == ("succeeded", NOW + 2, NOW + 1)
    assert [what for _, what, _ in book.life()] == ["started", "succeeded"]


def test_progress_leaves_no_trace_in_a_life(book: Book) -> None:
    book.heard(of(Started), of(Progressed, at=NOW + 1, done=3), at=NOW + 1)
    assert len(book.life()) == 1 and book.row().state == "running"


def test_a_task_that_was_cancelled(book: Book) -> None:
    book.heard(of(Cancelled, took_s=1.0))
    assert (book.row().state, book.row().ended) == ("cancelled", NOW)


def test_messages_of_different_virtual_hosts_are_different_though_their_ids_are_not(book: Book) -> None:
    book.heard(of(Started, task="here"))
    book.heard(of(Succeeded, at=NOW + 1, task="there"), at=NOW + 1, vhost="other")
    assert book.life_of("1", "/").row.task == "here"
    assert book.life_of("1").row.task == "there"
    assert len(book.tasks()) == 2


def test_what_has_no_id_is_no_row(book: Book) -> None:
    book.heard(of(Started, id=""))
    assert book.tasks() == []


def test_times_of_a_worker_whose_clock_is_wrong_are_set_right(book: Book) -> None:
    book.heard(beat(NOW - 3600), of(Started, at=NOW - 3599), at=NOW)
    book.heard(of(Started, "2", at=NOW + 500, worker="unknown"), at=NOW + 1)
    assert (book.row("1").started, book.row("2").started) == (NOW, NOW + 1)


def test_a_task_whose_beginning_was_not_told_is_known_when_it_has_run_for_a_while(book: Book) -> None:
    running = [Running(task="send", id="long", queue="mail", since=NOW - 3), Running(id="new", since=NOW - 1)]
    book.heard(beat(running=running))
    assert book.ids() == ["long"]
    assert (book.row("long").state, book.row("long").started, book.row("long").worker) == ("running", NOW - 3, "w1")


# ---- what the broker says


def test_a_message_that_came_back_waits(book: Book) -> None:
    book.heard(of(Started))
    book.history.notice([notice("1", "2", at=NOW + 5)], NOW + 5)
    assert book.row("1").state == book.row("2").state == "waiting"
    assert book.row("2").queue == "mail"
    assert book.life()[-1] == (5, "requeued", "mail: connection closed, c1")


@pytest.mark.parametrize(
    ("what", "why", "state"),
    [
        ("dead-lettered", "expired", "expired"),
        ("dead-lettered", "rejected", "parked"),
        ("dead-lettered", "delivery_limit", "parked"),
        ("dropped", "expired", "expired"),
        ("dropped", "maxlen", "dropped"),
        ("purged", "purged", "dropped"),
    ],
)
def test_a_message_that_the_broker_gave_up(book: Book, what: str, why: str, state: str) -> None:
    book.history.notice([notice("1", what=what, why=why)], NOW)
    row = book.row()
    assert (row.state, row.reason, row.ended) == (state, why, NOW)


def test_given_back_and_given_up_in_one_moment_it_is_given_up(book: Book) -> None:
    book.history.notice([notice("1"), notice("1", what="dead-lettered", why="delivery_limit")], NOW)
    assert book.row().state == "parked"


# ---- tracebacks


@pytest.mark.parametrize("at_once", [True, False], ids=["in one transaction", "one by one"])
def test_each_attempt_that_failed_keeps_its_traceback(book: Book, at_once: bool) -> None:
    for attempt in (1, 2, 3):
        told = "" if attempt == 3 else f"Traceback\n  of attempt {attempt}\n\x00\ud800"
        book.heard(of(Started, at=NOW + attempt, attempt=attempt), at=NOW + attempt)
        book.heard(of(Failed, at=NOW + attempt + 0.5, attempt=attempt, traceback=told), at=NOW + attempt + 0.5)
        book.heard(of(Retried, at=NOW + attempt + 0.5, attempt=attempt), at=NOW + attempt + 0.5)
        if not at_once:
            book.flush()
    entries = book.life_of().life
    failed = [entry.traceback for entry in entries if entry.what == "failed"]
    assert failed == ["Traceback\n  of attempt 1\n\ufffd?", "Traceback\n  of attempt 2\n\ufffd?", ""]
    assert not any(entry.traceback for entry in entries if entry.what != "failed")


def test_of_very_many_tracebacks_of_a_task_the_last_are_kept_and_of_each_its_end(book: Book) -> None:
    for attempt in range(1, 21):
        told = f"{'x' * TRACEBACK_CHARACTERS_MAX}attempt {attempt}"
        book.heard(of(Failed, at=NOW + attempt, attempt=attempt, traceback=told), at=NOW + attempt)
        if attempt % 3 == 0:
            book.flush()
    traces = [entry.traceback for entry in book.life_of().life]
    assert len(traces) == 20 and traces[-1].endswith("xattempt 20")
    kept = [trace for trace in traces if trace]
    assert traces[-len(kept) :] == kept
    assert all(len(trace) == TRACEBACK_CHARACTERS_MAX for trace in kept)
    assert 2 <= len(kept) <= TRACES_CHARACTERS_MAX / TRACEBACK_CHARACTERS_MAX


def test_tracebacks_that_are_too_many_to_wait_are_left_out_and_their_failures_are_not() -> None:
    intake = Intake()
    told = of(Failed, traceback="x" * TRACEBACK_CHARACTERS_MAX)
    many = TRACED_CHARACTERS_MAX // TRACEBACK_CHARACTERS_MAX + 10
    intake.take([told] * many, NOW, "/")
    waiting = [piece.event for piece in intake.drain() if isinstance(piece, Heard)]
    assert len(waiting) == many and intake.left_out == 0
    traced = [event for event in waiting if isinstance(event, Failed) and event.traceback]
    assert len(traced) == many - 10
    intake.take([told], NOW, "/")
    (piece,) = intake.drain()
    assert isinstance(piece, Heard) and piece.event == told


# ---- bounds and hostile words


def test_a_very_long_life_keeps_its_beginning_and_its_end(book: Book) -> None:
    for number in range(1, 500):
        book.heard(of(Started, at=NOW + number, attempt=number), at=NOW + number)
        if number % 50 == 0:
            book.flush()
    life = book.life()
    assert life[0] == (1, "started", "attempt 1 by w1") and life[-1] == (499, "started", "attempt 499 by w1")
    assert len(life) < LIFE_CHARACTERS_MAX / 20


@pytest.mark.parametrize(
    "text",
    [
        "'; drop table task; --",
        "a\x00b",
        "\u2028\x85\n\r",
        "ä" * 5000,
        "%_*?[",
        '{"a":',
        "\N{PILE OF POO}",
        "\ufeff",
        "</script>",
    ],
    ids=range(9),
)
def test_names_and_errors_may_be_anything(book: Book, text: str) -> None:
    book.heard(of(Parked, id=text, queue=text, task=text, worker=text, exception=text, error=text, reason=text))
    book.heard(of(Succeeded, id="other"))
    short = text[:255].replace("\0", "\ufffd")
    (row,) = book.tasks(queue=short)
    assert (row.id, row.task, row.worker, row.exception, row.reason) == (short,) * 5
    assert row.error == text[:TEXT_CHARACTERS_MAX].replace("\0", "\ufffd")
    assert len(book.life_of(short).life) == 1
    assert [trend.exception for trend in book.failing()] == [short]


def test_octets_that_are_no_text_are_shown_as_such(book: Book) -> None:
    broken = b"\xff mail".decode("utf-8", "surrogateescape")
    book.history.notice([notice(broken, queue=broken, connection=broken)], NOW)
    book.heard(of(Started, id="2"))
    assert set(book.ids()) == {"? mail", "2"}


# ---- finding


@pytest.fixture
def full(book: Book) -> Book:
    """0 to 9, a second apart: even ones succeeded, the others are parked; 5 of another queue."""
    for number in range(10):
        at = NOW + number
        queue = "other" if number == 5 else "mail"
        begun = of(Started, str(number), at, queue=queue, argument=f'{{"args":["user-{number}"]}}')
        wrong = {"exception": "OSError", "error": "gone", "reason": "attempts"}
        end = of(Parked, str(number), at, queue=queue, **wrong) if number % 2 else of(Succeeded, str(number), at)
        book.heard(begun, end, at=at)
    return book


def test_the_newest_come_first_and_page_by_page(full: Book) -> None:
    assert full.ids(limit=4) == ["9", "8", "7", "6"]
    assert full.ids(limit=4, before=full.tasks(limit=4)[-1].changed) == ["5", "4", "3", "2"]
    assert full.ids(since=NOW + 8) == ["9", "8"]
    assert full.ids(limit=-1) == []


@pytest.mark.parametrize(
    ("filter", "ids"),
    [
        ({"id": "3"}, ["3"]),
        ({"queue": "other"}, ["5"]),
        ({"state": ("parked",), "queue": "mail"}, ["9", "7", "3", "1"]),
        ({"state": ("parked", "succeeded"), "limit": 2}, ["9", "8"]),
        ({"argument": "user-4"}, ["4"]),
        ({"argument": "%"}, []),
        ({"exception": "OSError", "limit": 1}, ["9"]),
        ({"task": "none"}, []),
        ({"worker": "w1", "vhosts": ("/",), "task": "send", "limit": 1}, ["9"]),
        ({"vhosts": ("elsewhere", "/"), "limit": 1}, ["9"]),
        ({"vhosts": ("elsewhere",)}, []),
    ],
)
def test_tasks_are_found_by(full: Book, filter: dict[str, object], ids: list[str]) -> None:
    assert full.ids(**filter) == ids


def test_what_is_not_known_is_none(book: Book) -> None:
    assert not book.knows("1")
    assert Filter().limit > 0
