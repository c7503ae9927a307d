"""Until when a task may be begun: what is said of it, and what becomes of a message that comes too late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leveret.client import BasicProperties
from leveret.errors import TaskError
from leveret.tasks import Cancelled, Failure, Message, Parked, WorkQueue
from leveret.tasks.expiry import expired, expires_ms, expires_of
from leveret.tasks.message import CRASHES, EXPIRES, REASON, properties_crashed, properties_failed, properties_parked

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)
FAILURE = Failure("ValueError", "no good", "")


def message(**headers: Any) -> Message:
    delivered = {EXPIRES: NOON_MS, **headers}
    attempt = headers.get("x-leveret-attempt", 0) + 1
    return Message("q", b"{}", BasicProperties(headers=delivered), attempt, False, crashes=headers.get(CRASHES, 0))


def test_it_counts_from_when_it_is_due_or_is_the_time_itself() -> None:
    assert expires_ms(expires_of(1.5), NOON) == NOON_MS + 1500
    assert expires_ms(expires_of(timedelta(minutes=1)), NOON) == NOON_MS + 60_000
    assert expires_ms(expires_of(NOON), NOON - timedelta(hours=1)) == NOON_MS
    assert expires_ms(expires_of(NOON - timedelta(hours=1)), NOON) == NOON_MS - 3_600_000
    assert expires_ms(expires_of(None), NOON) == 0


@pytest.mark.parametrize(
    ("expires", "complaint"),
    [
        (0, "leaves no time"),
        (-1, "leaves no time"),
        (timedelta(0), "leaves no time"),
        (1e300, "longer than any time"),
        (datetime(2026, 1, 1), "says no time zone"),
    ],
)
def test_what_makes_no_sense_is_refused_for_a_task_and_for_a_call(expires: Any, complaint: str) -> None:
    work = WorkQueue()
    with pytest.raises(TaskError, match=complaint):
        work.task(expires=expires)(print)
    with pytest.raises(TaskError, match=complaint):
        work.task(name="t")(lambda: None).options(expires=expires)


def test_a_span_that_ends_behind_all_times_is_refused_when_it_is_sent() -> None:
    with pytest.raises(TaskError, match="longer than any time"):
        expires_ms(expires_of(timedelta.max), NOON)


def test_what_a_call_says_goes_before_what_its_task_says() -> None:
    task = WorkQueue().task(name="t", expires=60)(lambda: None)
    assert task.call().expires == timedelta(seconds=60)
    assert task.options(expires=5).call().expires == timedelta(seconds=5)


def test_before_its_time_it_is_begun_and_at_its_time_no_more() -> None:
    assert expired(message(), NOON - timedelta(milliseconds=1)) is None
    assert expired(message(), NOON) == Cancelled(reason="expired")
    assert expired(Message("q", b"{}", BasicProperties(), 1, False), NOON) is None


def test_one_that_failed_or_may_have_killed_its_worker_is_parked_with_its_story() -> None:
    story = {"x-leveret-attempt": 1, "x-leveret-error": "no good", "x-leveret-traceback": "at"}
    for one, error in (
        (message(**story), "no good"),
        (message(**{CRASHES: 1}), "it expired before attempt 1 could begin"),
    ):
        outcome = expired(one, NOON)
        assert isinstance(outcome, Parked) and outcome.reason == "expired"
        headers = properties_parked(one, outcome.failure, outcome.reason, NOON).headers or {}
        assert (headers[REASON], headers["x-leveret-error"]) == ("expired", error)


def test_its_time_goes_along_with_retries_and_redeliveries() -> None:
    for properties in (properties_failed(message(), FAILURE, NOON), properties_crashed(message())):
        assert (properties.headers or {})[EXPIRES] == NOON_MS


def test_parked_and_sent_back_it_does_not_expire_nor_does_its_next_attempt() -> None:
    one = message(**{REASON: "expired"})
    assert expired(one, NOON) is None
    assert EXPIRES not in (properties_failed(one, FAILURE, NOON).headers or {})


def test_a_schedule_counts_from_its_due_time() -> None:
    work = WorkQueue()
    task = work.task(name="tidy", expires=60)(lambda: None)
    work.schedule(every=5)(task)
    parcel = work.scheduled(work.schedules["tidy"], NOON)
    assert (parcel.properties.headers or {})[EXPIRES] == NOON_MS + 60_000
