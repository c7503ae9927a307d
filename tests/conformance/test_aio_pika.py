"""A second client, aio-pika: the common ways of work, and the floats that pika cannot send.

rabbitmq.com/client-libraries/devtools names it; its own documentation says what it expects of a broker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import aiormq.exceptions
import pytest
from aio_pika.abc import AbstractChannel

from brokers import Broker

Work = Callable[[AbstractChannel], Awaitable[None]]
WITHIN_S = 60


@asynccontextmanager
async def channel_to(url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(url)
    async with connection:
        yield await connection.channel(on_return_raises=True)


def run(broker: Broker, work: Work) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WITHIN_S), channel_to(broker.url) as channel:
            await work(channel)

    asyncio.run(bounded())


def test_publish_and_consume(broker: Broker, name: str) -> None:
    async def work(channel: AbstractChannel) -> None:
        queue = await channel.declare_queue(name, durable=True)
        await channel.set_qos(prefetch_count=10)
        for number in range(100):
            sent = aio_pika.Message(b"%d" % number, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(sent, name)
        got = []
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    got.append(message.body)
                if len(got) == 100:
                    break
        assert got == [b"%d" % number for number in range(100)]

    run(broker, work)


def test_many_publishes_at_once_are_all_confirmed(broker: Broker, name: str) -> None:
    async def work(channel: AbstractChannel) -> None:
        await channel.declare_queue(name)
        publishes = [channel.default_exchange.publish(aio_pika.Message(b"x"), name) for _ in range(500)]
        await asyncio.gather(*publishes)
        again = await channel.declare_queue(name, passive=True)
        assert again.declaration_result.message_count == 500

    run(broker, work)


@pytest.mark.parametrize("value", [1.5, -0.25], ids=repr)
def test_floats_in_headers_arrive_unchanged(broker: Broker, name: str, value: float) -> None:
    async def work(channel: AbstractChannel) -> None:
        queue = await channel.declare_queue(name)
        await channel.default_exchange.publish(aio_pika.Message(b"", headers={"v": value}), name)
        assert (await queue.get(timeout=WITHIN_S)).headers["v"] == value

    run(broker, work)


def test_an_unroutable_mandatory_publish_raises(broker: Broker, name: str) -> None:
    async def work(channel: AbstractChannel) -> None:
        with pytest.raises(aiormq.exceptions.PublishError):
            await channel.default_exchange.publish(aio_pika.Message(b"x"), name, mandatory=True)

    run(broker, work)


def test_a_refused_declaration_raises_and_the_connection_lives(broker: Broker, name: str) -> None:
    async def work(channel: AbstractChannel) -> None:
        with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity):
            await channel.declare_queue(name, passive=True)
        await channel.reopen()
        assert (await channel.declare_queue(name)).name == name

    run(broker, work)


def test_rpc_through_exclusive_callback_queues(broker: Broker, name: str) -> None:
    async def work(channel: AbstractChannel) -> None:
        rpc = await aio_pika.patterns.RPC.create(channel)

        async def double(*, number: int) -> int:
            return number * 2

        await rpc.register(name, double, auto_delete=True)
        answers: list[Any] = await asyncio.gather(*(rpc.call(name, {"number": n}) for n in range(20)))
        assert answers == [n * 2 for n in range(20)]
        await rpc.close()

    run(broker, work)
