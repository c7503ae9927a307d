"""Which times a schedule is due, asked with the time as an argument: time zones, clocks that are set, what passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from leveret.errors import TaskError
from leveret.tasks import WorkQueue
from leveret.tasks.schedules import CAUGHT_UP_MAX, Schedule

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)


def schedule(cron: str = "", **options: Any) -> Schedule:
    work = WorkQueue()
    task = work.task(name="tidy")(lambda: None)
    work.schedule(cron, **options)(task)
    return work.schedules["tidy"]


def times(one: Schedule, after: datetime, count: int) -> list[str]:
    return [due.strftime("%m-%d %H:%M") for due in islice(one.after(after), count)]


def test_three_in_the_morning_is_so_in_the_zone_that_was_named() -> None:
    one = schedule("0 3 * * *", tz="America/New_York")
    assert times(one, datetime(2026, 1, 1, tzinfo=UTC), 2) == ["01-01 08:00", "01-02 08:00"]
    assert times(one, datetime(2026, 7, 1, tzinfo=UTC), 1) == ["07-01 07:00"]


def test_an_hour_that_a_clock_leaves_out_is_made_up_for_and_one_that_comes_twice_counts_once() -> None:
    one = schedule("30 2 * * *", tz="Europe/Berlin")
    assert times(one, NOON, 2) == ["03-29 01:00", "03-30 00:30"]  # 03:00 and 02:30 in Berlin
    assert times(one, datetime(2026, 10, 24, 12, tzinfo=UTC), 2) == ["10-25 00:30", "10-26 01:30"]


def test_intervals_are_counted_from_a_fixed_time_whenever_somebody_asks() -> None:
    one = schedule(every=timedelta(minutes=20))
    assert times(one, NOON, 2) == times(one, NOON + timedelta(minutes=7), 2) == ["03-28 12:20", "03-28 12:40"]
    assert one.next(NOON) == NOON + timedelta(minutes=20)


@pytest.mark.parametrize(("catch_up", "count"), [("last", 1), ("all", 24), ("none", 0)])
def test_of_a_day_without_workers_so_much_is_made_up_for(catch_up: str, count: int) -> None:
    one = schedule("0 * * * *", catch_up=catch_up)
    now = NOON + timedelta(days=1, minutes=30)
    due = one.due(NOON + timedelta(minutes=30), now)
    assert len(due) == count
    assert due == [] or due[-1] == now.replace(minute=0)


@pytest.mark.parametrize("catch_up", ["last", "all", "none"])
def test_what_has_just_become_due_is_sent_whatever_is_made_up_for(catch_up: str) -> None:
    one = schedule("0 * * * *", catch_up=catch_up)
    assert one.due(NOON - timedelta(seconds=5), NOON + timedelta(seconds=5)) == [NOON]
    assert one.due(NOON, NOON + timedelta(seconds=5)) == []


def test_catching_up_is_bounded() -> None:
    one = schedule(every=1, catch_up="all")
    due = one.due(NOON, NOON + timedelta(days=1))
    assert len(due) == CAUGHT_UP_MAX and due[-1] == NOON + timedelta(days=1)


def test_a_due_time_has_one_id_whoever_sends_it_and_no_other_time_has_it() -> None:
    ids = {schedule("0 3 * * *").id(NOON), schedule("0 3 * * *").id(NOON)}
    assert len(ids) == 1
    assert schedule("0 3 * * *").id(NOON + timedelta(days=1)) not in ids


def test_jitter_is_drawn_from_its_span() -> None:
    one = schedule(every=60, jitter=10)
    assert one.late(lambda: 0.5) == timedelta(seconds=5)
    assert all(timedelta() <= one.late() <= timedelta(seconds=10) for _ in range(100))


def test_it_is_described_in_plain_words() -> None:
    assert schedule("0 3 * * *", tz="Europe/Berlin").describe() == "At 03:00 every day (Europe/Berlin)"
    assert schedule(every=90).describe() == "every 0:01:30"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "either a cron expression or every="),
        ({"cron": "0 3 * * *", "every": 5}, "either a cron expression or every="),
        ({"cron": "61 3 * * *"}, "is no cron expression"),
        ({"cron": "0 3 31 2 *"}, "is no cron expression"),
        ({"cron": "0 3 * * *", "tz": "Europe/Haretown"}, "is no time zone"),
        ({"every": 0.01}, "less than a tenth"),
        ({"every": 5, "catch_up": "some"}, "expected 'last', 'all' or 'none'"),
        ({"every": 5, "args": (1,)}, "is not called so"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(options: dict[str, Any], text: str) -> None:
    with pytest.raises(TaskError, match=text):
        schedule(**options)


def test_a_schedule_stands_above_a_task_and_has_a_name_of_its_own() -> None:
    work = WorkQueue()
    with pytest.raises(TaskError, match=r"stands above @work.task"):
        work.schedule(every=5)(print)

    @work.schedule(every=5)
    @work.schedule(every=7, name="also", args=(1,))
    @work.task
    def tidy(number: int = 0) -> None: ...

    assert sorted(work.schedules) == ["also", "tidy"]
    with pytest.raises(TaskError, match="two schedules 'tidy'"):
        work.schedule(every=9)(tidy)
