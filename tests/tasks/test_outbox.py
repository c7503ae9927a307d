"""What the outbox does when a broker refuses: it asks again, on another channel, and gives up in the end."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from leveret.client import Backoff, BasicProperties, Connection
from leveret.errors import Nacked
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
