"""What the worker's log says of tasks, and how it stays readable where very many are done."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from leveret.client import BasicProperties
from leveret.tasks import Done, Failed, Failure, Message
from leveret.worker.report import LINES_PER_S, Report

MESSAGE = Message("mail", b"{}", BasicProperties(type="send", message_id="7"), 1, False)


class Later:
    """An event loop's call_later; a second is over when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def __call__(self, delay_s: float, call: Callable[[], None]) -> None:
        assert delay_s == 1.0
        self.calls.append(call)

    def second_over(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "leveret.worker")
    return lambda: [record.getMessage() for record in caplog.records]


def test_each_of_a_few_has_a_line(lines: Callable[[], list[str]]) -> None:
    later = Later()
    report = Report(later)
    for _ in range(2):
        report.outcome(MESSAGE, Done(None, 0.25))
    later.second_over()
    assert lines() == 2 * ["done task=send id=7 queue=mail attempt=1 took_s=0.250"]


def test_of_very_many_some_have_a_line_and_the_others_are_counted_after_a_second(
    lines: Callable[[], list[str]],
) -> None:
    later = Later()
    report = Report(later)
    for _ in range(LINES_PER_S + 7):
        report.outcome(MESSAGE, Done(None, 0.0))
    assert len(lines()) == LINES_PER_S
    later.second_over()
    assert lines()[-1] == f"done tasks=7 more, beyond {LINES_PER_S} in a second"
    report.outcome(MESSAGE, Done(None, 0.0))
    assert lines()[-1].startswith("done task=send")
    assert len(later.calls) == 1


def test_what_fails_always_has_a_line(lines: Callable[[], list[str]]) -> None:
    report = Report(Later())
    for _ in range(LINES_PER_S + 7):
        report.outcome(MESSAGE, Failed(Failure("ValueError", "no\nnumber", ""), 0.5))
    assert len(lines()) == LINES_PER_S + 7
    assert lines()[-1] == "failed task=send id=7 queue=mail attempt=1 took_s=0.500 error=ValueError: no number"


def test_what_was_not_told_is_summed_up_at_the_end(lines: Callable[[], list[str]]) -> None:
    report = Report(Later())
    for _ in range(LINES_PER_S + 1):
        report.outcome(MESSAGE, Done(None, 0.0))
    report.sum_up()
    report.sum_up()
    assert [line for line in lines() if "more" in line] == [f"done tasks=1 more, beyond {LINES_PER_S} in a second"]
