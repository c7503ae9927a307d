"""A broker with a history: it hears its workers without a queue, notes what it does itself, and remembers it after a crash."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pika
import pytest

from broker.support import World, consume
from brokers import Leveret
from history.support import Book
from leveret.broker.broker import Broker
from leveret.broker.notices import Notices
from leveret.cli import remembering
from leveret.cli.overhearing import HEARD_BYTES_MAX
from leveret.cli.remembering import SLICE_QUEUES, Remembering
from leveret.server.config import Config
from leveret.tasks import Retries, WorkQueue
from leveret.tasks.events import EXCHANGE
from worker.support import WITHIN_S, working


@pytest.fixture
def keeping() -> Iterator[Leveret]:
    broker = Leveret(management=False)
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()


def read(broker: Leveret, ask: Callable[[Book], Any]) -> Any:
    """What another process sees of the file, while the broker has it open."""
    book = Book(broker.directory / "data" / "history.sqlite3")
    try:
        return ask(book)
    finally:
        book.close()


def wait_for(broker: Leveret, true: Callable[[Book], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(WITHIN_S * 10)):
        if read(broker, true):
            return
        pause.wait(0.1)
    raise AssertionError(f"it is not remembered: {read(broker, lambda book: book.tasks())}")


def test_tasks_are_remembered_though_nobody_else_listens_and_after_a_crash(keeping: Leveret) -> None:
    work = WorkQueue(keeping.url, default_queue="mail", retry=Retries(1))

    @work.task
    def send(number: int) -> None:
        if number == 2:
            raise ValueError("no good")

    with working(work):
        ids = [send.send(number).id for number in range(3)]
        wait_for(keeping, lambda book: {row.state for row in book.tasks()} == {"succeeded", "parked"})
        wait_for(keeping, lambda book: len(book.tasks()) == 3)
    keeping.kill()
    keeping.start()
    rows = {row.id: row for row in read(keeping, lambda book: book.tasks())}
    assert [rows[id].state for id in ids] == ["succeeded", "succeeded", "parked"]
    assert (rows[ids[2]].error, rows[ids[2]].queue, rows[ids[2]].vhost) == ("no good", "mail", "/")
    assert rows[ids[1]].argument == '{"args":[1],"kwargs":{}}'
    with working(work):
        late = send.send(7).id
        wait_for(keeping, lambda book: book.knows(late) and book.row(late).state == "succeeded")
    work.close()


def test_nothing_of_it_shows(keeping: Leveret) -> None:
    work = WorkQueue(keeping.url, default_queue="mail")
    done: list[int] = []
    task = work.task(name="note")(done.append)
    with working(work):
        sent = task.send(1)
        wait_for(keeping, lambda book: book.knows(sent.id))
    with keeping.connect() as connection:
        connection.channel().exchange_delete(EXCHANGE, if_unused=True)
    work.close()


def test_a_message_of_a_connection_that_was_lost_is_known_to_wait(keeping: Leveret) -> None:
    with keeping.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("mail")
        channel.basic_publish("", "mail", b"", pika.BasicProperties(message_id="lost", type="send"))
        method, _, _ = channel.basic_get("mail")
        assert method is not None
    wait_for(keeping, lambda book: book.knows("lost"))
    ((at, what, detail),) = read(keeping, lambda book: book.life("lost"))
    assert at > 0 and what == "requeued" and detail.startswith("mail: ")
    assert read(keeping, lambda book: book.row("lost").state) == "waiting"


def test_a_broker_that_is_to_remember_nothing_has_no_file(keeping: Leveret) -> None:
    keeping.stop()
    file = keeping.directory / "data" / "history.sqlite3"
    assert file.exists()
    file.unlink()
    keeping.history = False
    keeping.start()
    keeping.stop()
    assert not file.exists()


# ---- in one process, without sockets


@dataclass
class Place:
    """What Remembering needs of a server."""

    config: Config
    broker: Broker
    loop: asyncio.AbstractEventLoop


def remembering_of(world: World) -> Remembering:
    return Remembering(Place(Config(memory=True), world.broker, asyncio.get_running_loop()))  # type: ignore[arg-type]


def test_five_thousand_queues_are_looked_at_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(None)
    for number in range(5_000):
        world.queue(f"q{number}", durable=False)
    looked: list[int] = [0]

    def look(queue: Any, figures: Any = remembering._figures) -> Any:
        looked[-1] += 1
        return figures(queue)

    async def sample() -> None:
        memory = remembering_of(world)
        monkeypatch.setattr(remembering, "_figures", look)
        sampling = asyncio.create_task(memory._sample())
        while not sampling.done():
            looked.append(0)
            await asyncio.sleep(0)
        await memory.history.close()

    asyncio.run(sample())
    assert sum(looked) == 5_000 and max(looked) == SLICE_QUEUES


def test_what_workers_say_is_read_a_little_later_and_handed_to_all_who_want_it() -> None:
    world = World(None)
    world.broker.vhosts["/"].declare_exchange(EXCHANGE, "topic", True, False, False, {}, None)
    heard: list[tuple[str, int]] = []

    async def hear() -> None:
        async with remembering_of(world) as memory:
            memory.hearers.append(lambda vhost, events, now: heard.append((vhost, len(events))))
            channel = world.client().channel()
            for body in (b'[{"event":"started","id":"1"}]', b"[", b"\xff", b'[{"event":"later"}]'):
                world.publish_to(channel, world.address("a", exchange=EXCHANGE), body)
            assert heard == []

    asyncio.run(hear())
    assert heard == [("/", 1)]


def test_of_more_than_can_be_read_beats_are_read_all_the_same() -> None:
    world = World(None)
    heard: list[str] = []

    async def hear() -> None:
        async with remembering_of(world) as memory:
            memory.hearers.append(lambda vhost, events, now: heard.extend(event.worker for event in events))
            for number in range(2 * HEARD_BYTES_MAX // 50_000):
                memory._hear("/", b'[{"event":"started","worker":"%d"}]' % number + b" " * 50_000)
            memory._hear("/", b'[{"event":"worker","worker":"beat"}]')

    asyncio.run(hear())
    assert heard[-1] == "beat" and HEARD_BYTES_MAX // 50_000 - 1 <= len(heard) <= HEARD_BYTES_MAX // 50_000 + 1


def test_what_the_broker_did_is_told_by_its_own_time() -> None:
    world = World(None)

    async def note() -> tuple[float, list[str]]:
        memory = remembering_of(world)
        assert isinstance(world.broker.commons.notices, Notices)
        queue = world.queue()
        world.publish(world.client().channel(), b"", message_id="1")
        queue.purge(lambda count: None)
        memory._note()
        await memory.history.flush()
        life = await memory.history.task("1")
        assert life is not None
        await memory.history.close()
        return life.row.changed, [one.what for one in life.life]

    assert asyncio.run(note()) == (1_000.0, ["purged"])


def test_what_is_taken_without_an_acknowledgement_has_gone_too() -> None:
    world = World(None)
    queue, channel = world.queue(), world.client().channel()
    for _ in range(3):
        world.publish(channel, b"")
    consume(channel, queue, no_ack=True)
    assert remembering._figures(queue).taken == 3
