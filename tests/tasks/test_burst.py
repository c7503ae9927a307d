"""A program that sends one task after another gets a connection for that, and nobody else does; nothing is sent twice or lost by that."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from client.support import WAIT_S, bodies
from leveret.client.publisher import Publisher
from leveret.client.threads import loop_thread
from leveret.errors import ClientError
from leveret.tasks import WorkQueue, burst
from leveret.tasks.burst import SENDS, Burst

BURST = SENDS + 5
"""So many tasks are enough that there is a publisher: the first of them go another way, for they declare the queue."""


@pytest.fixture(autouse=True)
def _worth_it_at_any_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """On however slow a machine."""
    monkeypatch.setattr(burst, "WITHIN_S", WAIT_S)


@pytest.fixture
def work(broker: Broker, name: str) -> Iterator[WorkQueue]:
    queue = WorkQueue(broker.url, default_queue=f"burst.{name}")
    queue.task(name="add")(add)
    yield queue
    queue.close()


def add(a: int) -> None: ...


def of(work: WorkQueue) -> Burst:
    mine, _ = work._sender._ready()
    assert mine.burst is not None
    return mine.burst


def until(done: Callable[[], object]) -> None:
    """Let the client's loop go on until that has happened there."""

    async def turn_by_turn() -> None:
        async with asyncio.timeout(WAIT_S):
            while not done():
                await asyncio.sleep(0)

    loop_thread().run(turn_by_turn(), WAIT_S, "what was awaited")


def on_a_publisher(work: WorkQueue) -> Publisher:
    """As many tasks as that takes are sent."""
    for number in range(BURST):
        work.tasks["add"].send(number)
    until(lambda: of(work)._publisher)
    publisher = of(work)._publisher
    assert publisher is not None
    return publisher


def published_by(publisher: Publisher) -> int:
    assert publisher._session is not None and publisher._session.confirms is not None
    return publisher._session.confirms.published


def numbers(channel: BlockingChannel, queue: str) -> list[int]:
    return [json.loads(body)["args"][0] for body in bodies(channel, queue)]


def test_whoever_sends_now_and_then_has_no_publisher(
    work: WorkQueue, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = iter(range(1, 1_000_000, 2))
    monkeypatch.setattr(burst, "WITHIN_S", 1.0)
    monkeypatch.setattr(burst, "monotonic", lambda: float(next(now_s)))
    for number in range(3 * BURST):
        work.tasks["add"].send(number)
    assert not of(work)._asked
    assert numbers(channel, work.default_queue) == list(range(3 * BURST))


def test_all_arrives_in_its_order_before_and_after_there_is_a_publisher(
    work: WorkQueue, channel: BlockingChannel
) -> None:
    publisher = on_a_publisher(work)
    for number in range(BURST, 200):
        work.tasks["add"].send(number)
    assert of(work)._publisher is publisher
    assert published_by(publisher) >= 200 - BURST
    assert numbers(channel, work.default_queue) == list(range(200))


def test_a_queue_deleted_meanwhile_is_declared_again(work: WorkQueue, channel: BlockingChannel) -> None:
    publisher = on_a_publisher(work)
    channel.queue_delete(work.default_queue)
    work.tasks["add"].send(1)
    work.tasks["add"].send(2)
    assert numbers(channel, work.default_queue) == [1, 2] and not publisher.over


def test_threads_that_send_at_once_lose_nothing(work: WorkQueue, channel: BlockingChannel) -> None:
    on_a_publisher(work)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work.tasks["add"].send, range(1_000, 1_400)))
    sent = numbers(channel, work.default_queue)
    assert sent[:BURST] == list(range(BURST)) and sorted(sent[BURST:]) == list(range(1_000, 1_400))


def test_what_needs_more_than_publishing_goes_the_usual_way(work: WorkQueue, channel: BlockingChannel) -> None:
    publisher = on_a_publisher(work)
    before = published_by(publisher)
    task = work.tasks["add"]
    task.options(delay=0.001).send(-1)
    asyncio.run(task.send_async(-2))
    work.send_many([task.call(-3)])
    assert published_by(publisher) == before
    came = channel.consume(work.default_queue, auto_ack=True, inactivity_timeout=WAIT_S)
    sent = [json.loads(body)["args"][0] for _, _, body in islice(came, BURST + 3)]
    channel.cancel()
    assert sorted(sent) == [-3, -2, -1, *range(BURST)]


def test_it_is_closed_when_it_is_not_used_and_opened_again(
    work: WorkQueue, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(burst, "LOOK_S", 0.001)
    for _ in range(2):
        with monkeypatch.context() as patience:  # until it was seen, however long the tasks take that go another way
            patience.setattr(burst, "IDLE_LOOKS", sys.maxsize)
            publisher = on_a_publisher(work)
        until(lambda: not of(work)._asked)
        assert publisher.over and "closed by this program" in str(publisher.error)
    assert len(numbers(channel, work.default_queue)) == 2 * BURST


def test_it_is_closed_with_the_work_queue(work: WorkQueue) -> None:
    publisher = on_a_publisher(work)
    work.close()
    assert publisher.over and "closed by this program" in str(publisher.error)


def test_sending_goes_on_after_the_broker_was_restarted(own_broker: Broker, name: str) -> None:
    work = WorkQueue(own_broker.url, default_queue=name)
    work.task(name="add")(add)
    publisher = on_a_publisher(work)
    own_broker.restart()
    work.tasks["add"].send(BURST)
    assert publisher.over
    work.close()
    with own_broker.connect() as connection:
        assert numbers(connection.channel(), name) == list(range(BURST + 1))


def test_where_none_can_be_opened_all_goes_the_usual_way_and_it_is_not_tried_each_time(
    work: WorkQueue, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    async def refused(*_: object) -> Publisher:
        tried.append(1)
        raise ClientError("there are as many connections as this user may have")

    monkeypatch.setattr(burst, "open_publisher", refused)
    for number in range(3 * BURST):
        work.tasks["add"].send(number)
    until(lambda: tried)
    for number in range(3 * BURST, 6 * BURST):
        work.tasks["add"].send(number)
    assert tried == [1]
    assert numbers(channel, work.default_queue) == list(range(6 * BURST))


def test_after_a_while_it_is_tried_again(work: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    tried, open_publisher = [], burst.open_publisher

    async def refused(*_: object) -> Publisher:
        tried.append(1)
        raise ClientError("not now")

    monkeypatch.setattr(burst, "AGAIN_S", 0.001)
    monkeypatch.setattr(burst, "open_publisher", refused)
    for number in range(BURST):
        work.tasks["add"].send(number)
    until(lambda: tried and not of(work)._asked)
    monkeypatch.setattr(burst, "open_publisher", open_publisher)
    work.tasks["add"].send(BURST)
    until(lambda: of(work)._publisher)


FORKING = """
import os, sys
from leveret.tasks import WorkQueue, burst
burst.WITHIN_S = 60.0
work = WorkQueue(sys.argv[1], default_queue=sys.argv[2])
@work.task
def add(a: int) -> None: ...
def publisher(): return work._sender._ready()[0].burst._publisher
for number in range(100): add.send(number)
while publisher() is None: add.send(-1)
child = os.fork()
for number in range(100, 200): add.send(number)
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_leaves_its_parents_connection_alone(
    broker: Broker, channel: BlockingChannel, name: str
) -> None:
    subprocess.run([sys.executable, "-c", FORKING, broker.url, f"fork.{name}"], check=True, timeout=WAIT_S)
    sent = [number for number in numbers(channel, f"fork.{name}") if number >= 0]
    assert sent[:100] == list(range(100))
    assert sorted(sent[100:]) == sorted([*range(100, 200), *range(100, 200)])
