"""Publisher and worker on Leveret's client: many publishes under way at a time, deliveries noted as they arrive.

A lost connection is not replaced by the client but here, so that each line tells which connection it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from crash.layout import END, ENDS, PREFETCH, SENT_TO, marks_of
from crash.pace import ACKS_BETWEEN_MARKS, RETRY_S, burst, rest_s, work_s
from crash.records import Sheet, body_of, message_of
from leveret.client import BasicProperties, Channel, Delivery, connect
from leveret.errors import LeveretError, Nacked

PERSISTENT = BasicProperties(delivery_mode=2)


def publish(port: int, sheet: Sheet, random: Random) -> None:
    asyncio.run(_again(port, sheet, lambda channel, link: _publish(channel, link, sheet, random)))


def work(port: int, queue: str, sheet: Sheet, random: Random) -> None:
    asyncio.run(_again(port, sheet, lambda channel, link: _work(channel, link, queue, sheet, random)))


async def _again(port: int, sheet: Sheet, live: Callable[[Channel, str], Awaitable[None]]) -> None:
    """One connection after the other, for ever."""
    number = 0
    while True:
        number += 1
        link = f"{sheet.name}-{number}"
        sheet.write("opening", link)
        try:
            async with await connect(f"amqp://guest:guest@127.0.0.1:{port}/", reconnect=False) as connection:
                channel = await connection.channel(prefetch=PREFETCH, confirms=True)
                sheet.write("opened", link)
                await live(channel, link)
        except (LeveretError, OSError) as error:
            sheet.write("lost", link, type(error).__name__)
            await asyncio.sleep(RETRY_S)


async def _publish(channel: Channel, link: str, sheet: Sheet, random: Random) -> None:
    number = 0
    while True:
        for _ in range(burst(random)):
            number += 1
            message, queue = f"{link}:{number}", random.choice(SENT_TO)
            sheet.write("sent", message, queue)
            confirm = channel.publish_nowait(body_of(message), routing_key=queue, properties=PERSISTENT)
            assert confirm is not None
            confirm.add_done_callback(lambda future, message=message: _settled(sheet, message, future))
        await channel.drain()
        await asyncio.sleep(rest_s(random))


def _settled(sheet: Sheet, message: str, confirm: asyncio.Future[None]) -> None:
    error = None if confirm.cancelled() else confirm.exception()
    if isinstance(error, Nacked):
        sheet.write("refused", message)
    elif error is None and not confirm.cancelled():
        sheet.write("confirmed", message)


async def _work(channel: Channel, link: str, queue: str, sheet: Sheet, random: Random) -> None:
    arrived: asyncio.Queue[tuple[Delivery, str] | Exception] = asyncio.Queue()

    def arrive(delivery: Delivery) -> None:
        message = "" if delivery.body == END else message_of(delivery.body)
        if message:
            count = (delivery.properties.headers or {}).get("x-delivery-count", 0)
            sheet.write("got", link, message, queue, int(delivery.redelivered), count)
        arrived.put_nowait((delivery, message))

    await channel.consume(queue, arrive, on_close=arrived.put_nowait)
    left = random.randint(1, ACKS_BETWEEN_MARKS)
    while True:
        item = await arrived.get()
        if isinstance(item, Exception):
            raise item
        delivery, message = item
        if not message:
            await channel.publish(queue.encode(), routing_key=ENDS, properties=PERSISTENT)
            delivery.ack()
            continue
        sheet.write("start", link, message)
        await asyncio.sleep(work_s(random))
        sheet.write("done", link, message)
        delivery.ack()
        sheet.write("ack", link, message)
        left -= 1
        if not left:
            left = random.randint(1, ACKS_BETWEEN_MARKS)
            sheet.write("marking", link)
            await channel.publish(link.encode(), routing_key=marks_of(sheet.name), properties=PERSISTENT)
            sheet.write("marked", link)
