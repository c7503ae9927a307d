"""How long tasks take, and what is concluded from it. No clock: the times are given."""

from __future__ import annotations

from leveret.worker.pace import BRIEF_S, ENOUGH, LONGEST_S, QUICK_S, Pace

SHORT_S, LONG_S = BRIEF_S / 10, LONGEST_S


def paced(*times: tuple[int, float]) -> Pace:
    pace = Pace()
    for number, took_s in times:
        for _ in range(number):
            pace.took(took_s)
    return pace


def test_nothing_is_known_of_the_first() -> None:
    assert not paced().brief and not paced().quick


def test_tasks_that_are_all_short_are_brief_and_those_that_are_not_are_not() -> None:
    assert paced((200, SHORT_S)).brief
    assert not paced((200, 2 * BRIEF_S)).brief


def test_tasks_become_brief_and_cease_to_be_so() -> None:
    assert paced((100_000, LONG_S), (200, SHORT_S)).brief
    assert not paced((100_000, SHORT_S), (400, LONG_S)).brief


def test_a_task_that_sometimes_looks_long_for_it_waits_its_turn_is_brief() -> None:
    pace = Pace()
    for number in range(2_000):
        pace.took(SHORT_S if number % 3 == 0 else 0.005)
    assert pace.brief


def test_so_many_quick_ones_in_a_row_are_enough() -> None:
    assert not paced((ENOUGH - 1, QUICK_S / 2)).quick
    assert paced((ENOUGH, QUICK_S / 2)).quick
    assert paced((ENOUGH, 0.001)).mean_s < 0.001_1


def test_a_single_long_one_ends_it_and_next_time_ten_times_as_many_are_needed() -> None:
    assert not paced((ENOUGH, SHORT_S), (1, LONG_S)).quick
    assert not paced((ENOUGH, SHORT_S), (1, LONG_S), (ENOUGH * 10 - 1, SHORT_S)).quick
    assert paced((ENOUGH, SHORT_S), (1, LONG_S), (ENOUGH * 10, SHORT_S)).quick


def test_long_ones_before_it_ever_was_quick_cost_nothing() -> None:
    assert paced((50, LONG_S), (ENOUGH, SHORT_S)).quick
