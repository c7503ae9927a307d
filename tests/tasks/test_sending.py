"""Sending, as another AMQP client sees what arrives."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from client.proxy import Proxy
from leveret.client import Backoff
from leveret.errors import ConnectionLost, Nacked, PartlySent, TaskError, WaitTimeout
from leveret.tasks import Unique, WorkQueue, sender
from leveret.tasks.outbox import Parcel
from worker.support import declare


@pytest.fixture
def work(broker: Broker, name: str) -> Iterator[WorkQueue]:
    queue = WorkQueue(broker.url, name="photos", default_queue=f"send.{name}")
    queue.task(name="add")(add)
    yield queue
    queue.close()


def add(a: int, b: int = 2) -> int:
    return a + b


def keep(key: str) -> None: ...


def taken(channel: BlockingChannel, queue: str) -> list[tuple[str, bytes]]:
    """Message id and body of all that is in the queue."""
    found = []
    while True:
        _, properties, body = channel.basic_get(queue, auto_ack=True)
        if properties is None:
            return found
        found.append((properties.message_id, body))


def test_a_sent_task_is_in_its_durable_queue_as_documented(work: WorkQueue, channel: BlockingChannel) -> None:
    sent = work.tasks["add"].send(1, b=5)
    declare(channel, sent.queue)
    _, properties, body = channel.basic_get(sent.queue, auto_ack=True)
    assert json.loads(body) == {"args": [1], "kwargs": {"b": 5}}
    assert (properties.type, properties.message_id, properties.app_id) == ("add", sent.id, "photos")
    assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)
    assert properties.timestamp > 1_700_000_000


def test_a_wrong_call_sends_nothing(work: WorkQueue, channel: BlockingChannel) -> None:
    queue = work.tasks["add"].send(1).queue
    with pytest.raises(TaskError):
        work.tasks["add"].send("x")
    assert len(taken(channel, queue)) == 1


def test_threads_and_coroutines_share_one_connection(work: WorkQueue, channel: BlockingChannel) -> None:
    task = work.tasks["add"]

    async def send_many() -> list[str]:
        return [sent.id for sent in await asyncio.gather(*(task.send_async(n) for n in range(50)))]

    with ThreadPoolExecutor(4) as threads:
        ids = {sent.id for sent in threads.map(task.send, range(50))}
    ids |= set(asyncio.run(send_many()))
    ids |= set(asyncio.run(send_many()))
    assert len(ids) == 150
    assert {message_id for message_id, _ in taken(channel, task.queue)} == ids


def test_a_queue_that_was_deleted_is_declared_again(work: WorkQueue, channel: BlockingChannel) -> None:
    task = work.tasks["add"]
    task.send(1)
    channel.queue_delete(task.queue)
    sent = task.send(2)
    assert [message_id for message_id, _ in taken(channel, task.queue)] == [sent.id]


def test_sending_goes_on_after_close(work: WorkQueue, channel: BlockingChannel) -> None:
    task = work.tasks["add"]
    task.send(1)
    work.close()
    task.send(2)
    assert len(taken(channel, task.queue)) == 2


def test_a_queue_declared_otherwise_is_told_and_harms_no_other(
    work: WorkQueue, channel: BlockingChannel, name: str
) -> None:
    channel.queue_declare(f"transient.{name}", durable=False, exclusive=False)
    other = work.task(name="other", queue=f"transient.{name}")(add)
    with pytest.raises(Exception, match="406 PRECONDITION_FAILED"):
        other.send(1)
    work.tasks["add"].send(1)
    channel.queue_delete(f"transient.{name}")


def test_without_a_broker_sending_fails_soon_and_says_so() -> None:
    with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1:1"):
        WorkQueue("amqp://127.0.0.1:1/").task(add).send(1)


def test_while_the_broker_is_away_a_send_waits_as_long_as_it_may_and_not_as_long_as_a_reply(
    broker: Broker, name: str
) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy:
            work = WorkQueue(proxy.url, default_queue=name, send_timeout_s=60)
            task = work.task(name="add")(add)
            single = work.task(name="single", unique=Unique("key", until_done=True))(keep)
            await task.send_async(0)
            mine, thread = work._sender._ready()
            assert mine.connection is not None
            core = mine.connection.core
            core._backoff = Backoff(0.01, 0.05)
            proxy.open_to = False
            proxy.cut()
            while core.connected:
                await asyncio.sleep(0)
            core.timeout_s = 0.01
            sending = [
                asyncio.create_task(task.send_async(1)),
                asyncio.create_task(single.send_async(name)),
                asyncio.create_task(work.send_many_async([task.call(2), task.call(3)])),
            ]
            await asyncio.sleep(0)
            with pytest.raises(WaitTimeout):  # the later one: what began before it would have ended by now
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(core.channel(), thread._loop))
            assert not [one for one in sending if one.done()]
            core.timeout_s = 10
            proxy.open_to = True
            await asyncio.gather(*sending)
            await asyncio.to_thread(work.close)

    asyncio.run(main())
    with broker.connect() as connection:
        assert len(taken(connection.channel(), name)) == 5


def test_sending_goes_on_after_the_broker_was_restarted(own_broker: Broker, name: str) -> None:
    work = WorkQueue(own_broker.url, default_queue=name)
    task = work.task(add)
    task.send(1)
    own_broker.restart()
    task.send(2)
    work.close()
    with own_broker.connect() as connection:
        assert len(taken(connection.channel(), name)) == 2


FORKING = """
import os, sys
from leveret.tasks import WorkQueue
work = WorkQueue(sys.argv[1], default_queue=sys.argv[2])
@work.task
def add(a: int) -> None: ...
add.send(1)
child = os.fork()
add.send(2)
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_sends_by_a_connection_of_its_own(broker: Broker, channel: BlockingChannel, name: str) -> None:
    subprocess.run([sys.executable, "-c", FORKING, broker.url, f"fork.{name}"], check=True, timeout=60)
    bodies = [json.loads(body)["args"] for _, body in taken(channel, f"fork.{name}")]
    assert sorted(bodies) == [[1], [2], [2]]


def test_many_tasks_are_sent_with_one_wait_and_arrive_in_their_order(work: WorkQueue, channel: BlockingChannel) -> None:
    other = work.task(name="other", queue=f"{work.default_queue}.other")(add)
    task = work.tasks["add"]
    calls = [task.call(0), *(one.call(number) for number in range(1, 2_000) for one in (task, other))]
    sent = work.send_many(iter(calls))
    assert [one.queue for one in sent[:3]] == [task.queue, task.queue, other.queue]
    for queue, count in ((task.queue, 2_000), (other.queue, 1_999)):
        found = taken(channel, queue)
        assert [message_id for message_id, _ in found] == [one.id for one in sent if one.queue == queue]
        assert len(found) == count and json.loads(found[-1][1])["args"] == [1_999]
    assert work.send_many([]) == []


def test_coroutines_send_many_and_some_of_them_later(work: WorkQueue, channel: BlockingChannel) -> None:
    task = work.tasks["add"]
    calls = [task.options(delay=0.2).call(1), task.call(2)]
    later, now = asyncio.run(work.send_many_async(calls))
    came = []
    for method, properties, _ in channel.consume(task.queue, auto_ack=True, inactivity_timeout=60):
        assert method is not None
        came.append(properties.message_id)
        if len(came) == 2:
            break
    channel.cancel()
    assert came == [now.id, later.id]


def test_of_many_it_is_told_which_were_not_taken_and_the_others_are(work: WorkQueue, channel: BlockingChannel) -> None:
    task = work.tasks["add"]
    lost = work.task(name="lost", queue=f"{work.default_queue}.taken")(add)
    channel.queue_declare(lost.queue, durable=False)
    with pytest.raises(PartlySent, match="1 of 3 messages") as raised:
        work.send_many([task.call(1), lost.call(2), task.call(3)])
    assert {number: type(error).__name__ for number, error in raised.value.errors.items()} == {1: "ChannelError"}
    assert [json.loads(body)["args"] for _, body in taken(channel, task.queue)] == [[1], [3]]


def test_a_queue_deleted_meanwhile_is_declared_again_also_for_many(work: WorkQueue, channel: BlockingChannel) -> None:
    task = work.tasks["add"]
    task.send(0)
    channel.queue_delete(task.queue)
    work.send_many([task.call(1), task.call(2)])
    assert sorted(json.loads(body)["args"][0] for _, body in taken(channel, task.queue)) == [1, 2]


def test_what_was_refused_is_sent_again_within_what_is_left_of_its_time(
    work: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.tasks["add"].send(1)
    given: list[float] = []

    def refuse(_: object, parcel: Parcel) -> asyncio.Future[None]:
        raise Nacked("by a queue that is choosing its leader")

    async def put(_: object, parcel: Parcel, timeout_s: float) -> None:
        given.append(timeout_s)

    clock = iter([100.0, 107.0, 200.0, 209.0])
    monkeypatch.setattr(sender._Open, "post", refuse)
    monkeypatch.setattr(sender._Open, "put", put)
    monkeypatch.setattr(sender, "_now_s", lambda: next(clock))
    work.tasks["add"].send(1)
    asyncio.run(work.tasks["add"].send_async(1))
    assert given == [work.send_timeout_s - 7, work.send_timeout_s - 9]
