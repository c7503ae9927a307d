"""The harness on the embedded broker: tasks run, time passes, workers die, and all of it in a moment of real time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leveret.client.blocking import connect_blocking
from leveret.errors import TaskCancelled, TaskError, TaskFailed, TimeLimitExceeded, WaitTimeout
from leveret.tasks import (
    Cancelled,
    Chain,
    Done,
    Failed,
    Message,
    Middleware,
    Outcome,
    Parked,
    Reject,
    Retries,
    Retry,
    WorkQueue,
    chain,
    current_message,
    current_task,
    group,
    inject,
)
from leveret.tasks.schedules import CatchUp
from leveret.testing.harness import Harness, harness

DAY = timedelta(days=1)


@pytest.fixture
def work(leveret_app: WorkQueue, work_queue: Harness) -> WorkQueue:
    return leveret_app


@dataclass
class Photo:
    path: Path
    taken: datetime


# ---- running


def test_drain_runs_what_was_sent_in_its_order(work: WorkQueue, work_queue: Harness) -> None:
    done: list[int] = []

    @work.task
    def note(number: int) -> int:
        done.append(number)
        return number * 2

    for number in range(20):
        note.send(number)
    runs = work_queue.drain()
    assert done == list(range(20))
    assert [run.outcome.value for run in runs if isinstance(run.outcome, Done)] == [2 * one for one in done]
    assert work_queue.enqueued() == [] and work_queue.drain() == []


def test_what_a_task_sends_runs_too(work: WorkQueue, work_queue: Harness) -> None:
    done: list[int] = []

    @work.task
    def count_down(number: int) -> None:
        done.append(number)
        if number:
            count_down.send(number - 1)

    count_down.send(5)
    work_queue.drain()
    assert done == [5, 4, 3, 2, 1, 0]


def test_async_tasks_and_consumer_functions_run(work: WorkQueue, work_queue: Harness) -> None:
    done: list[object] = []

    @work.task(queue="other")
    async def note(text: str) -> None:
        await asyncio.sleep(0)
        done.append(text)

    @work.consumer("plain")
    def take(body: bytes, message: Message) -> None:
        done.append(body)

    note.send("async")
    with connect_blocking(work.broker_url()) as connection, connection.channel() as channel:
        channel.queue_declare("plain", durable=True)
        channel.publish(b"from elsewhere", routing_key="plain")
    assert [one.task for one in work_queue.enqueued()] == ["note", "consumer of plain"]
    work_queue.drain()
    assert sorted(map(str, done)) == ["async", "b'from elsewhere'"]


def test_several_threads_run_tasks_that_wait_for_each_other(work: WorkQueue, work_queue: Harness) -> None:
    barrier = threading.Barrier(3, timeout=10)

    @work.task
    def meet() -> None:
        barrier.wait()

    for _ in range(3):
        meet.send()
    assert len(work_queue.drain(threads=3)) == 3


def test_the_first_failure_is_raised_and_nothing_runs_after_it(work: WorkQueue, work_queue: Harness) -> None:
    done: list[int] = []

    @work.task
    def divide(number: int) -> None:
        done.append(1 // number)

    for number in (1, 0, 1):
        divide.send(number)
    with pytest.raises(ZeroDivisionError) as caught:
        work_queue.drain()
    assert "task 'divide' (attempt 1" in caught.value.__notes__[0]
    assert [frame.name for frame in caught.traceback][-1] == "divide"
    assert done == [1]
    assert [(one.args, one.attempt, bool(one.due)) for one in work_queue.enqueued()] == [
        ((1,), 1, False),
        ((0,), 2, True),
    ]


def test_a_failure_before_the_function_is_raised_too(work: WorkQueue, work_queue: Harness) -> None:
    @work.task
    def note(number: int) -> None: ...

    with connect_blocking(work.broker_url()) as connection, connection.channel(confirms=True) as channel:
        note.send(1)
        work_queue.drain()
        channel.publish(b"no message of ours", routing_key="default")
    with pytest.raises(TaskError, match="unknown-task"):
        work_queue.drain()


def test_a_task_that_ends_the_program_does_not_end_the_test(work: WorkQueue, work_queue: Harness) -> None:
    @work.task
    def leave() -> None:
        raise SystemExit(3)

    leave.send()
    with pytest.raises(TaskError, match="SystemExit") as caught:
        work_queue.drain()
    assert isinstance(caught.value.__cause__, SystemExit)


def test_a_task_that_does_not_end_is_named_after_the_timeout(work: WorkQueue, work_queue: Harness) -> None:
    gate = threading.Event()

    @work.task
    def hang() -> None:
        gate.wait(20)

    @work.task
    def note() -> None: ...

    hang.send()
    with pytest.raises(WaitTimeout, match="still running are hang"):
        work_queue.drain(timeout_s=0.3)
    gate.set()
    note.send()
    assert {run.task for run in work_queue.drain()} == {"hang", "note"}


def test_tasks_called_as_functions_are_what_they_are(work: WorkQueue, work_queue: Harness) -> None:
    @work.task
    def double(number: int) -> int:
        return 2 * number

    @work.task
    async def triple(number: int) -> int:
        return 3 * number

    work_queue.drain()
    assert (double(2), asyncio.run(triple(2))) == (4, 6)


# ---- time


def test_three_days_pass_in_a_moment(work: WorkQueue, work_queue: Harness) -> None:
    done: list[tuple[str, timedelta]] = []
    begun, begun_s = work_queue.now, time.monotonic()

    @work.task
    def remind(what: str) -> None:
        done.append((what, work_queue.now - begun))

    remind.options(delay=3 * DAY).send("in three days")
    remind.options(eta=datetime.now(UTC) + timedelta(hours=1)).send("in an hour")
    remind.send("now")
    work_queue.drain()
    assert [what for what, _ in done] == ["now"]
    work_queue.drain(until=3 * DAY)
    assert [what for what, _ in done] == ["now", "in an hour", "in three days"]
    assert abs(done[1][1] - timedelta(hours=1)) < timedelta(seconds=2)
    assert done[2][1] == 3 * DAY
    assert work_queue.now == begun + 3 * DAY
    assert time.monotonic() - begun_s < 10


@pytest.mark.parametrize("delay", [timedelta(seconds=0.1), timedelta(hours=7, seconds=1.3), 100 * DAY])
def test_not_a_moment_too_early(work: WorkQueue, work_queue: Harness, delay: timedelta) -> None:
    @work.task
    def remind() -> None: ...

    remind.options(delay=delay).send()
    work_queue.drain(until=delay - timedelta(milliseconds=1))
    assert len(work_queue.enqueued()) == 1
    assert len(work_queue.drain(until=0.001)) == 1


def test_travelling_runs_nothing(work: WorkQueue, work_queue: Harness) -> None:
    @work.task
    def remind() -> None: ...

    remind.options(delay=DAY).send()
    work_queue.travel(DAY)
    assert [one.due for one in work_queue.enqueued()] == [timedelta()]
    assert len(work_queue.drain()) == 1


def test_what_fails_takes_its_course(work: WorkQueue, work_queue: Harness) -> None:
    @work.task(retry=Retries(4, first_s=60))
    def fail() -> None:
        raise ValueError

    fail.send()
    runs = work_queue.drain(until=timedelta(hours=1), raises=False)
    assert [(run.attempt, type(run.outcome)) for run in runs] == [(1, Failed), (2, Failed), (3, Failed), (4, Parked)]
    assert work_queue.enqueued() == []


def test_asking_for_another_try_is_no_failure_but_a_refusal_is(work: WorkQueue, work_queue: Harness) -> None:
    @work.task
    def fetch(url: str) -> None:
        message = current_message()
        assert message is not None
        if message.attempt < 3:
            raise Retry(after=timedelta(hours=2))
        if url == "gone":
            raise Reject("the page is gone")

    fetch.send("here")
    work_queue.drain()
    assert work_queue.assert_enqueued(fetch).due == timedelta(hours=2)
    assert len(work_queue.drain(until=timedelta(hours=4))) == 2
    fetch.send("gone")
    with pytest.raises(Reject):
        work_queue.drain(until=timedelta(hours=4))


def test_more_messages_than_go_in_one_turn_of_the_broker_all_come(work: WorkQueue, work_queue: Harness) -> None:
    @work.task
    def note(number: int) -> None: ...

    later = note.options(delay=timedelta(hours=1))
    work.send_many([later.call(number) for number in range(1_500)])
    work_queue.travel(timedelta(hours=1))
    assert [one.due for one in work_queue.enqueued()] == [timedelta()] * 1_500
    assert len(work_queue.drain()) == 1_500


# ---- looking


def test_what_is_enqueued_is_found_however_it_was_called(work: WorkQueue, work_queue: Harness) -> None:
    @work.task
    def resize(photo: Photo, width: int = 100, *more: int, name: str = "x") -> None: ...

    photo = Photo(Path("hare.png"), datetime(2026, 11, 24, tzinfo=UTC))
    sent = resize.send(photo, width=100)
    resize.options(delay=DAY).send(photo, 200, 1, name="y")
    assert work_queue.assert_enqueued(resize, photo).id == sent.id
    assert work_queue.assert_enqueued(resize, photo=photo, name="x").id == sent.id
    assert work_queue.assert_enqueued(resize, photo, 200, 1, name="y").due == DAY
    assert work_queue.assert_enqueued("resize").args == (photo, 100)
    assert len(work_queue.drain(until=DAY)) == 2


def test_looking_changes_nothing(work: WorkQueue, work_queue: Harness) -> None:
    seen: list[bool] = []

    @work.task
    def note() -> None:
        message = current_message()
        assert message is not None
        seen.append(message.redelivered)

    note.send()
    for _ in range(3):
        work_queue.assert_enqueued(note)
    work_queue.drain()
    assert seen == [False]


def test_what_is_not_enqueued_is_told_with_what_is(work: WorkQueue, work_queue: Harness) -> None:
    @work.task
    def add(a: int, b: int) -> None: ...

    with pytest.raises(AssertionError, match=r"no message calls add\(1, 2\)\. Nothing is enqueued\."):
        work_queue.assert_enqueued(add, 1, 2)
    add.send(3, 4)
    add.options(delay=3 * DAY).send(5, 6)
    with pytest.raises(AssertionError) as caught:
        work_queue.assert_enqueued(add, 1, b=2)
    assert str(caught.value) == (
        "no message calls add(1, b=2). There are:\n"
        "  add(3, 4) (queue 'default')\n"
        "  add(5, 6) in 3 days, 0:00:00 (queue 'default')"
    )
    with pytest.raises(TaskError, match="no task 'sub'"):
        work_queue.assert_enqueued("sub")


def test_only_the_messages_of_a_task_are_asked_for(work: WorkQueue, work_queue: Harness) -> None:
    first = work.task(name="first")(lambda: None)
    second = work.task(name="second")(lambda: None)
    first.send()
    second.send()
    assert [one.task for one in work_queue.enqueued(second)] == ["second"]
    assert len(work_queue.enqueued()) == 2


# ---- deaths


def test_a_task_whose_worker_dies_runs_again(work: WorkQueue, work_queue: Harness) -> None:
    seen: list[tuple[str, bool]] = []

    @work.task
    def charge(who: str) -> None:
        message = current_message()
        assert message is not None
        seen.append((who, message.redelivered))

    charge.send("ann")
    charge.send("bob")
    work_queue.kill_during(charge)
    runs = work_queue.drain()
    assert sorted(seen) == [("ann", False), ("ann", True), ("bob", False)]
    assert [run.outcome is None for run in runs] == [True, False, False]


def test_an_async_tasks_worker_can_die_too(work: WorkQueue, work_queue: Harness) -> None:
    seen: list[str] = []

    @work.task
    async def charge(who: str) -> None:
        seen.append(who)

    charge.send("ann")
    work_queue.kill_during("charge")
    work_queue.drain()
    assert seen == ["ann", "ann"]


def test_a_worker_can_die_in_the_middle(work: WorkQueue, work_queue: Harness) -> None:
    steps: list[str] = []

    @work.task
    def order() -> None:
        steps.append("reserve")
        if steps.count("reserve") == 1:
            work_queue.die()
        steps.append("charge")

    order.send()
    work_queue.drain()
    assert steps == ["reserve", "reserve", "charge"]
    with pytest.raises(TaskError, match="no worker to kill"):
        work_queue.die()


def test_a_task_that_kills_every_worker_is_parked(work: WorkQueue, work_queue: Harness) -> None:
    starts: list[int] = []

    @work.task
    def poison() -> None:
        starts.append(1)
        work_queue.die()

    poison.send()
    runs = work_queue.drain(raises=False)
    assert len(starts) == 6
    assert isinstance(runs[-1].outcome, Parked) and runs[-1].outcome.reason == "crashes"


def test_a_death_that_never_came_fails_the_test() -> None:
    work = WorkQueue()
    work.task(name="note")(lambda: None)
    with pytest.raises(AssertionError, match="kill_during"), harness(work) as work_queue:
        work_queue.kill_during("note")


# ---- results, cancelling, limits

RESULT_S = 60.0


def test_a_task_that_was_drained_has_its_result(work: WorkQueue, work_queue: Harness) -> None:
    @work.task(result=True)
    def measure(photo: Photo) -> Photo:
        current_task().progress(1, 2)
        return photo

    @work.task(result=True, retry=Retries(1))
    def fail() -> None:
        raise ValueError("no good")

    photo = Photo(Path("hare.png"), datetime(2026, 11, 24, tzinfo=UTC))
    sent, later = measure.send(photo), measure.options(delay=100 * DAY).send(photo)
    assert not sent.done
    work_queue.drain()
    assert sent.result(RESULT_S) == photo
    assert not later.done
    work_queue.drain(until=100 * DAY)
    assert later.result(RESULT_S) == photo
    failed = fail.send()
    work_queue.drain(raises=False)
    with pytest.raises(TaskFailed, match="no good"):
        failed.result(RESULT_S)


def test_the_result_of_a_task_whose_worker_died_is_that_of_the_next(work: WorkQueue, work_queue: Harness) -> None:
    @work.task(result=True)
    def charge() -> bool:
        message = current_message()
        assert message is not None
        return message.redelivered

    sent = charge.send()
    work_queue.kill_during(charge)
    work_queue.drain()
    assert sent.result(RESULT_S) is True


def test_what_is_cancelled_does_not_run_and_is_no_failure(work: WorkQueue, work_queue: Harness) -> None:
    done: list[int] = []

    @work.task(result=True)
    def note(number: int) -> None:
        done.append(number)

    delayed = note.options(delay=DAY).send(1)
    waiting = note.options(cancellable=True).send(2)
    note.send(3)
    delayed.cancel()
    waiting.cancel()
    runs = work_queue.drain(until=DAY)
    assert done == [3]
    assert sorted(type(run.outcome).__name__ for run in runs) == ["Cancelled", "Cancelled", "Done"]
    for sent in (delayed, waiting):
        with pytest.raises(TaskCancelled):
            sent.result(RESULT_S)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_task_that_runs_is_cancelled(work: WorkQueue, work_queue: Harness, is_async: bool) -> None:
    def plain() -> None:
        work.cancel(current_task().id)
        heard = threading.Event()
        while not heard.wait(0.01):
            current_task().raise_if_cancelled()

    async def on_a_loop() -> None:
        await work.cancel_async(current_task().id)
        await asyncio.Event().wait()

    task = work.task(name="endless")(on_a_loop if is_async else plain)
    task.send()
    (run,) = work_queue.drain()
    assert isinstance(run.outcome, Cancelled)


def test_a_task_beyond_its_time_limit_fails(work: WorkQueue, work_queue: Harness) -> None:
    @work.task(time_limit=0.05)
    async def hang() -> None:
        await asyncio.Event().wait()

    hang.send()
    with pytest.raises(TimeLimitExceeded):
        work_queue.drain()


def test_a_task_beyond_its_hard_limit_leaves_its_thread_and_others_run(work: WorkQueue, work_queue: Harness) -> None:
    gate = threading.Event()

    @work.task(hard_time_limit=0.05, retry=Retries(1))
    def hang() -> None:
        while not gate.is_set():
            with suppress(TimeLimitExceeded):
                gate.wait(20)

    @work.task
    def note() -> None: ...

    hang.send()
    note.send()
    runs = work_queue.drain(raises=False)
    gate.set()
    assert [(run.task, type(run.outcome)) for run in runs] == [("hang", Parked), ("note", Done)]


def test_what_goes_first_by_its_priority_runs_first(work: WorkQueue, work_queue: Harness) -> None:
    done: list[int] = []
    work.queue("urgent", priorities=5)

    @work.task(queue="urgent", priority=1)
    def note(number: int) -> None:
        done.append(number)

    note.send(1)
    note.options(priority=5).send(2)
    work_queue.drain()
    assert done == [2, 1]


# ---- schedules


def test_a_schedule_runs_at_each_due_time_once_in_its_time_zone(work: WorkQueue, work_queue: Harness) -> None:
    ran: list[datetime] = []

    @work.schedule("30 2 * * *", tz="Europe/Berlin", catch_up="none")
    @work.task
    def tidy() -> None:
        ran.append(work_queue.now)

    schedule = work.schedules["tidy"]
    clocks_change = datetime(work_queue.now.year + 1, 3, 31, tzinfo=UTC) - timedelta(days=7)
    work_queue.travel(clocks_change - work_queue.now)
    due = schedule.upcoming(work_queue.now, 10)
    work_queue.drain(until=9 * DAY)
    assert len(ran) == 9 and len({time.hour for time in due}) == 2
    work_queue.drain()
    assert len(ran) == 9
    work_queue.drain(until=DAY)
    assert all(abs(one - other) < timedelta(seconds=1) for one, other in zip(ran, due, strict=True))


def test_schedules_delays_and_retries_run_in_the_order_of_their_times(work: WorkQueue, work_queue: Harness) -> None:
    ran: list[tuple[str, float]] = []
    begin = work_queue.now

    def note(text: str) -> None:
        ran.append((text, (work_queue.now - begin).total_seconds() / 60))

    work.schedule(every=timedelta(minutes=20), args=("often",))(work.task(note))
    first = (work.schedules["note"].next(begin) - begin).total_seconds() / 60
    work.tasks["note"].options(delay=60 * (first + 5)).send("later")
    work_queue.drain(until=60 * (first + 30))
    assert [text for text, _ in ran] == ["often", "later", "often"]
    assert [time for _, time in ran] == pytest.approx([first, first + 5, first + 20], abs=0.1)


@pytest.mark.parametrize(("catch_up", "count"), [("last", 1), ("all", 24), ("none", 0)])
def test_what_passed_without_a_worker_is_made_up_for_as_the_schedule_says(
    work: WorkQueue, work_queue: Harness, catch_up: CatchUp, count: int
) -> None:
    work.schedule("30 * * * *", catch_up=catch_up)(work.task(name="tidy")(lambda: None))
    to_the_hour = timedelta(hours=1) - (work_queue.now - work_queue.now.replace(minute=0, second=0, microsecond=0))
    work_queue.travel(to_the_hour)
    work_queue.drain()
    work_queue.travel(DAY)
    assert work_queue.enqueued() == []
    assert len(work_queue.drain()) == count
    assert len(work_queue.drain(until=DAY)) == 24


def test_a_scheduled_task_whose_worker_dies_runs_again_and_its_next_time_comes(
    work: WorkQueue, work_queue: Harness
) -> None:
    work.schedule(every=60, jitter=10)(work.task(name="tidy")(lambda: None))
    work_queue.kill_during("tidy")
    first = work.schedules["tidy"].next(work_queue.now) - work_queue.now
    runs = work_queue.drain(until=first + timedelta(seconds=120 + 15))
    assert len({run.id for run in runs}) == 3 and len(runs) == 4
    assert runs[0].id == runs[1].id and runs[0].outcome is None


def test_one_that_fails_ends_the_drain_and_is_not_sent_again(work: WorkQueue, work_queue: Harness) -> None:
    @work.schedule(every=60)
    @work.task(retry=Retries(1))
    def fail() -> None:
        raise ValueError("no good")

    for _ in range(2):
        with pytest.raises(ValueError, match="no good"):
            work_queue.drain(until=60)
        assert work_queue.drain() == []


def test_schedules_are_left_out_if_they_are_not_wanted(work: WorkQueue, work_queue: Harness) -> None:
    work.schedule(every=0.1)(work.task(name="tidy")(lambda: None))
    assert work_queue.drain(until=DAY, schedules=False) == []


# ---- inline


def test_inline_results_are_there_at_once(work: WorkQueue, work_queue: Harness) -> None:
    @work.task(result=True)
    def add(a: int, b: int) -> int:
        current_task().progress(1, 2)
        return a + b

    @work.task(result=True)
    async def add_async(a: int, b: int) -> int:
        return a + b

    async def both() -> list[int]:
        sent = [await add_async.send_async(5, 6), await add.send_async(7, 8)]
        return [await one.result_async(RESULT_S) for one in sent]

    with work_queue.inline():
        sent = add.send(1, 2)
        assert sent.done and sent.result(0) == 3
        assert sent.progress is not None and sent.progress.total == 2
        assert add_async.send(3, 4).result(0) == 7
        assert asyncio.run(both()) == [11, 15]
        assert [one.result(0) for one in work.send_many([add.call(1, 1), add.call(2, 2)])] == [2, 4]


def test_an_inline_task_that_cancels_itself_ends(work: WorkQueue, work_queue: Harness) -> None:
    @work.task(result=True)
    def stop() -> None:
        work.cancel(current_task().id)
        current_task().raise_if_cancelled()

    @work.task(result=True)
    async def stop_async() -> None:
        await work.cancel_async(current_task().id)
        await asyncio.Event().wait()

    async def send() -> None:
        with pytest.raises(TaskCancelled):
            await (await stop_async.send_async()).result_async(RESULT_S)

    with work_queue.inline():
        for task in (stop, stop_async):
            with pytest.raises(TaskCancelled):
                task.send().result(0)  # type: ignore[attr-defined]
        asyncio.run(send())


def test_inline_runs_where_it_is_sent_with_arguments_that_went_through_json(
    work: WorkQueue, work_queue: Harness
) -> None:
    seen: list[object] = []

    @work.task
    def keep(photo: Photo, sizes: tuple[int, ...]) -> None:
        seen.append((photo, sizes, threading.current_thread()))

    @work.task
    async def keep_async(photo: Photo) -> None:
        seen.append(photo)

    photo = Photo(Path("hare.png"), datetime(2026, 11, 24, tzinfo=UTC))

    async def send() -> None:
        await keep_async.send_async(photo)
        keep_async.send(photo)

    with work_queue.inline():
        keep.options(delay=DAY).send(photo, (1, 2))
        keep_async.send(photo)
        asyncio.run(send())
        work.send_many([keep_async.call(photo)] * 2)
    assert seen == [(photo, (1, 2), threading.current_thread()), *[photo] * 5]
    assert seen[1] is not photo
    keep.send(photo, ())
    assert len(work_queue.enqueued()) == 1


def test_inline_raises_what_the_task_raises(work: WorkQueue, work_queue: Harness) -> None:
    @work.task
    def fail() -> None:
        raise ValueError("no good")

    @work.task
    def again() -> None:
        raise Retry("later")

    with work_queue.inline():
        with pytest.raises(ValueError, match="no good"):
            fail.send()
        with pytest.raises(TaskError, match="later"):
            again.send()


# ---- around it


def test_the_programs_middleware_is_called(work: WorkQueue, work_queue: Harness) -> None:
    heard: list[str] = []

    class Ear(Middleware):
        def after(self, message: Message, outcome: Outcome) -> None:
            heard.append(f"{message.task} {type(outcome).__name__}")

    work.middleware = (Ear(),)
    note = work.task(name="note")(lambda: None)
    note.send()
    work_queue.drain()
    with work_queue.inline():
        note.send()
    assert heard == ["note Done"] * 2


def test_everything_is_as_before_afterwards_and_the_next_begins_anew() -> None:
    work = WorkQueue("amqp://nobody@nowhere.invalid")

    @work.task
    def note() -> None: ...

    function = note.function
    for _ in range(2):
        with harness(work) as work_queue:
            assert work_queue.enqueued() == []
            note.send()
            work_queue.drain()
            note.send()
            assert work.url is not None and work.url.startswith("amqp+unix:")
    assert (work.url, note.function) == ("amqp://nobody@nowhere.invalid", function)


def test_no_threads_are_left(work: WorkQueue, work_queue: Harness) -> None:
    note = work.task(name="note")(lambda: None)
    note.send()
    work_queue.drain()
    before = threading.active_count()
    for _ in range(5):
        note.send()
        work_queue.drain()
    assert threading.active_count() == before


# ---- workflows


def test_drain_runs_workflows_to_their_end_and_over_deaths(work: WorkQueue, work_queue: Harness) -> None:
    seen: list[list[int]] = []

    @work.task
    def add(a: int, b: int) -> int:
        return a + b

    @work.task
    def collect(numbers: list[int]) -> int:
        seen.append(numbers)
        return sum(numbers)

    sent = chain(
        add.call(1, 2),
        group([add.partial(number) for number in range(4)]),
        collect.partial(),
        add.options(delay=DAY).partial(100),
    ).send()
    work_queue.kill_during(add)
    work_queue.drain()
    assert seen == [[3, 4, 5, 6]] and not sent.done
    work_queue.assert_enqueued(add, 18, 100)
    work_queue.drain(until=DAY)
    assert sent.result() == 118


def test_drain_raises_what_a_workflow_cannot_go_on_with(work: WorkQueue, work_queue: Harness) -> None:
    @work.task
    def lock() -> object:
        return threading.Lock()

    @work.task
    def note(value: object) -> None: ...

    chain(lock.call(), note.partial()).send()
    with pytest.raises(TaskError, match="cannot be written as JSON"):
        work_queue.drain()


def test_inline_runs_workflows_in_the_process(work: WorkQueue, work_queue: Harness) -> None:
    @work.task
    def add(a: int, b: int) -> int:
        return a + b

    @work.task
    async def total(numbers: list[int]) -> int:
        return sum(numbers)

    flow = chain(
        add.call(1, 2),
        group([chain(add.partial(1), add.partial(1)), group([]), group([add.partial(2)]).then(total.partial())]),
    )
    with work_queue.inline():
        assert flow.send().result(0) == [5, [], 5]
        assert group([add.call(1, 2), add.call(3, 4)]).then(total.partial()).send().result(0) == 10
        assert asyncio.run(sent_async(flow)) == [5, [], 5]


async def sent_async(flow: Chain[list[object]]) -> list[object]:
    return await (await flow.send_async()).result_async(0)


def test_inline_raises_what_a_task_of_a_workflow_raises(work: WorkQueue, work_queue: Harness) -> None:
    @work.task
    def fail(number: int) -> None:
        raise ValueError(f"{number} is no good")

    @work.task
    def one() -> int:
        return 1

    with work_queue.inline(), pytest.raises(ValueError, match="1 is no good"):
        chain(one.call(), fail.partial()).send()


# ---- what is injected


def test_a_provider_is_replaced_in_a_worker_and_inline_too(work: WorkQueue, work_queue: Harness) -> None:
    said: list[str] = []

    def open_session() -> Iterator[str]:
        yield "the real one"

    def fake() -> Iterator[str]:
        yield "fake"
        said.append("closed")

    @work.task
    def charge(order: int, db: str = inject(open_session)) -> None:
        said.append(db)

    @work.task
    async def refund(order: int, db: str = inject(open_session, scope="process")) -> None:
        said.append(db)

    with work.override(open_session, fake):
        charge.send(7)
        refund.send(7)
        work_queue.drain()
        with work_queue.inline():
            charge.send(7)
    assert said.count("fake") == said.count("closed") == 3
    charge.send(7)
    work_queue.drain()
    assert said[-1] == "the real one"


def test_a_failing_provider_ends_the_drain(work: WorkQueue, work_queue: Harness) -> None:
    def away() -> str:
        raise OSError("the database is away")

    @work.task
    def charge(order: int, db: str = inject(away)) -> None: ...

    charge.send(7)
    with pytest.raises(TaskError, match="the database is away"):
        work_queue.drain()
    work_queue.assert_enqueued(charge, 7)


# ---- what expires


def test_what_expires_does_so_by_the_time_of_the_test(work: WorkQueue, work_queue: Harness) -> None:
    ran: list[int] = []

    @work.task(expires=timedelta(minutes=5))
    def ask(number: int) -> None:
        ran.append(number)

    ask.send(1)
    ask.options(delay=DAY).send(2)
    work_queue.travel(timedelta(minutes=6))
    ask.send(3)
    runs = work_queue.drain(until=2 * DAY)
    assert ran == [3, 2]
    assert runs[0].outcome == Cancelled(reason="expired")


# ---- results that are kept


def test_a_result_is_kept_inline_and_by_the_worker_of_a_test(tmp_path: Path) -> None:
    work = WorkQueue("amqp://nobody@nowhere.invalid", results_store=tmp_path / "results.sqlite")
    total = work.task(name="total", keep_result=DAY)(sum)
    with harness(work) as work_queue:
        sent = total.send([1, 2, 3])
        work_queue.drain()
        with work_queue.inline():
            again = total.send([4])
    assert (sent.result(0), work.sent(again.id, total).result(0)) == (6, 4)
    work.close()
