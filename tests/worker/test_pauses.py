"""A paused queue gives nothing to any worker: those at work, those that start, reconnect, or missed the order. On both brokers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import UnroutableError

from brokers import Broker
from leveret.client import Connection, connect
from leveret.errors import ConnectionLost, LeveretError
from leveret.tasks import WorkQueue, current_task
from leveret.tasks.marks import put
from leveret.tasks.orders import CONTROL
from leveret.tasks.pausing import is_paused, mark_of, pause, resume
from leveret.worker import control, pauses
from leveret.worker.control import Control
from leveret.worker.worker import Worker
from worker.support import WITHIN_S, until_ready, working


class Tasks:
    """A program whose task `hold` waits until the test lets it go on, and whose `note` only says that it ran."""

    def __init__(self, url: str, queue: str) -> None:
        self.work = WorkQueue(url, name=queue, default_queue=queue)
        self.queue = queue
        self.began: SimpleQueue[str] = SimpleQueue()
        self.gate = threading.Semaphore(0)
        self.ran: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self.hold = self.work.task(name="hold")(self._hold)
        self.note = self.work.task(name="note")(self._note)

    def _hold(self, name: str) -> None:
        self.began.put(name)
        assert self.gate.acquire(timeout=WITHIN_S)
        self._note(name)

    def _note(self, name: str) -> None:
        self.ran.put((name, current_task().message.crashes))

    def next(self) -> str:
        return self.ran.get(timeout=WITHIN_S)[0]


@pytest.fixture
def tasks(broker: Broker, name: str) -> Iterator[Tasks]:
    made = Tasks(broker.url, f"paused.{name}")
    yield made
    made.gate.release(100)
    made.work.resume(made.queue)
    made.work.close()


def until_paused(worker: Worker) -> None:
    """Wait until the worker has acted on it."""
    deadline_s = time.monotonic() + WITHIN_S
    while not acted(worker):
        assert time.monotonic() < deadline_s, "the worker never looked"
        threading.Event().wait(0.01)


def acted(worker: Worker) -> bool:
    held = worker._pauses
    return held is not None and not held._unsure and bool(held.paused) and not worker._slots._waiting


def test_what_runs_ends_and_what_was_fetched_goes_back_until_the_queue_is_resumed(
    tasks: Tasks, channel: BlockingChannel
) -> None:
    with working(tasks.work, threads=1) as worker:
        tasks.hold.send("runs")
        assert tasks.began.get(timeout=WITHIN_S) == "runs"
        tasks.work.pause(tasks.queue, by="a test")
        for number in range(5):
            tasks.note.send(str(number))
        until_paused(worker)
        tasks.gate.release()
        assert tasks.next() == "runs"
        until_ready(channel, tasks.queue, 5)
        assert tasks.ran.empty()
        tasks.work.resume(tasks.queue)
        assert [tasks.next() for _ in range(5)] == [str(number) for number in range(5)]


def test_what_waited_for_a_slot_is_not_charged_with_an_attempt(tasks: Tasks, channel: BlockingChannel) -> None:
    with working(tasks.work, threads=1) as worker:
        tasks.hold.send("runs")
        tasks.note.send("waits")
        assert tasks.began.get(timeout=WITHIN_S) == "runs"
        tasks.work.pause(tasks.queue)
        until_paused(worker)
        until_ready(channel, tasks.queue, 1)
        properties = channel.basic_get(tasks.queue, auto_ack=False)[1]
        assert properties is not None
        assert not {"x-leveret-attempt", "x-leveret-crashes"} & (properties.headers or {}).keys()
        channel.basic_recover(requeue=True)
        tasks.gate.release()
        assert tasks.next() == "runs"


def test_a_worker_that_starts_later_knows_it_and_hears_when_it_is_over(tasks: Tasks, channel: BlockingChannel) -> None:
    tasks.note.send("first")
    tasks.work.pause(tasks.queue)
    with working(tasks.work) as worker:
        until_paused(worker)
        assert channel.queue_declare(tasks.queue, passive=True).method.message_count == 1
        tasks.work.resume(tasks.queue)
        assert tasks.next() == "first"


def test_another_queue_of_the_same_worker_goes_on(tasks: Tasks) -> None:
    other = tasks.work.task(name="other", queue=f"{tasks.queue}.other")(lambda: tasks.ran.put(("other", 0)))
    with working(tasks.work, threads=1) as worker:
        tasks.work.pause(tasks.queue)
        until_paused(worker)
        tasks.note.send("paused")
        for _ in range(3):
            other.send()
            assert tasks.next() == "other"
        assert worker._pauses is not None and worker._pauses.paused == {tasks.queue}


def test_a_worker_that_missed_the_order_finds_out_by_itself(
    tasks: Tasks, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the message had been lost: only the mark is made."""
    monkeypatch.setattr(pauses, "HEARD_S", 0.05)
    with working(tasks.work) as worker:
        over(broker, lambda connection: put(connection, mark_of(tasks.queue), {}))
        until_paused(worker)


def test_who_deletes_the_mark_by_hand_resumes_the_queue(
    tasks: Tasks, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "HEARD_S", 0.05)
    tasks.work.pause(tasks.queue)
    with working(tasks.work) as worker:
        until_paused(worker)
        tasks.note.send("first")
        channel.queue_delete(mark_of(tasks.queue))
        assert tasks.next() == "first"
    assert not tasks.work.paused(tasks.queue)


def test_a_queue_that_is_deleted_and_declared_again_is_paused_still(tasks: Tasks, channel: BlockingChannel) -> None:
    with working(tasks.work) as worker:
        tasks.work.pause(tasks.queue)
        until_paused(worker)
        channel.queue_delete(tasks.queue)
        tasks.work._sender.close()  # who declares it anew
        tasks.note.send("first")
        until_ready(channel, tasks.queue, 1)
        tasks.work.resume(tasks.queue)
        assert tasks.next() == "first"


def test_orders_are_heard_again_after_their_exchange_was_deleted(
    own_broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "BIND_S", 0.05)
    tasks = Tasks(own_broker.url, f"paused.{name}")
    with working(tasks.work) as worker:
        tasks.note.send("before")
        assert tasks.next() == "before"
        with own_broker.connect() as connection:
            channel = connection.channel()
            channel.exchange_delete(CONTROL)
            bound(channel)
        tasks.work.pause(tasks.queue)
        until_paused(worker)


def bound(channel: BlockingChannel) -> None:
    """Wait until a queue is bound to the exchange of orders, so that a mandatory message does not come back."""
    channel.exchange_declare(CONTROL, "fanout", durable=True)
    channel.confirm_delivery()
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        with contextlib.suppress(UnroutableError):
            channel.basic_publish(CONTROL, "", b"{}", mandatory=True)
            return
        assert time.monotonic() < deadline_s, "nobody listens again"


def test_a_worker_whose_channel_for_orders_was_closed_listens_again_and_looks(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Control] = []
    listen = Control.listen
    monkeypatch.setattr(Control, "listen", lambda self, obey: made.append(self) or listen(self, obey))
    with working(tasks.work) as worker:
        tasks.note.send("before")
        assert tasks.next() == "before"
        asyncio.run_coroutine_threadsafe(closed(made[0]), worker._loop).result(WITHIN_S)
        tasks.work.pause(tasks.queue)
        until_paused(worker)


async def closed(control: Control) -> None:
    """By the broker, for an error."""
    before = control._listening
    with contextlib.suppress(LeveretError):
        await before.queue_declare("there is none", passive=True)
    while control._listening is before or control._deaf.is_set():
        await asyncio.sleep(0.01)


def test_a_pause_while_the_connection_was_lost_holds_what_is_delivered_first(tasks: Tasks) -> None:
    sender = WorkQueue(tasks.work.url, default_queue=tasks.queue)
    note = sender.task(name="note")(lambda name: None)
    with working(tasks.work) as worker:
        note.send("before")
        assert tasks.next() == "before"
        may_connect = asyncio.run_coroutine_threadsafe(cut(worker), worker._loop).result(WITHIN_S)
        sender.pause(tasks.queue)
        note.send("after")
        worker._loop.call_soon_threadsafe(may_connect.set)
        until_paused(worker)
        assert tasks.ran.empty()
        sender.resume(tasks.queue)
        assert tasks.next() == "after"
    sender.close()


async def cut(worker: Worker) -> asyncio.Event:
    """Its connections are lost, and there are no others until the event is set."""
    may_connect = asyncio.Event()
    for connection in worker._connections:
        connection._new_link = after(may_connect, connection._new_link)  # type: ignore[method-assign]
        assert connection._link is not None
        connection._link.end(ConnectionLost("the test cuts it"))
    return may_connect


def after(event: asyncio.Event, act: Callable[[], Awaitable[Any]]) -> Callable[[], Any]:
    async def wait() -> Any:
        await event.wait()
        return await act()

    return wait


def test_a_broker_that_restarts_keeps_it_in_mind(own_broker: Broker, name: str) -> None:
    tasks = Tasks(own_broker.url, f"paused.{name}")
    tasks.work.pause(tasks.queue)
    tasks.note.send("first")
    tasks.work.close()
    own_broker.restart()
    with working(tasks.work) as worker:
        until_paused(worker)
        assert tasks.ran.empty()
        tasks.work.resume(tasks.queue)
        assert tasks.next() == "first"


def test_whoever_pauses_and_resumes_at_once_the_last_answer_is_what_the_broker_says(broker: Broker, name: str) -> None:
    queue = f"paused.{name}"

    async def main() -> list[bool]:
        async with await connect(broker.url) as one, await connect(broker.url) as other:
            said = []
            for _ in range(10):
                await asyncio.gather(
                    pause(one, queue), resume(other, queue), pause(other, queue), is_paused(one, queue)
                )
                await pause(one, queue)
                said.append(await is_paused(other, queue))
                await resume(other, queue)
                said.append(await is_paused(one, queue))
            return said

    assert asyncio.run(main()) == [True, False] * 10


def test_looking_does_not_take_a_mark_away_and_a_long_name_has_one_too(broker: Broker, name: str) -> None:
    queue = f"paused.{name}." + "x" * 200

    async def main(connection: Connection) -> list[bool]:
        await pause(connection, queue)
        channel = await connection.channel()
        assert await channel.get(mark_of(queue)) is None
        said = [await is_paused(connection, queue) for _ in range(3)]
        await resume(connection, queue)
        return [*said, await is_paused(connection, queue)]

    assert over(broker, main) == [True, True, True, False]


def test_a_coroutine_pauses_and_resumes(tasks: Tasks) -> None:
    async def main() -> list[bool]:
        await tasks.work.pause_async(tasks.queue)
        paused = await tasks.work.paused_async(tasks.queue)
        await tasks.work.resume_async(tasks.queue)
        return [paused, await tasks.work.paused_async(tasks.queue)]

    assert asyncio.run(main()) == [True, False]


def over(broker: Broker, act: Any) -> Any:
    async def main() -> Any:
        async with await connect(broker.url) as connection:
            return await act(connection)

    return asyncio.run(main())
