"""Confirms come although the broker may wait a moment for consumers to spare it the disk."""

from __future__ import annotations

import asyncio

from brokers import Broker
from leveret.client import BasicProperties, Delivery, connect, looping

COUNT = 2_000
ACKNOWLEDGED = 50
WAIT_S = 60.0


def test_consumers_that_stop_acknowledging_do_not_keep_a_publisher_waiting(broker: Broker, name: str) -> None:
    async def main() -> int:
        async with await connect(broker.url) as connection:
            consuming, publishing = await connection.channel(prefetch=10), await connection.channel(confirms=True)
            await consuming.queue_declare(name, durable=True)
            taken: list[Delivery] = []

            def take(delivery: Delivery) -> None:
                taken.append(delivery)
                if len(taken) <= ACKNOWLEDGED:
                    delivery.ack()

            await consuming.consume(name, take)
            persistent = BasicProperties(delivery_mode=2)
            confirms = [publishing.publish_nowait(b"x", routing_key=name, properties=persistent) for _ in range(COUNT)]
            confirmed = await asyncio.wait_for(asyncio.gather(*(one for one in confirms if one is not None)), WAIT_S)
            await consuming.queue_delete(name)
            return len(confirmed)

    assert looping.run(main()) == COUNT
