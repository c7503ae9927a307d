"""What is sent with a delay is in its queue then, and not before, on both brokers; how long that takes is virtual where it may be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from brokers import Broker
from leveret.client import BasicProperties, connect
from leveret.errors import TaskError
from leveret.tasks import WorkQueue
from leveret.tasks.ladder import HIGHEST_MS, RUNGS, UNDELIVERED, UNIT_MS, declare_ladder, descent, without_descent, word
from leveret.tasks.outbox import Outbox, Parcel
from simulation.actors import PORT
from simulation.world import World

WITHIN_S = 60.0


@pytest.fixture
def work(broker: Broker, name: str) -> Iterator[WorkQueue]:
    work = WorkQueue(broker.url, default_queue=f"later.{name}")
    work.task(name="note")(note)
    yield work
    work.close()


def note(text: str) -> None: ...


def texts(channel: BlockingChannel, queue: str, count: int) -> list[tuple[float, str]]:
    """When, on the monotonic clock, and what came, in its order."""
    came = []
    for method, _, body in channel.consume(queue, auto_ack=True, inactivity_timeout=WITHIN_S):
        assert method is not None, f"only {came} came"
        came.append((time.monotonic(), body.decode().split('"')[3]))
        if len(came) == count:
            break
    channel.cancel()
    return came


@pytest.mark.parametrize(
    ("delay_ms", "tenths"), [(1, 1), (100, 1), (101, 2), (1_000, 10), (3 * 86_400_000, 2_592_000), (HIGHEST_MS, None)]
)
def test_the_rungs_add_up_to_the_delay_rounded_up(delay_ms: int, tenths: int | None) -> None:
    down = descent("q", delay_ms)
    digits = down.routing_key.removesuffix(".q").split(".")
    assert len(digits) == RUNGS and down.left_ms == 0
    rungs = [RUNGS - 1 - place for place, digit in enumerate(digits) if digit == "1"]
    assert sum(1 << rung for rung in rungs) == (tenths or (1 << RUNGS) - 1)
    assert down.rung == max(rungs)


def test_what_is_longer_than_the_ladder_is_left_for_another_round() -> None:
    assert descent("q", HIGHEST_MS + 1_234).left_ms == 1_234


def test_a_queues_name_is_one_word_without_signs() -> None:
    assert word("mail.*.#") == "mail%2E%2A%2E%23"
    with pytest.raises(TaskError, match="more than"):
        descent("q" * 204, 100)


def test_a_shorter_delay_overtakes_a_longer_one_and_none_comes_early(work: WorkQueue, channel: BlockingChannel) -> None:
    task = work.tasks["note"]
    queue = task.send("now").queue
    sent = {}
    for delay_s in (1.5, 0.3, 0.9):
        sent[str(delay_s)] = time.monotonic()
        task.options(delay=delay_s).send(str(delay_s))
    came = texts(channel, queue, 4)
    assert [text for _, text in came] == ["now", "0.3", "0.9", "1.5"]
    assert all(at - sent[text] >= float(text) for at, text in came[1:])


def test_an_eta_is_a_delay_until_then(work: WorkQueue, channel: BlockingChannel) -> None:
    task = work.tasks["note"]
    due = datetime.now(UTC) + timedelta(seconds=0.5)
    queue = task.options(eta=due).send("then").queue
    task.options(eta=due - timedelta(days=1)).send("yesterday")
    assert [text for _, text in texts(channel, queue, 2)] == ["yesterday", "then"]
    assert datetime.now(UTC) >= due


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"delay": -1}, "lies in the past"),
        ({"eta": datetime(2030, 1, 1)}, "no time zone"),
        ({"delay": 1, "eta": datetime(2030, 1, 1, tzinfo=UTC)}, "not both"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], said: str) -> None:
    task = WorkQueue().task(note)
    with pytest.raises(TaskError, match=said):
        task.options(**options)  # type: ignore[arg-type]


def test_coroutines_delay_too(work: WorkQueue, channel: BlockingChannel) -> None:
    task = work.tasks["note"]
    queue = asyncio.run(task.options(delay=timedelta(milliseconds=200)).send_async("soon")).queue
    assert texts(channel, queue, 1)[0][1] == "soon"


def test_queues_whose_names_look_like_patterns_get_their_own_and_nothing_else(
    broker: Broker, channel: BlockingChannel, name: str
) -> None:
    queues = [f"{name}.#", f"{name}.*", f"{name}.a"]

    async def send() -> None:
        async with await connect(broker.url) as connection:
            outbox = Outbox(connection)
            for queue in queues:
                body = b'{"args": ["%s"]}' % queue.encode()
                await outbox.put(Parcel(queue, body, BasicProperties(), 100), WITHIN_S)

    asyncio.run(send())
    for queue in queues:
        assert [text for _, text in texts(channel, queue, 1)] == [queue]
    assert [channel.queue_declare(queue, passive=True).method.message_count for queue in queues] == [0, 0, 0]


def test_what_comes_down_when_its_queue_is_gone_is_kept(
    work: WorkQueue, channel: BlockingChannel, connection: BlockingConnection
) -> None:
    queue = work.tasks["note"].options(delay=1).send("too late").queue
    channel.queue_delete(queue)
    channel.queue_purge(UNDELIVERED)
    assert [text for _, text in texts(channel, UNDELIVERED, 1)] == ["too late"]


def test_the_whole_ladder_stands_on_both_brokers(own_broker: Broker) -> None:
    async def declare_all() -> None:
        async with await connect(own_broker.url, timeout_s=60) as connection:
            channel = await connection.channel()
            on_rabbitmq = connection.server_properties["product"] == "RabbitMQ"
            await declare_ladder(channel, RUNGS - 1, on_rabbitmq)
            await declare_ladder(channel, RUNGS - 1, on_rabbitmq)

    asyncio.run(declare_all())


def test_what_brokers_wrote_on_the_way_down_is_left_out_and_other_deaths_are_kept() -> None:
    other = {"queue": "mine", "reason": "rejected"}
    headers = {
        "x-death": [{"queue": "leveret.delay.3", "reason": "expired"}, other],
        "x-first-death-queue": "mine",
        "x-first-death-reason": "rejected",
        "x-last-death-queue": "leveret.delay.3",
        "x-last-death-reason": "expired",
        "x-leveret-wait": 5,
        "own": 1,
    }
    kept = {"x-death": [other], "x-first-death-queue": "mine", "x-first-death-reason": "rejected", "own": 1}
    assert without_descent(headers) == kept
    assert without_descent({"x-death": [{"queue": "leveret.delay.0"}]}) == {}


@pytest.mark.parametrize("delay", [timedelta(seconds=0.1), timedelta(hours=7, seconds=1.3), timedelta(days=3)])
def test_three_days_are_three_days(delay: timedelta) -> None:
    """On the embedded broker and virtual time, to the tenth of a second, over a crash."""
    world = World(1)
    came: list[float] = []
    delay_s = delay.total_seconds()

    async def send() -> float:
        async with await connect(f"amqp://guest:guest@127.0.0.1:{PORT}/?heartbeat=0") as connection:
            parcel = Parcel("work", b"later", BasicProperties(delivery_mode=2), int(delay_s * 1000))
            await Outbox(connection).put(parcel, WITHIN_S)
        return world.loop.time()

    async def take() -> None:
        channel = await (await connect(f"amqp://guest:guest@127.0.0.1:{PORT}/?heartbeat=0")).channel()
        await channel.consume("work", lambda delivery: came.append(world.loop.time()), no_ack=True)

    try:
        begun = world.loop.time()
        world.do(send())
        confirmed = world.loop.time()
        world.run(delay_s / 2)
        world.crash()
        world.start()
        world.do(take())
        world.run(delay_s / 2 + 10)
        assert len(came) == 1
        assert begun + delay_s <= came[0] < confirmed + delay_s + UNIT_MS / 1000 + 1
    finally:
        world.close()
