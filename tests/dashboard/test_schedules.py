"""Schedules in a browser: when in plain words, what was sent, run now, paused and resumed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dashboard.conftest import Sight
from dashboard.place import Place
from dashboard.test_queues import expect
from leveret.tasks import WorkQueue
from worker.support import WITHIN_S, working


class Program:
    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.work = WorkQueue(url, name=f"timed-{name}", default_queue=f"timed.{name}")
        self.ran = threading.Semaphore(0)
        nightly = self.work.task(name=f"nightly-{name}")(self._run)
        self.work.schedule("30 3 * * *", tz="Europe/Berlin")(nightly)

    def _run(self) -> None:
        self.ran.release()


@pytest.fixture
def program(place: Place, name: str) -> Iterator[Program]:
    program = Program(place.broker.url, name)
    with working(program.work, threads=1):
        yield program


def row(page: Any, program: Program) -> Any:
    return page.get_by_role("row").filter(has_text=f"nightly-{program.name}")


def test_it_is_told_in_plain_words_when_it_is_sent_and_when_next(look: Sight, program: Program) -> None:
    page = look("/#/schedules")
    expect(page.get_by_role("heading", name=f"timed-{program.name}")).to_be_visible()
    expect(row(page, program)).to_contain_text("At 03:30 every day (Europe/Berlin)")
    expect(row(page, program)).to_contain_text("not yet")
    row(page, program).locator("summary").first.click()
    expect(row(page, program).get_by_role("list", name="The next times").get_by_role("listitem")).to_have_count(5)


def test_it_is_run_now_and_the_run_is_remembered(look: Sight, program: Program) -> None:
    page = look("/#/schedules")
    row(page, program).get_by_role("button", name="Run").click()
    assert program.ran.acquire(timeout=2 * WITHIN_S)
    expect(row(page, program)).to_contain_text("by hand")
    row(page, program).locator(".last a").click()
    expect(page.locator(".head .ident")).to_be_visible()


def test_it_is_paused_and_goes_on(look: Sight, program: Program) -> None:
    page = look("/#/schedules")
    row(page, program).get_by_role("button", name="Pause").click()
    expect(row(page, program)).to_contain_text("not while it is paused")
    again = look("/#/schedules")
    expect(row(again, program)).to_contain_text("not while it is paused")
    row(again, program).get_by_role("button", name="Resume").click()
    expect(row(page, program)).not_to_contain_text("not while it is paused")
