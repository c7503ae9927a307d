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
from leveret.errors import ConnectionLost, TaskError
from leveret.tasks import WorkQueue


@pytest.fixture
def work(broker: Broker, name: str) -> Iterator[WorkQueue]:
    queue = WorkQueue(broker.url, name="photos", default_queue=f"send.{name}")
    queue.task(name="add")(add)
    yield queue
    queue.close()


def add(a: int, b: int = 2) -> int:
    return a + b


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
    channel.queue_declare(sent.queue, durable=True)
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
