"""Cancelling a task by its id, on any AMQP broker: one that waits does not begin, one that runs is told.

    leveret.cancelled.ID    a queue that exists once ID was cancelled, with one message in it. Before it begins a task that
                            can be cancelled, a worker asks the broker to delete this queue if it is empty: a queue
                            that is not there is deleted in silence, one with its message in it is not. Nothing is kept
                            in a worker's memory, and nothing is lost with it.

Those that run are told by an order (tasks/orders). Such a queue goes when its task did not run, or else after KEPT_MS. Used by workqueue and the worker.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from leveret.client import BasicProperties, Channel, Connection
from leveret.errors import ChannelError, Unroutable
from leveret.tasks.message import PERSISTENT
from leveret.tasks.orders import Order, tell
from leveret.tasks.topology import PRECONDITION_FAILED

MARK: Final = "leveret.cancelled."
KEPT_MS: Final = 45 * 24 * 3600 * 1000
"""Brokers keep no unused queue longer than 49 days: what is due later is cancelled again when the time is nearer."""

ARGUMENTS: Final[dict[str, Any]] = {
    "x-queue-type": "classic",
    "x-expires": KEPT_MS,
    "x-max-length": 1,
    "x-overflow": "drop-head",
}


async def cancel(connection: Connection, id: str, timeout_s: float) -> None:
    """Returns when the broker keeps it in mind, and all workers that are connected are about to hear of it."""
    async with await connection.channel(confirms=True) as channel:
        while not await _is_marked(channel, id):
            kept = BasicProperties(delivery_mode=PERSISTENT)
            with suppress(Unroutable):
                await channel.publish(
                    id.encode(), routing_key=MARK + id, properties=kept, mandatory=True, timeout_s=timeout_s
                )
    await tell(connection, Order(cancel=id), timeout_s)


async def _is_marked(channel: Channel, id: str) -> bool:
    """If not, there is an empty mark now, which a worker that just asks deletes; a RabbitMQ then confirms what it loses with it."""
    return (await channel.queue_declare(MARK + id, durable=True, arguments=ARGUMENTS)).messages > 0


async def is_cancelled(channel: Channel, id: str) -> bool:
    """If so, the channel is closed by the answer: whoever asked on it too meanwhile has to ask again (ChannelError)."""
    try:
        await channel.queue_delete(MARK + id, if_empty=True)
    except ChannelError as error:
        if error.code != PRECONDITION_FAILED or MARK + id not in error.text:
            raise
        return True
    return False


async def forget(channel: Channel, id: str) -> None:
    """Its task is gone from its queue."""
    await channel.queue_delete(MARK + id)
