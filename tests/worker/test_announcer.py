"""What workers say of their tasks is heard by whoever listens, on both brokers, and is not even made if nobody does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.tasks import Reject, Retries, WorkQueue, current_task
from leveret.tasks.events import (
    TRACEBACK_CHARACTERS_MAX,
    AnyEvent,
    Beat,
    Cancelled,
    Failed,
    Parked,
    Progressed,
    Retried,
    Started,
    Succeeded,
    TaskEvent,
)
from leveret.tasks.listener import BlockingListener
from leveret.worker.announcer import TRACED_CHARACTERS_MAX, Announcer
from leveret.worker.budget import Budget, Later
from leveret.worker.worker import Worker
from worker.support import WITHIN_S, until, working


@pytest.fixture
def work(broker: Broker, name: str) -> WorkQueue:
    return WorkQueue(broker.url, name=name, default_queue=f"events.{name}", retry=Retries(2, first_s=0))


class Ear:
    """What is said of one program's tasks, event by event."""

    def __init__(self, events: BlockingListener, program: str) -> None:
        self._events = iter(events)
        self._program = program
        self._workers: set[str] = set()

    def until(self, wanted: Callable[[AnyEvent], bool]) -> list[AnyEvent]:
        """All from here on up to the first that is wanted."""
        heard: list[AnyEvent] = []
        for event in self._events:
            if isinstance(event, Beat) and event.program == self._program:
                self._workers.add(event.worker)
            if event.worker in self._workers:
                heard.append(event)
                if wanted(event):
                    return heard
        raise AssertionError(f"not heard within {WITHIN_S:g} s; but {heard}")

    def tasks_until(self, kind: type[TaskEvent]) -> list[Any]:
        return [event for event in self.until(lambda event: isinstance(event, kind)) if isinstance(event, TaskEvent)]

    def beat(self, wanted: Callable[[Beat], bool] = lambda _: True) -> Beat:
        found = self.until(lambda event: isinstance(event, Beat) and wanted(event))[-1]
        assert isinstance(found, Beat)
        return found


@contextlib.contextmanager
def heard(work: WorkQueue, *kinds: Any, **options: Any) -> Iterator[Ear]:
    with work.events(*kinds, timeout_s=WITHIN_S, **options) as events:
        yield Ear(events, work.name)


def announcer_of(worker: Worker) -> Announcer:
    until(lambda: worker._runner is not None)
    assert worker._runner is not None
    return worker._runner._telling._announcer


@contextlib.contextmanager
def watched(work: WorkQueue, **options: Any) -> Iterator[tuple[Ear, Worker]]:
    """A worker that knows that somebody listens, and who listens."""
    with heard(work) as ear, working(work, **options) as worker:
        ear.beat()
        until(lambda: announcer_of(worker).watched)
        yield ear, worker


def later_of(worker: Worker) -> Later:
    return announcer_of(worker)._loop.call_later


def kinds(events: list[AnyEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_task_that_succeeds_is_heard_of_when_it_begins_and_when_it_ends(work: WorkQueue) -> None:
    task = work.task(name="one")(lambda: 1)
    with watched(work) as (ear, worker):
        sent = task.send()
        started, succeeded = ear.tasks_until(Succeeded)
    assert isinstance(started, Started)
    for event in (started, succeeded):
        assert (event.task, event.id, event.queue, event.attempt) == ("one", sent.id, work.default_queue, 1)
        assert event.worker == announcer_of(worker).worker
    assert started.sent is not None and started.sent <= started.time <= succeeded.time
    assert succeeded.took_s >= 0 and succeeded.result == "1"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_task_that_fails_is_heard_of_at_each_attempt_until_it_is_parked(work: WorkQueue, is_async: bool) -> None:
    def fail() -> None:
        raise ValueError("no good")

    async def fail_async() -> None:
        raise ValueError("no good")

    task = work.task(name="fail")(fail_async if is_async else fail)
    with watched(work) as (ear, _):
        task.send()
        events = sorted(ear.tasks_until(Parked), key=lambda event: (event.attempt, event.time))
    assert kinds(events) == ["Started", "Failed", "Retried", "Started", "Failed", "Parked"]
    assert [event.attempt for event in events] == [1, 1, 1, 2, 2, 2]
    _, failed, retried, _, _, parked = events
    assert (failed.exception, failed.error) == (parked.exception, parked.error) == ("ValueError", "no good")
    assert (retried.delay_s, retried.exception, parked.reason) == (0, "ValueError", "attempts")
    assert failed.traceback.startswith("Traceback (most recent call last)")
    assert failed.traceback.endswith("ValueError: no good\n")


def test_of_a_long_traceback_the_end_is_told_and_of_very_many_none(work: WorkQueue) -> None:
    fail = work.task(name="fail", retry=Retries(1))(_fail_at_length)
    many = TRACED_CHARACTERS_MAX // TRACEBACK_CHARACTERS_MAX + 1
    with watched(work, threads=1) as (ear, worker):
        announcer = announcer_of(worker)
        fail.send()
        (failed,) = (event for event in ear.tasks_until(Parked) if isinstance(event, Failed))
        assert len(failed.traceback) == TRACEBACK_CHARACTERS_MAX and failed.traceback.endswith("the end\n")
        told = [announcer._traceback(failed.traceback) for _ in range(many)]
    assert told[:-1] == [failed.traceback] * (many - 1) and told[-1] == ""


def _fail_at_length() -> None:
    raise ValueError("x" * (2 * TRACEBACK_CHARACTERS_MAX) + "the end")


def test_a_pause_before_the_next_attempt_is_told(work: WorkQueue) -> None:
    @work.task(retry=Retries(2, first_s=1000))
    def fail() -> None:
        raise OSError

    with watched(work) as (ear, _):
        fail.send()
        assert 500 <= ear.tasks_until(Retried)[-1].delay_s <= 1000


def test_what_is_parked_without_having_run_was_not_started_and_has_not_failed(work: WorkQueue) -> None:
    @work.task
    def reject() -> None:
        raise Reject("gone")

    other = WorkQueue(work.url, default_queue=work.default_queue)
    unknown = other.task(name="unknown")(lambda: None)
    with watched(work) as (ear, _):
        unknown.send()
        (parked,) = ear.tasks_until(Parked)
        assert (parked.task, parked.reason, parked.took_s) == ("unknown", "unknown-task", 0)
        reject.send()
        assert ear.tasks_until(Parked)[-1].reason == "rejected"
    other.close()


def test_a_task_that_is_cancelled_is_heard_of(work: WorkQueue) -> None:
    begun: SimpleQueue[str] = SimpleQueue()

    @work.task
    def wait() -> None:
        begun.put(current_task().id)
        while True:
            current_task().raise_if_cancelled()
            threading.Event().wait(0.01)

    with watched(work) as (ear, _):
        sent = wait.send()
        begun.get(timeout=WITHIN_S)
        sent.cancel()
        cancelled = ear.tasks_until(Cancelled)[-1]
    assert (cancelled.id, cancelled.task) == (sent.id, "wait")


def test_progress_is_heard_and_a_beat_tells_who_comes_late_of_it(work: WorkQueue) -> None:
    goes_on = threading.Event()

    @work.task
    def slow() -> None:
        current_task().progress(3, 10, "third")
        assert goes_on.wait(WITHIN_S)

    with watched(work, threads=2) as (ear, _):
        sent = slow.send()
        said = ear.tasks_until(Progressed)[-1]
        assert (said.id, said.done, said.total, said.text) == (sent.id, 3, 10, "third")
        with heard(work) as late:
            beat = late.beat(lambda beat: beat.busy > 0)
        goes_on.set()
    (running,) = beat.running
    assert (running.id, running.task, running.queue, running.attempt) == (sent.id, "slow", work.default_queue, 1)
    assert (running.done, running.total, running.text) == (3, 10, "third")
    assert beat.started <= running.since <= beat.time
    assert (beat.slots, beat.busy, beat.queues, beat.state) == (2, 1, [work.default_queue], "running")
    assert beat.memory_bytes > 1_000_000 and beat.pid > 0 and beat.version


def test_a_worker_that_stops_says_so_when_its_tasks_are_done(work: WorkQueue) -> None:
    begun: SimpleQueue[int] = SimpleQueue()
    goes_on = threading.Event()

    @work.task
    def slow() -> None:
        begun.put(1)
        assert goes_on.wait(WITHIN_S)

    with heard(work) as ear:
        with working(work, shutdown_timeout_s=25.0) as worker:
            ear.beat()
            until(lambda: announcer_of(worker).watched)
            slow.send()
            begun.get(timeout=WITHIN_S)
            announcer_of(worker)._loop.call_soon_threadsafe(worker.stop)
            assert ear.beat(lambda beat: beat.state == "stopping").busy == 1
            goes_on.set()
        heard_last = ear.until(lambda event: isinstance(event, Beat) and event.state == "stopped")
    assert "Succeeded" in kinds(heard_last)


@pytest.fixture
def deaf_broker(own_broker: Broker) -> Broker:
    """One that listens to nobody itself."""
    own_broker.stop()
    own_broker.history = False
    own_broker.start()
    return own_broker


def test_while_nobody_listens_no_event_is_made_and_who_joins_hears_from_the_next_beat_on(
    deaf_broker: Broker, name: str
) -> None:
    work = WorkQueue(deaf_broker.url, name=name, default_queue=name)
    done: SimpleQueue[int] = SimpleQueue()
    task = work.task(name="note")(done.put)
    with working(work) as worker:
        announcer = announcer_of(worker)
        until(lambda: announcer.beats >= 2 and not announcer.watched)  # at the first one a listener may just be leaving
        made = announcer.made
        task.send(1)
        assert done.get(timeout=WITHIN_S) == 1
        until(lambda: worker._runner.ran == 1)
        assert announcer.made == made
        with heard(work) as ear:
            ear.beat()
            until(lambda: announcer.watched)
            task.send(2)
            assert kinds(ear.tasks_until(Succeeded)) == ["Started", "Succeeded"]
        until(lambda: not announcer.watched)
        made = announcer.made
        task.send(3)
        until(lambda: worker._runner.ran == 3)
        assert announcer.made == made


def test_with_events_off_a_worker_says_nothing_at_all(broker: Broker, work: WorkQueue) -> None:
    name = f"{work.name} silent"
    silent = WorkQueue(broker.url, name=name, default_queue=f"{work.default_queue}.silent", events=False)
    done: SimpleQueue[int] = SimpleQueue()
    note = silent.task(name="note")(done.put)
    work.task(name="one")(lambda: 1)
    with work.events(timeout_s=WITHIN_S) as events, working(silent) as worker:
        note.send(1)
        assert done.get(timeout=WITHIN_S) == 1
        with working(work):
            heard: list[AnyEvent] = []
            for event in events:  # three beats of another: meanwhile there would have been one of the silent one, too
                heard.append(event)
                if len([one for one in heard if isinstance(one, Beat) and one.program == work.name]) == 3:
                    break
        assert announcer_of(worker).made == 0 and announcer_of(worker).beats == 0
    assert {one.program for one in heard if isinstance(one, Beat)} == {work.name}
    assert not [one for one in heard if isinstance(one, TaskEvent)]


def test_a_listener_hears_only_the_kinds_and_queues_that_it_asks_for(work: WorkQueue) -> None:
    task, other = (
        work.task(name="one")(lambda: 1),
        work.task(name="two", queue=f"{work.default_queue}.other")(lambda: 2),
    )
    with (
        work.events("succeeded", queues=[other.queue], timeout_s=WITHIN_S) as events,
        watched(work) as (ear, _),
    ):
        task.send()
        ear.tasks_until(Succeeded)
        other.send()
        only = next(iter(events))
    assert isinstance(only, Succeeded) and only.task == "two"


def test_both_ends_go_on_after_the_broker_was_restarted(own_broker: Broker, name: str) -> None:
    work = WorkQueue(own_broker.url, name=name, default_queue=name, send_timeout_s=60.0)
    task = work.task(name="one")(lambda: 1)
    with watched(work) as (ear, worker):
        task.send()
        assert kinds(ear.tasks_until(Succeeded)) == ["Started", "Succeeded"]
        own_broker.restart()
        restarted = time.time()
        ear.beat(lambda beat: beat.time > restarted)
        until(lambda: announcer_of(worker).watched)
        task.send()
        assert kinds(ear.tasks_until(Succeeded)) == ["Started", "Succeeded"]


def test_who_may_not_declare_the_exchange_works_all_the_same(
    own_broker: Broker, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An exchange of that name and another type is there: what is refused is no matter for a task."""
    with own_broker.connect() as connection:
        connection.channel().exchange_declare("leveret.events", "fanout", durable=True)
    work = WorkQueue(own_broker.url, name=name, default_queue=name)
    done: SimpleQueue[int] = SimpleQueue()
    task = work.task(name="note")(done.put)
    caplog.set_level("DEBUG", "leveret.worker")
    with working(work) as worker:
        until(lambda: "events are not published" in caplog.text)
        task.send(1)
        assert done.get(timeout=WITHIN_S) == 1
        assert not announcer_of(worker).watched


def test_what_others_put_into_the_exchange_is_no_end_of_listening(work: WorkQueue, channel: BlockingChannel) -> None:
    task = work.task(name="one")(lambda: 1)
    with watched(work) as (ear, _):
        for body in (b"", b"{", b'[{"event": "born"}]', b"[" * 100_000):
            channel.basic_publish("leveret.events", "started.x", body)
        task.send()
        assert kinds(ear.tasks_until(Succeeded)) == ["Started", "Succeeded"]


def test_a_listener_whose_queue_was_deleted_listens_again(work: WorkQueue) -> None:
    task = work.task(name="one")(lambda: 1)

    async def first() -> AnyEvent:
        async with work.events_async("succeeded", queues=[work.default_queue]) as events:
            queue = events.queue
            async with await events.connection.channel() as own:
                await own.queue_delete(queue)
            await asyncio.to_thread(until, lambda: events.queue != queue and events.connected)
            with working(work) as worker:
                await asyncio.to_thread(until, lambda: announcer_of(worker).watched)
                await task.send_async()
                return await anext(events)

    event = asyncio.run(first())
    assert isinstance(event, Succeeded) and event.task == "one"


def test_a_coroutine_listens_too(work: WorkQueue) -> None:
    task = work.task(name="one")(lambda: 1)

    async def first() -> AnyEvent:
        async with work.events_async("succeeded", queues=[work.default_queue]) as events:
            with working(work) as worker:
                await asyncio.to_thread(until, lambda: announcer_of(worker).watched)
                await task.send_async()
                return await anext(events)

    event = asyncio.run(first())
    assert isinstance(event, Succeeded) and event.task == "one"


def test_an_attempt_is_heard_of_in_its_order_however_much_is_gathered(work: WorkQueue) -> None:
    task = work.task(name="number")(lambda number: number)
    with watched(work) as (ear, worker):
        announcer_of(worker).budget = Budget(later_of(worker), told_per_s=10_000)
        ids = {sent.id for sent in work.send_many([task.call(number) for number in range(500)])}
        begun: set[str] = set()
        while ids:
            for event in ear.tasks_until(Succeeded):
                if isinstance(event, Started):
                    begun.add(event.id)
                elif isinstance(event, Succeeded):
                    assert event.id in begun
                    ids.discard(event.id)
        assert len(begun) == 500


def test_of_very_many_tasks_some_are_told_and_the_beats_sum_up_the_rest(work: WorkQueue) -> None:
    task = work.task(name="number")(lambda number: number)
    told, begun = 0, set()
    summed = [0, 0]
    with watched(work) as (ear, worker):
        announcer_of(worker).budget = Budget(later_of(worker), told_per_s=10)
        work.send_many([task.call(number) for number in range(500)])
        while told + summed[0] < 500 or summed[1] < 500:
            for event in ear.until(lambda event: isinstance(event, Beat)):
                if isinstance(event, Started):
                    begun.add(event.id)
                elif isinstance(event, Succeeded):
                    told += 1
                elif isinstance(event, Beat):
                    for one in event.ended:
                        assert (one.queue, one.task) == (work.default_queue, "number")
                        summed[0] += one.untold.succeeded
                        summed[1] += one.all.succeeded
    assert [told + summed[0], summed[1]] == [500, 500]
    assert 0 < told < 500 and begun


def test_what_fails_is_told_though_very_many_succeed(work: WorkQueue) -> None:
    @work.task(name="odd", retry=Retries(1))
    def odd(number: int) -> None:
        if number == 77:
            raise ValueError("no good")

    with watched(work) as (ear, worker):
        announcer_of(worker).budget = Budget(later_of(worker), told_per_s=0)
        work.send_many([odd.call(number) for number in range(100)])
        events = ear.tasks_until(Parked)
    assert kinds(events) == ["Failed", "Parked"] and events[0].error == "no good"


def test_a_task_that_begins_tells_how_its_arguments_begin(work: WorkQueue) -> None:
    task = work.task(name="one")(lambda text: None)
    with watched(work) as (ear, _):
        task.send("é" * 500)
        started, _ = ear.tasks_until(Succeeded)
    assert started.argument.startswith('{"args":["éé') and len(started.argument) < 200


def test_failures_of_another_try_are_told_apart_by_their_attempt(work: WorkQueue) -> None:
    @work.task
    def second_time() -> int:
        if current_task().attempt == 1:
            raise ValueError
        return 1

    with watched(work) as (ear, _):
        second_time.send()
        events = ear.tasks_until(Succeeded)
    assert [(type(event), event.attempt) for event in events if not isinstance(event, Started)] == [
        (Failed, 1),
        (Retried, 1),
        (Succeeded, 2),
    ]
