"""The results of a group in their queue, on both brokers: put, looked at, gathered, given back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import cast

import msgspec
import pytest

from brokers import Broker
from leveret.client import Channel, Connection, Delivery, connect
from leveret.errors import ConnectionLost, TaskError
from leveret.tasks import WorkQueue
from leveret.tasks.continuation import Join, Send, Spread, group_queue
from leveret.tasks.departure import NOTHING, Flow, depart, result
from leveret.tasks.outbox import Outbox
from leveret.worker import groups as groups_module
from leveret.worker.groups import Groups, Held

PUT_S = 30.0
ONE = Send("id", "one", "q")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LAST = Send("last", "last", "q", fed=True)


def on_broker(broker: Broker, test: Callable[[Groups, Connection, str], Awaitable[None]], members: int = 3) -> None:
    """With a group of so many that has begun, by its id."""

    async def main() -> None:
        async with await connect(broker.url) as connection:
            group = str(uuid.uuid4())
            steps = [Spread(group, [[ONE]] * members), LAST]
            plans = depart(Flow("flow", "", None), steps, NOTHING, once=False, now=NOW).plans
            assert await Outbox(connection, WorkQueue().declared).put_many(plans, PUT_S) == [None]
            await test(Groups(connection), connection, group)

    asyncio.run(main())


def value(number: int) -> msgspec.Raw:
    return msgspec.Raw(str(number).encode())


async def ready(connection: Connection, group: str) -> int:
    async with await connection.channel() as channel:
        return (await channel.queue_declare(group_queue(group), passive=True)).messages


def test_the_last_result_finds_the_others_in_their_order_and_what_comes_then(broker: Broker) -> None:
    async def test(groups: Groups, connection: Connection, group: str) -> None:
        assert await groups.join(Join(group, 2, 3), value(20), repeated=False) is None
        assert await groups.join(Join(group, 0, 3), value(0), repeated=True) is None
        held = await groups.join(Join(group, 1, 3), value(10), repeated=False)
        assert held is not None
        steps, values = held.collected.end()
        assert (steps, bytes(values)) == ([LAST], b"[0,10,20]")
        await held.close()

    on_broker(broker, test)


def test_a_result_that_came_twice_is_taken_out_and_the_others_are_back_when_it_leaves(broker: Broker) -> None:
    async def test(groups: Groups, connection: Connection, group: str) -> None:
        for index in (0, 0, 0, 1):
            assert await groups.join(Join(group, index, 3), value(index), repeated=False) is None
        assert await ready(connection, group) == 3
        held = await groups.join(Join(group, 2, 3), value(2), repeated=False)
        assert held is not None and bytes(held.collected.end()[1]) == b"[0,1,2]"
        await held.close()

    on_broker(broker, test)


def test_of_many_who_come_last_at_once_one_gathers(broker: Broker) -> None:
    """None of them acknowledges its task before somebody has all. A lost connection may show the same to another one:
    what comes then is claimed."""

    async def test(groups: Groups, connection: Connection, group: str) -> None:
        lost = 0

        async def member(index: int, repeated: bool = False) -> int:
            nonlocal lost
            try:
                held = await groups.join(Join(group, index % 20, 20), value(index % 20), repeated)
            except ConnectionLost:  # see groups: RabbitMQ may do that
                lost += 1
                return await member(index, repeated=True)
            if held is None:
                return 0
            await groups.delete(group)
            await held.close()
            return 1

        gathered = sum(await asyncio.gather(*(member(index) for index in range(40))))
        assert gathered == 1 or (lost and gathered > 0)
        assert not lost or broker.kind == "rabbitmq"

    on_broker(broker, test, members=20)


def test_while_one_gathers_and_goes_on_nobody_of_its_worker_looks(broker: Broker) -> None:
    """RabbitMQ ends the connection of who consumes from a queue that is being deleted."""

    async def test(groups: Groups, connection: Connection, group: str) -> None:
        for index in (0, 1):
            assert await groups.join(Join(group, index, 3), value(index), repeated=False) is None
        held = await groups.join(Join(group, 2, 3), value(2), repeated=False)
        assert held is not None
        looks: list[int | None] = []
        has_put = asyncio.Event()
        look, put = groups._ready, groups._put

        async def counted(group: str) -> int | None:
            looks.append(await look(group))
            return looks[-1]

        async def told(join: Join, value: msgspec.Raw) -> bool:
            there = await put(join, value)
            has_put.set()
            return there

        groups._ready, groups._put = counted, told  # type: ignore[method-assign]
        again = asyncio.ensure_future(groups.join(Join(group, 2, 3), value(2), repeated=True))
        await has_put.wait()
        await groups.delete(group)
        await held.close()
        assert await again is None
        assert looks == [None]

    on_broker(broker, test)


def test_a_member_whose_group_was_purged_does_not_wait_for_what_it_gave_back(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups_module, "SEEN_S", 0.1)

    async def test(groups: Groups, connection: Connection, group: str) -> None:
        for index in (0, 1):
            assert await groups.join(Join(group, index, 3), value(index), repeated=False) is None
        gather = groups._gather

        async def gathered_and_purged(join: Join, ready: int) -> tuple[Held | None, int]:
            gathered = await gather(join, ready)
            async with await connection.channel() as channel:
                while not await channel.queue_purge(group_queue(group)):
                    pass
            return gathered

        groups._gather = gathered_and_purged  # type: ignore[method-assign]
        assert await groups.join(Join(group, 0, 3), value(0), repeated=False) is None
        assert await ready(connection, group) < 3

    on_broker(broker, test)


def test_a_result_for_a_group_that_is_gone_is_nobody_s_any_more(broker: Broker) -> None:
    async def test(groups: Groups, connection: Connection, group: str) -> None:
        await groups.delete(group)
        assert await groups.join(Join(group, 0, 3), value(0), repeated=False) is None

    on_broker(broker, test)


def test_what_held_results_and_died_is_waited_for_by_a_task_that_is_repeated(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leveret.worker.groups.LOOKS_REPEATED", 1000)  # on a busy machine a broker may take its time

    async def test(groups: Groups, connection: Connection, group: str) -> None:
        for index in (0, 1):
            assert await groups.join(Join(group, index, 3), value(index), repeated=False) is None
        dead = await connect(broker.url, reconnect=False)
        channel = await dead.channel(prefetch=10)
        taken: list[Delivery] = []
        await channel.consume(group_queue(group), taken.append)
        while len(taken) < 3:
            await asyncio.sleep(0)
        again = asyncio.ensure_future(groups.join(Join(group, 2, 3), value(2), repeated=True))
        await dead.close()
        held = await again
        assert held is not None and bytes(held.collected.end()[1]) == b"[0,1,2]"
        await held.close()

    on_broker(broker, test)


# ---- what is held, without a broker


class Fake:
    """A delivery."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.lost = False
        self.acknowledged = False

    def ack(self) -> None:
        self.acknowledged = True


def took(held: Held, *indexes: int) -> list[Fake]:
    made = [Fake(result(Join("g", index, 3), value(index)).body) for index in indexes]
    for one in made:
        held._take(cast(Delivery, one))
    return made


def test_what_is_no_result_is_dropped_and_what_came_twice() -> None:
    held = Held(cast(Channel, None), 3)
    made = took(held, 0, 1, 0)
    junk = Fake(b"no json")
    held._take(cast(Delivery, junk))
    assert held.drop_spare() == 2
    assert [one.acknowledged for one in (*made, junk)] == [False, False, True, True]


def test_results_that_come_again_over_a_second_connection_are_not_taken_for_duplicates() -> None:
    """The client connects again, and has the consumer go on: those that it had are back in the queue."""
    held = Held(cast(Channel, None), 3)
    first = took(held, 0, 1)
    for one in first:
        one.lost = True
    second = took(held, 0, 1)
    held.drop_spare()
    assert not any(one.acknowledged for one in (*first, *second))
    assert not held.complete


def test_results_that_are_too_large_together_are_not_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leveret.worker.groups.BODY_BYTES_MAX", 2)
    held = Held(cast(Channel, None), 3)
    took(held, 0, 1, 2, 3)
    assert held.too_large and not held.complete and len(held.collected.results) == 3


def test_a_result_that_is_not_in_the_plan_is_told() -> None:
    held = Held(cast(Channel, None), 1)
    plan = depart(Flow("flow", "", None), [Spread("g", [[ONE]])], NOTHING, once=False, now=NOW).plans[0]
    held._take(cast(Delivery, Fake(plan.body)))
    took(held, 7)
    with pytest.raises(TaskError, match="none of member 0"):
        held.collected.end()
