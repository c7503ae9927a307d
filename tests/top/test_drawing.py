"""What stands on the screen, without a terminal: it fits, whatever is known, and the keys change what is seen."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from board.test_board import NOW, beat, of
from leveret.board.board import Board
from leveret.tasks import events
from leveret.tasks.events import Parked, Progressed, Retried, Started, Succeeded
from leveret.top.drawing import rooms, screen, whole
from leveret.top.keys import names
from leveret.top.told import told
from leveret.top.view import FAILURES, PANELS, QUEUES, RUNNING, WORKERS, View

BROKER = "hare:5672 (vhost '/', user 'guest')  Leveret 0.1.0"


def drawn(
    board: Board, view: View | None = None, width: int = 80, height: int = 24, now: float = NOW + 10
) -> list[str]:
    """The lines of the screen."""
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, highlight=False, markup=False, emoji=False)
    console.print(screen(board, view or View(), now, BROKER, width, height), end="")
    return out.getvalue().removesuffix("\n").split("\n")


def busy_board(workers: int = 3, each: int = 4) -> Board:
    board = Board(NOW)
    board.take(beat(1, queues=["mail"]), NOW)
    board.take(beat(1, state="stopped"), NOW)
    for number in range(1, workers + 1):
        running = [
            events.Running(
                id=f"{number}-{place}",
                task=f"task{place}",
                queue="mail",
                since=NOW - 10 * number - place,
                done=place,
                total=each,
            )
            for place in range(each)
        ]
        board.take(beat(number, queues=["mail", f"q{number}"], slots=8, busy=each, running=running), NOW + 9)
    board.count("mail", 17, 3, 2)
    for second in range(10):
        board.take(of(Succeeded, f"d{second}"), NOW + second)
    board.take(of(Retried, "r", exception="OSError", error="no answer", delay_s=90.0), NOW + 9)
    board.take(of(Parked, "p", exception="ValueError", error="two\nlines", reason="attempts"), NOW + 9)
    return board


def test_all_that_matters_stands_on_eighty_by_twenty_four() -> None:
    lines = drawn(busy_board())
    text = "\n".join(lines)
    assert len(lines) == 24
    assert "leveret top" in lines[0] and "hare:5672" in lines[0]
    assert "workers 3" in lines[1] and "12/24" in lines[1]
    assert "done 1.0/s" in lines[2] and "failed 0.0/s" in lines[2] and "10 0 1, 1 parked" in lines[2]
    for wanted in (
        "QUEUE",
        "mail",
        "17",
        "WORKER",
        "hare:1",
        "4/8",
        "RUNNING",
        "task3",
        "75%",
        "FAILED",
        "again in 1m30s",
    ):
        assert wanted in text
    assert "parked: attempts" in text and "ValueError: two lines" in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (200, 60), (20, 5), (80, 6), (1, 1)])
@pytest.mark.parametrize("workers", [0, 1, 200])
@pytest.mark.parametrize("focus", PANELS)
def test_it_fits_on_every_screen(width: int, height: int, workers: int, focus: str) -> None:
    lines = drawn(busy_board(workers), View(focus=focus), width, height)
    assert len(lines) <= max(height, 6)
    assert all(len(line) <= max(width, 20) for line in lines)


def test_without_workers_it_says_so() -> None:
    text = "\n".join(drawn(Board(NOW)))
    assert "no worker is heard of: `leveret worker PROGRAM` starts one" in text
    assert "nothing runs just now" in text and "nothing has failed" in text


def test_a_lost_worker_and_a_lost_broker_are_told() -> None:
    board = busy_board()
    text = "\n".join(drawn(board, now=NOW + 30))
    assert "lost, silent 21s" in text and "3 lost" in text
    board.connection(False, NOW + 30)
    lines = drawn(board, now=NOW + 60)
    assert "reconnecting" in lines[0] and not any("lost, silent" in line for line in lines)


def test_a_worker_that_stops_is_seen_to_stop() -> None:
    board = Board(NOW)
    board.take(beat(state="stopping"), NOW)
    assert "stopping" in "\n".join(drawn(board))


def test_the_panel_that_has_the_keys_has_the_room() -> None:
    board = busy_board(200)
    view = View()
    for panel, column in (
        (RUNNING, "RUNNING 1-"),
        (FAILURES, "FAILED 2"),
        (QUEUES, "QUEUE 1-"),
        (WORKERS, "WORKER 1-"),
    ):
        view.focus = panel
        assert column in "\n".join(drawn(board, view))
    rows = [line for line in drawn(board, view) if line.startswith("hare:")]
    assert len(rows) > 5


def test_rows_are_given_to_whom_they_are_of_use() -> None:
    assert rooms([1, 200, 800, 0], 2, 19) == [1, 2, 11, 1]
    assert rooms([1, 1, 1, 1], 2, 40) == [1, 1, 1, 1]
    assert rooms([9, 9, 9, 9], 0, 4) == [1, 1, -1, -1]
    assert rooms([9, 9, 9, 9], 3, 1) == [-1, -1, -1, 0]


def press(view: View, *keys: str) -> View:
    for key in keys:
        view.press(key)
    return view


def test_scrolling_ends_at_the_ends() -> None:
    board, view = busy_board(200), press(View(), "j", "j", "down")
    assert "RUNNING 4-" in "\n".join(drawn(board, view))
    press(view, "end", "end")
    assert "/800" in "\n".join(drawn(board, view))
    assert view.first[RUNNING] < 800
    press(view, "k", "up", "pageup", "home", "k")
    assert view.first[RUNNING] == 0


def test_each_panel_is_sorted_by_its_own_columns_in_turn() -> None:
    board = Board(NOW)
    for number, ran in ((1, 5), (2, 50)):
        board.take(beat(number, ran=ran, busy=0), NOW)
    view = press(View(), "backtab", "s", "s")
    assert (view.focus, view.order(WORKERS)) == (WORKERS, "ran")
    lines = drawn(board, view)
    assert [line[:6] for line in lines if line.startswith("hare:")] == ["hare:2", "hare:1"]
    assert lines[-1].startswith("by ran")
    press(view, "s", "s")
    assert view.order(WORKERS) == "name"


def test_a_filter_is_typed_kept_and_dropped() -> None:
    board = busy_board()
    view = press(View(), "/", "T", "q", "backspace", "a", "s", "k", "3")
    assert (view.filter, view.typing, view.over) == ("Task3", True, False)
    assert "filter: Task3" in drawn(board, view)[-1]
    press(view, "enter")
    text = "\n".join(drawn(board, view))
    assert "task3" in text and "task2 " not in text.partition("RUNNING")[2] and "only 'Task3'" in text
    assert "nothing contains 'Task3'" in text
    press(view, "escape")
    assert view.filter == "" and "task2" in "\n".join(drawn(board, view))


def test_help_is_shown_until_the_next_key_and_q_ends_it() -> None:
    view = press(View(), "?")
    assert any("pause, and go on" in line for line in drawn(Board(NOW), view))
    assert press(view, "q").over is False
    assert press(view, "p").paused and "paused" in drawn(Board(NOW), view)[0]
    assert press(view, " ", "q").over and not view.paused


def test_what_somebody_else_wrote_commands_no_terminal_and_is_no_markup() -> None:
    board = Board(NOW)
    evil = "\x1b[2J\x07[bold]x[/bold]\u202e\n"
    board.take(beat(1, queues=[evil], host=evil), NOW)
    board.take(of(Started, task=evil, queue=evil), NOW)
    board.take(of(Progressed, done=1, text=evil, queue=evil), NOW)
    board.take(of(Parked, "2", task=evil, queue=evil, reason=evil, error=evil), NOW)
    for focus in PANELS:
        text = "\n".join(drawn(board, View(focus=focus), 200))
        assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
        assert "[bold]x[/bold]" in text


@pytest.mark.parametrize(
    "options", [{"slots": 0}, {"busy": -5, "slots": -1}, {"every_s": 1e300, "started": -1e300, "memory_bytes": -1}]
)
def test_a_beat_that_makes_no_sense_is_shown_somehow(options: dict[str, Any]) -> None:
    board = Board(NOW)
    board.take(beat(1, **options), NOW)
    board.take(of(Started), NOW)
    board.take(of(Progressed, done=1e300, total=1e-300), NOW)
    assert len(drawn(board)) == 24


def test_all_of_it_is_printed_where_no_terminal_is() -> None:
    out = io.StringIO()
    Console(file=out, width=120, highlight=False).print(whole(busy_board(200), NOW + 10, BROKER, 120))
    text = out.getvalue()
    assert all(f"hare:{number} " in text for number in range(1, 201))
    assert text.count("task3") >= 200


def test_programs_get_values() -> None:
    values = json.loads(json.dumps(told(busy_board(), NOW + 10, BROKER)))
    assert (values["slots"], values["busy"], values["done_per_s"]) == (24, 12, 1)
    assert values["queues"][0] == {
        "name": "mail", "ready": 17, "dead": 2, "consumers": 3, "done_per_s": 1, "failed": 0
    }  # fmt: skip
    assert len(values["running"]) == 12 and values["running"][0]["for_s"] == 34
    assert [one["state"] for one in values["workers"]] == ["running"] * 3


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("qjk", ["q", "j", "k"]),
        ("\x1b[A\x1b[B\x1bOA", ["up", "down", "up"]),
        ("\x1b", ["escape"]),
        ("\x1b[5~\x1b[6~\t\x1b[Z", ["pageup", "pagedown", "tab", "backtab"]),
        ("\x1b[15~q\x1b[1;5Cj", ["q", "j"]),
        ("\r\x7fä", ["enter", "backspace", "ä"]),
        ("\x1b[", []),
        ("", []),
    ],
)
def test_keys_are_told_apart(text: str, keys: list[str]) -> None:
    assert names(text) == keys
