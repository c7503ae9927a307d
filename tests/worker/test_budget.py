"""Of which tasks events are made, however many there are."""

from __future__ import annotations

from collections.abc import Callable

from leveret.client import BasicProperties
from leveret.tasks import Message
from leveret.worker.budget import BEGUN_MAX, Budget


class Clock:
    """Seconds pass when it is told."""

    def __init__(self) -> None:
        self._due: list[Callable[[], None]] = []

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        assert delay_s == 1
        self._due.append(call)

    def second(self) -> None:
        (call,), self._due = self._due, []
        call()


def message(id: str, attempt: int = 1) -> Message:
    return Message("q", b"", BasicProperties(message_id=id), attempt, False)


def test_so_many_a_second_are_told() -> None:
    clock = Clock()
    budget = Budget(clock.later, told_per_s=2)
    for _ in range(2):
        assert [budget.begins(message(str(number))) for number in range(4)] == [True, True, False, False]
        assert not budget.room
        clock.second()
        assert budget.room


def test_what_was_begun_to_be_told_is_told_to_its_end() -> None:
    budget = Budget(Clock().later, told_per_s=1)
    told, other = message("told"), message("other")
    assert budget.begins(told)
    assert not budget.begins(other)
    assert not budget.succeeds(other)
    assert budget.succeeds(told)
    assert not budget.succeeds(told)


def test_what_was_not_told_when_it_began_is_told_at_its_end_if_there_is_room() -> None:
    budget = Budget(Clock().later, told_per_s=1)
    assert budget.succeeds(message("long"))
    assert not budget.succeeds(message("more"))


def test_failures_have_a_budget_of_their_own() -> None:
    clock = Clock()
    budget = Budget(clock.later, told_per_s=0, failures_per_s=2)
    assert [budget.fails(message(str(number))) for number in range(3)] == [True, True, False]
    clock.second()
    assert budget.fails(message("3")) and not budget.begins(message("x"))


def test_another_attempt_is_another_task() -> None:
    budget = Budget(Clock().later, told_per_s=1)
    assert budget.begins(message("a", 1))
    assert not budget.succeeds(message("a", 2))


def test_tasks_that_never_end_here_do_not_fill_the_memory() -> None:
    budget = Budget(Clock().later, told_per_s=10**9)
    for number in range(BEGUN_MAX + 10):
        budget.begins(message(str(number)))
    assert len(budget.begun) <= BEGUN_MAX
