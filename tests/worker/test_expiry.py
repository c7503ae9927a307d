"""Tasks that come too late are not begun, on both brokers: whoever waits is told, and what had failed is parked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import Any

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.errors import TaskExpired
from leveret.tasks import Retries, TaskFailed, WorkQueue
from worker.support import WITHIN_S, until_ready, working


@pytest.fixture
def work(broker: Broker, name: str) -> WorkQueue:
    return WorkQueue(broker.url, default_queue=f"expiry.{name}", retry=Retries(3, first_s=0), results=True)


def late(work: WorkQueue) -> None:
    """By the worker's clock an hour passes."""
    work.now = lambda: datetime.now(UTC) + timedelta(hours=1)


def test_what_comes_too_late_is_not_begun_and_whoever_waits_is_told(
    work: WorkQueue, channel: BlockingChannel, caplog: pytest.LogCaptureFixture
) -> None:
    ran: SimpleQueue[str] = SimpleQueue()

    @work.task(expires=timedelta(minutes=5))
    def ask(what: str) -> None:
        ran.put(what)

    too_late = ask.send("too late")
    in_time = ask.options(expires=timedelta(hours=2)).send("in time")
    late(work)
    with working(work), caplog.at_level("INFO", "leveret.worker"):
        in_time.result(WITHIN_S)
        with pytest.raises(TaskExpired, match="the task expired before it was begun"):
            too_late.result(WITHIN_S)
    assert ran.get() == "in time" and ran.empty()
    assert f"expired task=ask id={too_late.id}" in caplog.text
    until_ready(channel, work.default_queue, 0)


def test_a_delay_does_not_count_and_keeps_the_time(work: WorkQueue) -> None:
    ran: SimpleQueue[Any] = SimpleQueue()

    @work.task
    def ask() -> None:
        ran.put(True)

    with working(work):
        ask.options(delay=0.3, expires=3600).send().result(WITHIN_S)
        assert ran.get_nowait()
        sent = ask.options(delay=0.3, expires=datetime.now(UTC)).send()
        with pytest.raises(TaskExpired):
            sent.result(WITHIN_S)
    assert ran.empty()


def test_one_that_failed_in_time_is_parked_if_its_next_attempt_comes_too_late(
    work: WorkQueue, channel: BlockingChannel
) -> None:
    @work.task(expires=600)
    def fail() -> None:
        late(work)
        raise ValueError("no good")

    with working(work), pytest.raises(TaskFailed, match=r"\(expired\)"):
        fail.send().result(WITHIN_S)
    until_ready(channel, f"{work.default_queue}.dead", 1)
    _, properties, _ = channel.basic_get(f"{work.default_queue}.dead", auto_ack=True)
    assert properties is not None and properties.headers is not None
    assert (properties.headers["x-leveret-reason"], properties.headers["x-leveret-attempt"]) == ("expired", 1)
    assert (
        properties.headers["x-leveret-error"] == "no good"
        and "raise ValueError" in properties.headers["x-leveret-traceback"]
    )
