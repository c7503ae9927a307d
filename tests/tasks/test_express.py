"""A program that sends one task after another gets a line for it, and nobody else does; nothing is sent twice or lost by that."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from client.support import WAIT_S
from leveret.client.line import Line
from leveret.errors import ClientError
from leveret.tasks import WorkQueue, express
from leveret.tasks.express import SENDS, Express

BURST = SENDS + 5
"""So many tasks are enough that there is a line: the first of them go another way, for they declare the queue."""


@pytest.fixture(autouse=True)
def _worth_it_at_any_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """On however slow a machine."""
    monkeypatch.setattr(express, "WITHIN_S", WAIT_S)


@pytest.fixture
def work(broker: Broker, name: str) -> Iterator[WorkQueue]:
    queue = WorkQueue(broker.url, default_queue=f"express.{name}")
    queue.task(name="add")(add)
    yield queue
    queue.close()


def add(a: int) -> None: ...


def of(work: WorkQueue) -> Express:
    mine, _ = work._sender._ready()
    assert mine.express is not None
    return mine.express


def until(done: Callable[[], object]) -> None:
    """Something happens on the client's thread."""
    end_s = monotonic() + WAIT_S
    while not done():
        assert monotonic() < end_s
        threading.Event().wait(0.001)


def on_a_line(work: WorkQueue) -> Line:
    """As many tasks as that takes are sent."""
    for number in range(BURST):
        work.tasks["add"].send(number)
    until(lambda: of(work)._line)
    line = of(work)._line
    assert line is not None
    return line


def published_by(line: Line) -> int:
    assert line._session is not None and line._session.confirms is not None
    return line._session.confirms.published


def numbers(channel: BlockingChannel, queue: str) -> list[int]:
    found = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return found
        found.append(json.loads(body)["args"][0])


def test_whoever_sends_now_and_then_has_no_line(
    work: WorkQueue, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = iter(range(1, 1_000_000, 2))
    monkeypatch.setattr(express, "WITHIN_S", 1.0)
    monkeypatch.setattr(express, "monotonic", lambda: float(next(now_s)))
    for number in range(3 * BURST):
        work.tasks["add"].send(number)
    assert not of(work)._asked
    assert numbers(channel, work.default_queue) == list(range(3 * BURST))


def test_all_arrives_in_its_order_before_and_after_there_is_a_line(work: WorkQueue, channel: BlockingChannel) -> None:
    line = on_a_line(work)
    published = line.machine.channels  # the same all the time: it is never opened again
    for number in range(BURST, 200):
        work.tasks["add"].send(number)
    assert of(work)._line is line and line.machine.channels is published
    assert published_by(line) >= 200 - BURST
    assert numbers(channel, work.default_queue) == list(range(200))


def test_a_queue_deleted_meanwhile_is_declared_again(work: WorkQueue, channel: BlockingChannel) -> None:
    line = on_a_line(work)
    channel.queue_delete(work.default_queue)
    work.tasks["add"].send(1)
    work.tasks["add"].send(2)
    assert numbers(channel, work.default_queue) == [1, 2] and not line.over


def test_threads_that_send_at_once_lose_nothing(work: WorkQueue, channel: BlockingChannel) -> None:
    on_a_line(work)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work.tasks["add"].send, range(1_000, 1_400)))
    sent = numbers(channel, work.default_queue)
    assert sent[:BURST] == list(range(BURST)) and sorted(sent[BURST:]) == list(range(1_000, 1_400))


def test_what_needs_more_than_publishing_goes_the_usual_way(work: WorkQueue, channel: BlockingChannel) -> None:
    line = on_a_line(work)
    before = published_by(line)
    task = work.tasks["add"]
    task.options(delay=0.001).send(-1)
    asyncio.run(_sent(task.send_async(-2)))
    work.send_many([task.call(-3)])
    assert published_by(line) == before
    until(lambda: channel.queue_declare(work.default_queue, passive=True).method.message_count == BURST + 3)


async def _sent(sending: object) -> None:
    await sending  # type: ignore[misc]


def test_it_is_closed_when_it_is_not_used_and_opened_again(
    work: WorkQueue, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(express, "LOOK_S", 0.001)
    for _ in range(2):
        line = on_a_line(work)
        until(lambda: not of(work)._asked)
        assert line.over and "closed by this program" in str(line.error)
    assert len(numbers(channel, work.default_queue)) == 2 * BURST


def test_it_is_closed_with_the_work_queue(work: WorkQueue) -> None:
    line = on_a_line(work)
    work.close()
    assert line.over and "closed by this program" in str(line.error)


def test_sending_goes_on_after_the_broker_was_restarted(own_broker: Broker, name: str) -> None:
    work = WorkQueue(own_broker.url, default_queue=name)
    work.task(name="add")(add)
    line = on_a_line(work)
    own_broker.restart()
    work.tasks["add"].send(BURST)
    assert line.over
    work.close()
    with own_broker.connect() as connection:
        assert numbers(connection.channel(), name) == list(range(BURST + 1))


def test_where_none_can_be_opened_all_goes_the_usual_way_and_it_is_not_tried_each_time(
    work: WorkQueue, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    async def refused(*_: object) -> Line:
        tried.append(1)
        raise ClientError("there are as many connections as this user may have")

    monkeypatch.setattr(express, "open_line", refused)
    for number in range(3 * BURST):
        work.tasks["add"].send(number)
    until(lambda: tried)
    for number in range(3 * BURST, 6 * BURST):
        work.tasks["add"].send(number)
    assert tried == [1]
    assert numbers(channel, work.default_queue) == list(range(6 * BURST))


FORKING = """
import os, sys
from leveret.tasks import WorkQueue, express
express.WITHIN_S = 60.0
work = WorkQueue(sys.argv[1], default_queue=sys.argv[2])
@work.task
def add(a: int) -> None: ...
def line(): return work._sender._ready()[0].express._line
for number in range(100): add.send(number)
while line() is None: add.send(-1)
child = os.fork()
for number in range(100, 200): add.send(number)
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_leaves_its_parents_line_alone(broker: Broker, channel: BlockingChannel, name: str) -> None:
    subprocess.run([sys.executable, "-c", FORKING, broker.url, f"fork.{name}"], check=True, timeout=WAIT_S)
    sent = [number for number in numbers(channel, f"fork.{name}") if number >= 0]
    assert sent[:100] == list(range(100))
    assert sorted(sent[100:]) == sorted([*range(100, 200), *range(100, 200)])
