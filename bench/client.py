"""One client consuming and acknowledging everything a queue holds; prints messages per second.

`python -m bench.client {pika,leveret} PORT QUEUE COUNT`. Each measurement is a process of its own, started by
`bench.client_rounds`, so that neither client sees the other's garbage or warmed-up code.
"""

import asyncio
import sys
from time import perf_counter
from typing import Any

import pika  # type: ignore[import-untyped]

PREFETCH = 1000


def consume_with_pika(port: int, queue: str, count: int) -> float:
    """Seconds from the consume to the broker's answer to the close, which it gives after the last ack."""
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=PREFETCH)
    left = count

    def on_delivery(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        nonlocal left
        channel.basic_ack(method.delivery_tag)
        left -= 1
        if not left:
            channel.stop_consuming()

    start = perf_counter()
    channel.basic_consume(queue, on_delivery)
    channel.start_consuming()
    connection.close()
    return perf_counter() - start


async def consume_with_leveret(port: int, queue: str, count: int) -> float:
    """The same with Leveret's asyncio client."""
    from leveret.client import connect

    connection = await connect(f"amqp://guest:guest@127.0.0.1:{port}/%2F")
    channel = await connection.channel(prefetch=PREFETCH)
    drained = asyncio.Event()
    left = count

    def on_delivery(delivery: Any) -> None:
        nonlocal left
        delivery.ack()
        left -= 1
        if not left:
            drained.set()

    start = perf_counter()
    await channel.consume(queue, on_delivery)
    await drained.wait()
    await connection.close()
    return perf_counter() - start


def main(client: str, port: str, queue: str, count: str) -> None:
    if client == "pika":
        took_s = consume_with_pika(int(port), queue, int(count))
    else:
        from leveret.client import run

        took_s = run(consume_with_leveret(int(port), queue, int(count)))
    print(int(count) / took_s)


if __name__ == "__main__":
    main(*sys.argv[1:])
