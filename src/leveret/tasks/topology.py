"""Which queues the work queue uses, and how they are declared: here and nowhere else.

Queues are durable and plain, the same on both brokers and the same as the tutorials of RabbitMQ declare them, so that
programs of others may share them. Used by outbox and the worker.
"""

from __future__ import annotations

from typing import Any, Final

from leveret.client import Channel

DEAD: Final = ".dead"
NAME_BYTES_MAX: Final = 255
UNLIMITED_MS: Final = 365 * 24 * 3600 * 1000


def dead_queue(queue: str) -> str:
    """Where messages of `queue` are parked that will not be tried again."""
    return queue + DEAD


async def declare(channel: Channel, queue: str) -> None:
    """ChannelError 406 if the queue exists and is not durable and plain."""
    await channel.queue_declare(queue, durable=True)


def consumer_arguments() -> dict[str, Any]:
    """A task may run for hours: the broker is asked not to call a long silence dead (brokers that cannot, ignore it)."""
    return {"x-consumer-timeout": UNLIMITED_MS}
