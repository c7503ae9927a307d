"""FastStream: a subscriber, a coroutine, acknowledged after it ran. It has no task results and no supervisor of its own.

Reliable: a quorum queue and persistent messages; publisher confirms it has anyway.
"""

import asyncio
from typing import Any

from effect import QUEUE, RELIABLE, SLOTS, URL, work_async
from faststream import FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

broker = RabbitBroker(URL, log_level=30)
queue = RabbitQueue(QUEUE, queue_type=QueueType.QUORUM, durable=True) if RELIABLE else RabbitQueue(QUEUE)


@broker.subscriber(queue, channel=Channel(prefetch_count=SLOTS))
async def task(number: int, sleep_ms: int) -> None:
    await work_async(number, sleep_ms)


async def start() -> None:
    await broker.connect()
    await broker.declare_queue(queue)


async def send(number: int, sleep_ms: int) -> Any:
    await broker.publish({"number": number, "sleep_ms": sleep_ms}, queue=QUEUE, persist=RELIABLE)


async def stop() -> None:
    await broker.stop()


if __name__ == "__main__":
    asyncio.run(FastStream(broker).run(log_level=30))
