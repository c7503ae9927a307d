"""Declaring and publishing: the asyncio client against both brokers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from brokers import Broker
from client.support import run
from leveret.client import BasicProperties, Channel, connect
from leveret.errors import ChannelError, LeveretError, Unroutable


@contextlib.asynccontextmanager
async def channel_of(broker: Broker, prefetch: int | None = None, confirms: bool = True) -> AsyncIterator[Channel]:
    async with await connect(broker.url) as connection:
        yield await connection.channel(prefetch=prefetch, confirms=confirms)


def test_queues_are_declared_bound_purged_and_deleted(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with channel_of(broker) as channel:
            declared = await channel.queue_declare(name, durable=True)
            assert (declared.queue, declared.messages, declared.consumers) == (name, 0, 0)
            await channel.exchange_declare(name + "x", "topic", durable=True)
            await channel.queue_bind(name, name + "x", "a.*")
            await channel.publish(b"1", exchange=name + "x", routing_key="a.b", mandatory=True)
            await channel.queue_unbind(name, name + "x", "a.*")
            with pytest.raises(Unroutable):
                await channel.publish(b"2", exchange=name + "x", routing_key="a.b", mandatory=True)
            assert (await channel.queue_declare(name, passive=True)).messages == 1
            assert await channel.queue_purge(name) == 1
            await channel.exchange_delete(name + "x")
            assert await channel.queue_delete(name) == 0

    run(main())


def test_the_broker_names_a_queue_without_a_name(broker: Broker) -> None:
    async def main() -> None:
        async with channel_of(broker) as channel:
            assert (await channel.queue_declare("", exclusive=True)).queue.startswith("amq.gen-")

    run(main())


def test_exchanges_are_bound_to_each_other(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with channel_of(broker) as channel:
            queue = (await channel.queue_declare("", exclusive=True)).queue
            for exchange in (name + "a", name + "b"):
                await channel.exchange_declare(exchange, "fanout", auto_delete=True)
            await channel.exchange_bind(name + "b", name + "a")
            await channel.queue_bind(queue, name + "b")
            await channel.publish(b"over two", exchange=name + "a", mandatory=True)
            delivery = await channel.get(queue)
            assert delivery is not None and delivery.body == b"over two"
            await channel.exchange_unbind(name + "b", name + "a")

    run(main())


def test_properties_arrive_as_they_were_sent(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with channel_of(broker) as channel:
            await channel.queue_declare(name, exclusive=True)
            sent = BasicProperties(
                delivery_mode=2, content_type="a/b", message_id="id", headers={"n": 1, "t": {"deep": [True, None, "x"]}}
            )
            await channel.publish(b"\x00\xff" * 100_000, routing_key=name, properties=sent)
            delivery = await channel.get(name)
            assert delivery is not None
            assert (delivery.properties, delivery.body) == (sent, b"\x00\xff" * 100_000)
            delivery.ack()
            assert await channel.get(name) is None

    run(main())


@pytest.mark.parametrize("code", [404, 406])
def test_an_error_ends_its_channel_alone_and_has_the_brokers_words(broker: Broker, name: str, code: int) -> None:
    async def main() -> None:
        async with await connect(broker.url) as connection:
            one, other = await connection.channel(), await connection.channel()
            await other.queue_declare(name, exclusive=True)
            with pytest.raises(ChannelError) as caught:
                if code == 404:
                    await one.queue_declare(name + "none", passive=True)
                else:
                    await one.queue_declare(name, exclusive=True, arguments={"x-expires": 9_000})
            assert caught.value.code == code and name in caught.value.text
            assert one.closed and not other.closed
            with pytest.raises(LeveretError):
                await one.queue_declare("", exclusive=True)
            assert (await other.queue_declare(name, exclusive=True)).queue == name

    run(main())


def test_a_publish_to_no_exchange_fails_with_the_channels_error(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with channel_of(broker) as channel:
            with pytest.raises(ChannelError) as caught:
                await channel.publish(b"x", exchange=name)
            assert caught.value.code == 404

    run(main())


def test_thousands_are_published_without_waiting_for_each(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with channel_of(broker) as channel:
            await channel.queue_declare(name, durable=True)
            persistent = BasicProperties(delivery_mode=2)
            confirms = [channel.publish_nowait(b"x", routing_key=name, properties=persistent) for _ in range(5_000)]
            await asyncio.gather(*(confirm for confirm in confirms if confirm is not None))
            assert (await channel.queue_declare(name, passive=True)).messages == 5_000
            await channel.queue_delete(name)

    run(main())


def test_only_what_came_back_is_unroutable(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with channel_of(broker) as channel:
            await channel.queue_declare(name, exclusive=True)
            keys = [name, name + "none"] * 50
            confirms = [channel.publish_nowait(b"x", routing_key=key, mandatory=True) for key in keys]
            outcomes = await asyncio.gather(*(c for c in confirms if c is not None), return_exceptions=True)
            assert [isinstance(outcome, Unroutable) for outcome in outcomes] == [False, True] * 50

    run(main())
