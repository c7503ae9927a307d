"""Orders: what is said to all workers that are connected just now, over a fanout exchange, and to whom of them it is said.

    cancel    the id of a task, or of a workflow, that was cancelled: see cancelling, which also tells those to come
    look      the name of a queue that was paused or resumed: see pausing. A worker believes the broker, not the order
    do        `quiet`, `resume` or `stop`, to the `workers` that are named as in their beats (events.Beat), or to all

Nothing is kept: a worker that is not connected does not hear it. Used by the senders of orders and by worker/control.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from leveret.client import Connection

CONTROL: Final = "leveret.control"
SEND_S: Final = 30.0

Deed = Literal["quiet", "resume", "stop"]


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """`workers`: None means all of them."""

    cancel: str = ""
    look: str = ""
    do: Deed | None = None
    workers: list[str] | None = None

    def concerns(self, worker: str) -> bool:
        return self.workers is None or worker in self.workers


def read_order(body: bytes) -> Order:
    """msgspec.DecodeError if it is none."""
    return msgspec.json.decode(body, type=Order)


async def tell(connection: Connection, order: Order, timeout_s: float = SEND_S) -> None:
    """Returns when the broker has it. WaitTimeout while it blocks publishers."""
    async with await connection.channel(confirms=True) as channel:
        await channel.exchange_declare(CONTROL, "fanout", durable=True)
        await channel.publish(msgspec.json.encode(order), exchange=CONTROL, timeout_s=timeout_s)


async def quiet_workers(
    connection: Connection, workers: Sequence[str] | None = None, timeout_s: float = SEND_S
) -> None:
    """They take nothing new, and finish what they run. None: all that are connected."""
    await _do(connection, "quiet", workers, timeout_s)


async def resume_workers(
    connection: Connection, workers: Sequence[str] | None = None, timeout_s: float = SEND_S
) -> None:
    """Those that are quiet take tasks again."""
    await _do(connection, "resume", workers, timeout_s)


async def stop_workers(connection: Connection, workers: Sequence[str] | None = None, timeout_s: float = SEND_S) -> None:
    """They stop as by SIGTERM, and their supervisor starts no others in their places."""
    await _do(connection, "stop", workers, timeout_s)


async def _do(connection: Connection, deed: Deed, workers: Sequence[str] | None, timeout_s: float) -> None:
    named = None if workers is None else list(workers)
    await tell(connection, Order(do=deed, workers=named), timeout_s)
