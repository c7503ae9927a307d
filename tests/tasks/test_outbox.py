"""What the outbox does when a broker refuses, or is away: it asks again, on another channel, and gives up in the end."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from brokers import Broker
from client.fake import at_once
from client.proxy import Proxy
from client.support import Signal, run
from leveret.client import Backoff, BasicProperties, Connection, connect
from leveret.errors import Nacked, WaitTimeout
from leveret.tasks.outbox import REFUSED_MAX, Outbox, Parcel

PARCEL = Parcel("q", b"x", BasicProperties())


class FakeChannel:
    """Refuses what is published, or takes it."""

    def __init__(self, refuses: bool) -> None:
        self.refuses = refuses
        self.closed = False
        self.published = 0

    async def publish(self, body: bytes, **_: Any) -> None:
        self.published += 1
        if self.refuses:
            raise Nacked("no")

    async def queue_declare(self, *_: Any, **__: Any) -> None: ...

    async def close(self) -> None:
        self.closed = True


class FakeConnection:
    """Its first confirming channels refuse everything."""

    def __init__(self, refusing: int) -> None:
        self.server_properties: dict[str, object] = {}
        self.refusing = refusing
        self.confirming: list[FakeChannel] = []

    async def established(self) -> None: ...

    async def channel(self, confirms: bool = False) -> FakeChannel:
        channel = FakeChannel(len(self.confirming) < self.refusing)
        if confirms:
            self.confirming.append(channel)
        return channel


def outbox(connection: FakeConnection) -> Outbox:
    made = Outbox(cast(Connection, connection))
    made._backoff = Backoff(0.001, 0.001)
    return made


def test_what_is_refused_is_sent_again_on_another_channel_for_one_may_ask_a_dead_leader_for_ever() -> None:
    connection = FakeConnection(refusing=2)
    asyncio.run(outbox(connection).put(PARCEL, 10))
    assert [channel.published for channel in connection.confirming] == [1, 1, 1]


def test_a_channel_that_was_left_is_closed_with_the_next_one_so_that_they_do_not_add_up() -> None:
    connection = FakeConnection(refusing=4)
    asyncio.run(outbox(connection).put(PARCEL, 10))
    assert [channel.closed for channel in connection.confirming] == [True, True, True, False, False]


def test_a_broker_that_goes_on_refusing_is_believed() -> None:
    connection = FakeConnection(refusing=1000)
    with pytest.raises(Nacked):
        asyncio.run(outbox(connection).put(PARCEL, 10))
    assert len(connection.confirming) == REFUSED_MAX + 1


def test_while_the_broker_is_away_a_message_waits_as_long_as_it_may_and_not_as_long_as_a_reply(
    broker: Broker, name: str
) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy, await connect(proxy.url, backoff=at_once()) as connection:
            lost = Signal()
            connection.on_lost = lost
            proxy.open_to = False
            proxy.cut()
            await lost.wait()
            connection.timeout_s = 0.01
            parcel = Parcel(name, b"x", BasicProperties())
            sending = [
                asyncio.create_task(Outbox(connection).put(parcel, 60)),
                asyncio.create_task(Outbox(connection).put_many([parcel], 60)),
            ]
            with pytest.raises(WaitTimeout):
                await connection.channel()  # the later one: what began before it would have ended by now
            assert not any(task.done() for task in sending)
            connection.timeout_s = 10
            proxy.open_to = True
            assert await asyncio.gather(*sending) == [None, [None]]
            async with await connection.channel() as channel:
                assert await channel.queue_delete(name) == 2

    run(main())
