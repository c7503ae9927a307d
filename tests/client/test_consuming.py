"""Consuming and settling: the asyncio client against both brokers."""

from __future__ import annotations

import asyncio

import pytest

from brokers import Broker
from client.proxy import Proxy
from client.support import Collector, Signal, acking, run, swift
from client.test_channel import channel_of
from leveret.client import Delivery, connect
from leveret.errors import LeveretError, ProtocolMisuse


def test_plain_and_async_callbacks_take_deliveries_in_order(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with channel_of(broker) as channel:
            await channel.queue_declare(name, exclusive=True)
            plain, waited = acking(), Collector[Delivery]()

            async def take(delivery: Delivery) -> None:
                delivery.ack()
                waited(delivery)

            for callback, collector in ((plain, plain), (take, waited)):
                consumer = await channel.consume(name, callback)
                for number in range(20):
                    await channel.publish(b"%d" % number, routing_key=name)
                assert [one.body for one in await collector.take_many(20)] == [b"%d" % n for n in range(20)]
                await consumer.cancel()
                await consumer.cancel()
            assert await channel.queue_purge(name) == 0

    run(main())


def test_prefetch_holds_back_and_multiple_settles_all(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with channel_of(broker, prefetch=3) as channel:
            await channel.queue_declare(name, exclusive=True)
            for number in range(6):
                await channel.publish(b"%d" % number, routing_key=name)
            taken = Collector[Delivery]()
            await channel.consume(name, taken)
            first = await taken.take_many(3)
            assert (await channel.queue_declare(name, passive=True)).messages == 3
            assert taken.empty
            first[2].ack(multiple=True)
            assert [one.body for one in await taken.take_many(3)] == [b"3", b"4", b"5"]

    run(main())


def test_a_consumer_that_is_given_up_while_it_starts_costs_nobody_the_connection(broker: Broker, name: str) -> None:
    """A channel of RabbitMQ (3.10) may crash on the cancel of a consumer that is just starting."""

    async def main() -> None:
        losses: list[Exception] = []
        async with await connect(broker.url) as connection, await connection.channel() as channel:
            connection.on_lost = losses.append
            await channel.queue_declare(name, exclusive=True)
            for number in range(200):
                starting = asyncio.create_task(channel.consume(name, print))
                for _ in range(number % 20):
                    await asyncio.sleep(0)
                if not starting.cancel():  # it was in time
                    await (await starting).cancel()
            while (await channel.queue_declare(name, passive=True)).consumers:
                pass
            assert not losses

    run(main())


@pytest.mark.parametrize("how", ["nack", "reject"])
def test_what_is_given_back_comes_again_marked(broker: Broker, name: str, how: str) -> None:
    async def main() -> None:
        async with channel_of(broker) as channel:
            await channel.queue_declare(name, exclusive=True)
            await channel.publish(b"x", routing_key=name)
            taken = Collector[Delivery]()
            await channel.consume(name, taken)
            first = await taken.take()
            assert not first.redelivered
            getattr(first, how)(requeue=True)
            second = await taken.take()
            assert second.redelivered
            getattr(second, how)(requeue=False)
            assert (await channel.queue_declare(name, passive=True)).messages == 0

    run(main())


def test_settling_twice_is_refused_before_the_broker_sees_it(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with channel_of(broker) as channel:
            await channel.queue_declare(name, exclusive=True)
            await channel.publish(b"x", routing_key=name)
            delivery = await channel.get(name)
            assert delivery is not None
            delivery.ack()
            with pytest.raises(ProtocolMisuse):
                delivery.ack()
            assert (await channel.queue_declare(name, passive=True)).messages == 0 and not channel.closed

    run(main())


def test_the_broker_cancels_a_consumer_whose_queue_is_deleted(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with channel_of(broker) as channel:
            await channel.queue_declare(name)
            cancelled = Signal()
            consumer = await channel.consume(name, acking())
            consumer.on_cancel = cancelled
            await channel.queue_delete(name)
            await cancelled.wait()
            assert consumer.cancelled and not channel.closed

    run(main())


def test_a_callback_that_raises_leaves_its_message_with_the_broker(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with channel_of(broker) as channel:
            await channel.queue_declare(name, exclusive=True)
            taken = Collector[Delivery]()

            def fail(delivery: Delivery) -> None:
                taken(delivery)
                raise ValueError("no")

            consumer = await channel.consume(name, fail)
            await channel.publish(b"x", routing_key=name)
            await taken.take()
            await consumer.cancel()
            await channel.recover()
            again = await channel.get(name)
            assert again is not None and again.redelivered

    run(main())


def test_an_acknowledgement_of_a_lost_connection_never_reaches_the_new_one(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy, await connect(proxy.url, backoff=swift()) as connection:
            channel = await connection.channel(prefetch=1, confirms=True)
            await channel.queue_declare(name)
            taken, restored = Collector[Delivery](), Signal()
            connection.on_reconnect = restored
            await channel.consume(name, taken)
            await channel.publish(b"x", routing_key=name)
            stale = await taken.take()
            proxy.cut()
            await restored.wait()
            fresh = await taken.take()
            assert stale.lost and not fresh.lost and fresh.redelivered
            with pytest.raises(LeveretError):
                stale.ack()
            assert not channel.closed
            fresh.ack()
            assert await channel.queue_delete(name) == 0

    run(main())
