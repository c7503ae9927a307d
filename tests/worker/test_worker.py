"""A worker and a broker: tasks done, tried again, parked, given back; on Leveret and on RabbitMQ."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from alarming import ALARMING, AlarmingBroker, management
from brokers import Broker
from leveret.errors import ConnectionError, TaskError
from leveret.tasks import Message, Middleware, Outcome, Reject, Retries, Retry, WorkQueue, current_message
from leveret.worker.options import Options
from leveret.worker.worker import Worker
from worker.support import WITHIN_S, declare_filled, until, working

Said = SimpleQueue[Any]

AT_ONCE = Retries(3, first_s=0)


@dataclass
class Photo:
    path: Path
    taken: datetime


class Outcomes(Middleware):
    """Tells how each attempt ended; what is parked is settled after that."""

    def __init__(self, said: Said) -> None:
        self.said = said

    def after(self, message: Message, outcome: Outcome) -> None:
        self.said.put((message.attempt, type(outcome).__name__))


@pytest.fixture
def said() -> Said:
    return SimpleQueue()


@pytest.fixture
def queue(name: str) -> str:
    return f"worker.{name}"


@pytest.fixture
def work(broker: Broker, queue: str, said: Said) -> WorkQueue:
    return WorkQueue(broker.url, default_queue=queue, middleware=[Outcomes(said)], retry=AT_ONCE)


def next_parked(channel: BlockingChannel, queue: str) -> tuple[Any, Any, bytes]:
    """The next message of the dead-letter queue, waited for."""
    declare_filled(channel, f"{queue}.dead")
    for method, properties, body in channel.consume(f"{queue}.dead", inactivity_timeout=WITHIN_S):
        assert properties is not None, "nothing was parked"
        channel.basic_ack(method.delivery_tag)
        channel.cancel()  # others that were delivered go back
        return method, properties, body
    raise AssertionError


def ready(channel: BlockingChannel, queue: str) -> int:
    count: int = channel.queue_declare(queue, passive=True).method.message_count
    return count


def test_arguments_arrive_in_their_types(work: WorkQueue, said: Said) -> None:
    @work.task
    def keep(photo: Photo, *sizes: int, name: str = "") -> None:
        said.put((photo, sizes, name))

    photo = Photo(Path("hare.png"), datetime(2026, 11, 24, tzinfo=UTC))
    with working(work):
        keep.send(photo, 1, 2, name="x")
        assert said.get(timeout=WITHIN_S) == (photo, (1, 2), "x")


def test_async_tasks_run_at_once_on_one_loop_of_their_own(work: WorkQueue, said: Said) -> None:
    met: list[asyncio.Event] = []

    @work.task
    async def meet(first: bool) -> None:
        if first:
            met.append(asyncio.Event())
            other.send(False)
            await met[0].wait()
        else:
            met[0].set()
        said.put(threading.current_thread().name)

    other = meet
    with working(work):
        meet.send(True)
        names = [item for item in (said.get(timeout=WITHIN_S) for _ in range(4)) if isinstance(item, str)]
    assert names == ["leveret-tasks", "leveret-tasks"]


def test_a_task_that_fails_is_tried_three_times_then_parked_with_its_traceback(
    work: WorkQueue, said: Said, channel: BlockingChannel, queue: str
) -> None:
    @work.task
    def fail(number: int) -> None:
        raise ValueError(f"no good: {number}")

    with working(work):
        sent = fail.send(7)
        _, properties, body = next_parked(channel, queue)
    attempts = [said.get(timeout=WITHIN_S) for _ in range(3)]
    assert attempts == [(1, "Failed"), (2, "Failed"), (3, "Parked")]
    assert (body, properties.message_id, properties.type) == (b'{"args":[7],"kwargs":{}}', sent.id, "fail")
    headers = properties.headers
    assert (headers["x-leveret-reason"], headers["x-leveret-attempt"]) == ("attempts", 3)
    assert (headers["x-leveret-exception"], headers["x-leveret-error"]) == ("ValueError", "no good: 7")
    assert "in fail" in headers["x-leveret-traceback"]
    assert headers["x-leveret-queue"] == queue
    assert headers["x-leveret-first-failure"] <= headers["x-leveret-last-failure"]
    assert ready(channel, queue) == 0


def test_a_task_that_fails_once_is_done_at_the_second_attempt(work: WorkQueue, said: Said) -> None:
    @work.task
    def fail_once() -> None:
        message = current_message()
        assert message is not None
        if message.attempt == 1:
            raise ValueError

    with working(work):
        fail_once.send()
        assert [said.get(timeout=WITHIN_S) for _ in range(2)] == [(1, "Failed"), (2, "Done")]


def test_an_unknown_task_is_parked_at_once(
    work: WorkQueue, broker: Broker, channel: BlockingChannel, queue: str
) -> None:
    work.task(name="known")(print)
    newer = WorkQueue(broker.url, default_queue=queue, retry=AT_ONCE)
    with working(work):
        newer.task(name="unheard-of")(print).send("x")
        _, properties, body = next_parked(channel, queue)
    newer.close()
    assert (properties.headers["x-leveret-reason"], body) == ("unknown-task", b'{"args":["x"],"kwargs":{}}')
    assert "unheard-of" in properties.headers["x-leveret-error"]


@pytest.mark.parametrize("body", [b'{"args": ["x"]}', b"no json", b""])
def test_arguments_that_do_not_fit_are_parked_at_once_as_they_came(
    work: WorkQueue, channel: BlockingChannel, queue: str, body: bytes
) -> None:
    @work.task
    def double(number: int) -> int:
        return 2 * number

    with working(work):
        channel.queue_declare(queue, durable=True)
        mine = pika.BasicProperties(type="double", headers={"mine": "yes"}, priority=2, correlation_id="c")
        channel.basic_publish("", queue, body, mine)
        _, properties, parked = next_parked(channel, queue)
    assert parked == body
    assert (properties.headers["x-leveret-reason"], properties.headers["mine"]) == ("arguments", "yes")
    assert (properties.priority, properties.correlation_id, properties.delivery_mode) == (2, "c", 2)


def test_a_consumer_function_takes_what_any_publisher_sends(
    work: WorkQueue, said: Said, channel: BlockingChannel, queue: str
) -> None:
    @work.consumer(f"{queue}.plain")
    def take(body: bytes, message: Message) -> None:
        said.put((body, message.headers.get("mine"), message.redelivered))

    channel.queue_declare(f"{queue}.plain", durable=True)
    channel.basic_publish("", f"{queue}.plain", b"A task...", pika.BasicProperties(headers={"mine": 1}))
    with working(work):
        assert said.get(timeout=WITHIN_S) == (b"A task...", 1, False)


def test_a_failed_task_runs_again_after_its_pause(work: WorkQueue, said: Said) -> None:
    ran: list[float] = []

    @work.task(retry=Retries(3, first_s=0.4))
    def fail_twice() -> None:
        ran.append(time.monotonic())
        if len(ran) == 2:
            raise Retry(after=0.1)
        if len(ran) < 3:
            raise ValueError("not yet")

    with working(work):
        fail_twice.send()
        assert [said.get(timeout=WITHIN_S) for _ in range(3)] == [(1, "Failed"), (2, "Failed"), (3, "Done")]
    first, second, third = ran
    assert second - first >= 0.2 and third - second >= 0.1


def test_a_rejected_task_is_parked_at_once(work: WorkQueue, channel: BlockingChannel, queue: str) -> None:
    @work.task
    def reject() -> None:
        raise Reject("nobody wants it")

    reject.send()
    with working(work):
        _, properties, _ = next_parked(channel, queue)
    headers = properties.headers
    assert (headers["x-leveret-reason"], headers["x-leveret-error"]) == ("rejected", "nobody wants it")
    assert headers["x-leveret-attempt"] == 1


def test_what_has_to_wait_longer_than_the_ladder_goes_round_again(
    work: WorkQueue, said: Said, channel: BlockingChannel, queue: str
) -> None:
    @work.task
    def later() -> None: ...

    channel.queue_declare(queue, durable=True)
    headers = {"x-leveret-wait": 700, "mine": 1}
    began = time.monotonic()
    with working(work):
        channel.basic_publish("", queue, b"{}", pika.BasicProperties(type="later", headers=headers))
        assert said.get(timeout=WITHIN_S) == (1, "Done")
    assert time.monotonic() - began >= 0.7


def test_a_plain_message_that_fails_is_parked_with_its_body_as_it_came(
    work: WorkQueue, channel: BlockingChannel, queue: str
) -> None:
    @work.consumer(queue, retry=Retries(2, first_s=0))
    def take(body: bytes) -> None:
        raise RuntimeError("no")

    with working(work):
        channel.queue_declare(queue, durable=True)
        channel.basic_publish("", queue, b"\x00\xff", pika.BasicProperties(expiration="600000"))
        _, properties, body = next_parked(channel, queue)
    assert (body, properties.headers["x-leveret-attempt"], properties.expiration) == (b"\x00\xff", 2, None)


def test_a_reader_of_a_dead_letter_queue_tries_anew_and_parks_elsewhere(
    work: WorkQueue, said: Said, channel: BlockingChannel, queue: str
) -> None:
    """It has its attempts again, whatever was counted before; then the message leaves the queue that it reads."""

    @work.consumer(f"{queue}.dead", retry=Retries(2, first_s=0))
    def take(body: bytes) -> None:
        raise RuntimeError("still no good")

    channel.queue_declare(f"{queue}.dead", durable=True)
    headers = {"x-leveret-attempt": 3, "x-leveret-reason": "attempts", "x-leveret-traceback": "the first"}
    channel.basic_publish("", f"{queue}.dead", b"x", pika.BasicProperties(headers=headers))
    with working(work):
        _, properties, body = next_parked(channel, f"{queue}.dead")
    assert [said.get(timeout=WITHIN_S) for _ in range(2)] == [(1, "Failed"), (2, "Parked")]
    assert (body, properties.headers["x-leveret-attempt"]) == (b"x", 2)
    assert "still no good" in properties.headers["x-leveret-traceback"]
    assert ready(channel, f"{queue}.dead") == 0


def test_a_message_that_cannot_be_parked_is_held_and_its_task_not_run_again(
    work: WorkQueue, said: Said, channel: BlockingChannel, queue: str
) -> None:
    """Its dead-letter queue is somebody's with other arguments; once that is gone, it is parked."""
    channel.queue_declare(f"{queue}.dead", durable=False)

    @work.task
    def fail() -> None:
        raise ValueError("no good")

    @work.task
    def succeed() -> None: ...

    with working(work):
        fail.send()
        assert [said.get(timeout=WITHIN_S) for _ in range(3)] == [(1, "Failed"), (2, "Failed"), (3, "Parked")]
        succeed.send()
        assert said.get(timeout=WITHIN_S) == (1, "Done")
        channel.queue_delete(f"{queue}.dead")
        _, properties, _ = next_parked(channel, queue)
    assert properties.headers["x-leveret-attempt"] == 3
    assert said.empty()


def test_headers_too_large_for_a_frame_lose_the_traceback_only(
    work: WorkQueue, channel: BlockingChannel, queue: str
) -> None:
    @work.task(retry=Retries(1))
    def fail() -> None:
        raise ValueError("no good" + "\n" * 9000)

    channel.queue_declare(queue, durable=True)
    headers = {"mine": "x" * 127_000}
    with working(work):
        channel.basic_publish("", queue, b"{}", pika.BasicProperties(type="fail", headers=headers))
        _, properties, _ = next_parked(channel, queue)
    assert (properties.headers["x-leveret-reason"], properties.headers["x-leveret-exception"]) == (
        "attempts",
        "ValueError",
    )
    assert len(properties.headers["mine"]) == 127_000
    assert "x-leveret-traceback" not in properties.headers


def test_a_worker_takes_no_more_than_it_has_slots_for(
    work: WorkQueue, said: Said, channel: BlockingChannel, queue: str
) -> None:
    gate = threading.Semaphore(0)

    @work.task
    def wait() -> None:
        said.put("started")
        gate.acquire()

    with working(work, threads=2):
        for _ in range(5):
            wait.send()
        assert [said.get(timeout=WITHIN_S) for _ in range(2)] == ["started", "started"]
        assert ready(channel, queue) == 3
        gate.release(5)
        rest = [said.get(timeout=WITHIN_S) for _ in range(8)]
    assert rest.count("started") == 3


def test_a_long_task_keeps_no_message_of_another_queue_from_other_workers(
    work: WorkQueue, said: Said, channel: BlockingChannel, queue: str
) -> None:
    gate = threading.Event()

    @work.task
    def long() -> None:
        said.put("started")
        gate.wait()

    work.task(name="short", queue=f"{queue}.other")(print)
    with working(work, threads=1):
        long.send()
        assert said.get(timeout=WITHIN_S) == "started"
        sent = work.tasks["short"].send("x")
        arrived = next(channel.consume(f"{queue}.other", auto_ack=True, inactivity_timeout=WITHIN_S))
        assert arrived[1] is not None, "the message is kept by a worker that has no slot for it"
        assert arrived[1].message_id == sent.id
        channel.cancel()
        gate.set()
        assert said.get(timeout=WITHIN_S) == (1, "Done")
        work.tasks["short"].send("y")  # and it reads that queue again
        assert said.get(timeout=WITHIN_S) == (1, "Done")


def test_a_queue_deleted_under_the_worker_is_declared_and_read_again(
    work: WorkQueue, said: Said, connection: BlockingConnection, queue: str
) -> None:
    work.task(name="print")(print)
    with working(work):
        work.tasks["print"].send("a")
        assert said.get(timeout=WITHIN_S) == (1, "Done")
        connection.channel().queue_delete(queue)
        until(lambda: is_there(connection, queue))
        work.tasks["print"].send("b")
        assert said.get(timeout=WITHIN_S) == (1, "Done")


def is_there(connection: BlockingConnection, queue: str) -> bool:
    try:
        connection.channel().queue_declare(queue, passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    return True


def test_a_consumer_that_gets_nothing_of_a_queue_that_is_not_empty_is_started_anew(
    work: WorkQueue,
    channel: BlockingChannel,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Here because another one is the queue's single active consumer; a broker that forgot of it looks no different."""
    monkeypatch.setattr("leveret.worker.source.WATCH_S", 0.05)
    channel.queue_declare(queue, durable=True, arguments={"x-single-active-consumer": True})
    channel.basic_qos(prefetch_count=1)
    other = channel.basic_consume(queue, lambda *_: None)
    done: SimpleQueue[int] = SimpleQueue()
    task = work.task(name="note")(done.put)
    with working(work):
        task.send(1)
        task.send(2)
        until(lambda: "is read anew" in caplog.text)
        channel.basic_cancel(other)
        channel.close()
        assert sorted(done.get(timeout=WITHIN_S) for _ in range(2)) == [1, 2]


def test_a_worker_survives_a_restart_of_its_broker(own_broker: Broker, queue: str, said: Said) -> None:
    work = WorkQueue(
        own_broker.url, default_queue=queue, middleware=[Outcomes(said)], send_timeout_s=60.0, retry=AT_ONCE
    )
    work.task(name="print")(print)
    with working(work):
        work.tasks["print"].send("before")
        assert said.get(timeout=WITHIN_S) == (1, "Done")
        own_broker.restart()
        work.tasks["print"].send("after")
        assert said.get(timeout=WITHIN_S) == (1, "Done")


def test_a_task_that_outlives_its_connection_is_delivered_again(own_broker: Broker, queue: str, said: Said) -> None:
    work = WorkQueue(own_broker.url, default_queue=queue)
    gate = threading.Semaphore(0)

    @work.task
    def wait() -> None:
        message = current_message()
        assert message is not None
        said.put(message.redelivered)
        gate.acquire()

    with working(work, threads=2):
        wait.send()
        assert said.get(timeout=WITHIN_S) is False
        own_broker.restart()
        assert said.get(timeout=WITHIN_S) is True
        gate.release(2)


def test_a_worker_that_stops_before_its_broker_was_ever_there_just_stops() -> None:
    work = WorkQueue("amqp://127.0.0.1:1/")
    work.task(print)
    with working(work):
        pass


def test_a_broker_that_refuses_ends_the_worker_with_the_reason(broker: Broker) -> None:
    work = WorkQueue()
    work.task(print)
    worker = Worker(work, broker.url.replace("guest:guest", "guest:wrong"), Options())
    with pytest.raises(ConnectionError, match="403"):
        asyncio.run(worker.run())


def test_a_worker_without_work_or_with_unknown_queues_is_refused() -> None:
    work = WorkQueue()
    with pytest.raises(TaskError, match="no tasks"):
        Worker(work, "amqp://x/", Options())
    work.task(queue="mail")(print)
    with pytest.raises(TaskError, match="no queue 'male'; it reads mail"):
        Worker(work, "amqp://x/", Options(queues=("male",)))


def test_heartbeats_go_on_while_a_task_runs(broker: Broker, queue: str, said: Said) -> None:
    """Three times as long as the broker waits for a sign of life, which a minute's heartbeat makes of an hour."""
    work = WorkQueue(f"{broker.url}?heartbeat=2", default_queue=queue, middleware=[Outcomes(said)])
    redelivered: list[bool] = []

    @work.task
    def lengthy() -> None:
        message = current_message()
        redelivered.append(message is not None and message.redelivered)
        threading.Event().wait(7)

    with working(work, threads=1):
        lengthy.send()
        assert said.get(timeout=WITHIN_S) == (1, "Done")
    with broker.connect() as connection:
        assert connection.channel().queue_declare(queue, passive=True).method.message_count == 0
    assert redelivered == [False]


def test_an_async_task_that_cancels_itself_has_failed_and_keeps_no_slot(
    work: WorkQueue, queue: str, channel: BlockingChannel
) -> None:
    @work.task(retry=Retries(1))
    async def gives_up() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    for _ in range(3):
        gives_up.send()
    with working(work, threads=1):
        for _ in range(3):
            next_parked(channel, queue)


def test_a_url_that_is_none_is_wrong_use(work: WorkQueue) -> None:
    work.task(lambda: None, name="t")
    with pytest.raises(TaskError):
        Worker(work, "nonsense", Options())


def test_an_alarm_on_publishers_keeps_no_task_from_being_acknowledged(broker_kind: type[Broker], queue: str) -> None:
    """What failed waits until the alarm is over; what is done meanwhile is gone at once."""
    alarming = ALARMING[broker_kind.kind](management=True)
    said: Said = SimpleQueue()
    try:
        alarming.start()
        work = WorkQueue(alarming.url, default_queue=queue, middleware=[Outcomes(said)], retry=AT_ONCE)
        may_fail, may_succeed = threading.Event(), threading.Event()

        @work.task
        def fail_once() -> None:
            if current_message().attempt == 1:  # type: ignore[union-attr]
                may_fail.wait(WITHIN_S)
                raise ValueError("no good")

        @work.task
        def succeed() -> None:
            may_succeed.wait(WITHIN_S)

        with working(work, threads=2):
            work.send_many([fail_once.call(), succeed.call()])
            until(lambda: unacked_in(alarming, queue) == 2)
            alarming.alarm(disk=True)
            until(lambda: alarming.alarms()[1])
            may_fail.set()
            assert said.get(timeout=WITHIN_S) == (1, "Failed")
            until(lambda: any(row.get("state") == "blocked" for row in listed(alarming, "connections")))
            may_succeed.set()
            # The first message that a blocked connection publishes may still get through.
            until(lambda: unacked_in(alarming, queue) <= 1)
            alarming.alarm()
            assert sorted(said.get(timeout=WITHIN_S) for _ in range(2)) == [(1, "Done"), (2, "Done")]
    finally:
        alarming.remove()


def listed(broker: AlarmingBroker, what: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(management(broker, what), timeout=10) as answer:
        rows: list[dict[str, Any]] = json.load(answer)
        return rows


def unacked_in(broker: AlarmingBroker, queue: str) -> int:
    return sum(row.get("messages_unacknowledged", 0) for row in listed(broker, "queues") if row["name"] == queue)
