"""The ladder by which a delayed message comes down to its queue, on any AMQP broker: no plugin, and nothing held by a worker.

A delay is a number of tenths of a second, written in binary. Each digit has a rung: a queue that keeps a message for what the
digit is worth, and an exchange before it. What has a 1 in this place goes into the queue and then to the next rung, what has
a 0 to the next rung at once. All messages of a rung wait equally long, so none ever waits behind another.

    leveret.delay.N         rung N, 2**N tenths: a topic exchange, and a queue of that name
    leveret.delayed         below the last rung: a topic exchange, bound to each queue that something was delayed for
    leveret.undelivered     a queue for what came down and whose own queue is gone
    routing key             the digits of all rungs, the highest first, then the name of the queue as one word

A delay longer than the ladder is high is served in several rounds: the header x-leveret-wait says, in ms, what is left
after this one. On RabbitMQ the rungs are quorum queues that hand on at least once: its classic queues lose what they are
handing on when the broker dies. Used by outbox; the worker sends round again what has to wait longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from leveret.client import Channel
from leveret.errors import TaskError

UNIT_MS: Final = 100
RUNGS: Final = 26
"""The highest keeps a message for 39 days; RabbitMQ takes no TTL above 49."""

HIGHEST_MS: Final = ((1 << RUNGS) - 1) * UNIT_MS
RUNG: Final = "leveret.delay."
OUT: Final = "leveret.delayed"
LANE: Final = "leveret.lane."
BELL: Final = "leveret.bell."
UNDELIVERED: Final = "leveret.undelivered"
WAIT: Final = "x-leveret-wait"
DEATHS: Final = ("x-first-death-", "x-last-death-")
KEY_BYTES_MAX: Final = 255

IF_NOWHERE: Final[dict[str, Any]] = {"alternate-exchange": UNDELIVERED}
AT_LEAST_ONCE: Final[dict[str, Any]] = {
    "x-queue-type": "quorum",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


def rung(number: int) -> str:
    """Its exchange and its queue; below the lowest is the way out."""
    return f"{RUNG}{number}" if number >= 0 else OUT


class Descent(msgspec.Struct, frozen=True):
    """Where a message is to be published that is to be in its queue `delay_ms` from now; `left_ms` are for another round."""

    rung: int
    routing_key: str
    left_ms: int


def descent(queue: str, delay_ms: int) -> Descent:
    """TaskError if the queue's name leaves no room for the digits. `delay_ms` is rounded up, and above 0."""
    tenths = min(-(-delay_ms // UNIT_MS), (1 << RUNGS) - 1)
    digits = ".".join(f"{tenths:0{RUNGS}b}")
    key = f"{digits}.{word(queue)}"
    if len(key) > KEY_BYTES_MAX:
        most = KEY_BYTES_MAX - len(digits) - 1
        raise TaskError(f"queue {queue!r}: nothing can be delayed for a queue whose name takes more than {most} octets")
    return Descent(tenths.bit_length() - 1, key, max(0, delay_ms - HIGHEST_MS))


def word(queue: str) -> str:
    """One word of a routing key, without what a topic exchange takes for a sign."""
    return quote(queue, safe="").replace(".", "%2E")


def without_descent(headers: Mapping[str, Any]) -> dict[str, Any]:
    """What brokers write into a message on its way down is nobody's concern; RabbitMQ drops what seems to go in circles."""
    deaths = headers.get("x-death")
    kept = {name: value for name, value in headers.items() if name != WAIT and not _of_a_rung(headers, name)}
    if isinstance(deaths, list):
        kept["x-death"] = [death for death in deaths if not _is_ours(death.get("queue"))]
        if not kept["x-death"]:
            del kept["x-death"]
    return kept


def _of_a_rung(headers: Mapping[str, Any], name: str) -> bool:
    """Whether the header is one of x-first-death-… or x-last-death-…, and tells of a rung or a lane."""
    return any(name.startswith(kind) and _is_ours(headers.get(f"{kind}queue")) for kind in DEATHS)


def _is_ours(queue: object) -> bool:
    return isinstance(queue, str) and queue.startswith((RUNG, LANE, BELL))


def fell_from(headers: Mapping[str, Any], queue: str) -> bool:
    """Whether the message came down from that queue."""
    deaths = headers.get("x-death")
    return isinstance(deaths, list) and any(isinstance(one, dict) and one.get("queue") == queue for one in deaths)


async def declare_ladder(channel: Channel, height: int, on_rabbitmq: bool) -> None:
    """All rungs up to `height`, and what is below them. Safe to do again."""
    await channel.exchange_declare(UNDELIVERED, "fanout", durable=True)
    await channel.queue_declare(UNDELIVERED, durable=True)
    await channel.queue_bind(UNDELIVERED, UNDELIVERED)
    await channel.exchange_declare(OUT, "topic", durable=True, arguments=IF_NOWHERE)
    for number in range(height + 1):
        await _declare_rung(channel, number, AT_LEAST_ONCE if on_rabbitmq else {})


async def _declare_rung(channel: Channel, number: int, more: dict[str, Any]) -> None:
    name, below = rung(number), rung(number - 1)
    before = "*." * (RUNGS - 1 - number)
    await channel.exchange_declare(name, "topic", durable=True, arguments=IF_NOWHERE)
    arguments = {"x-message-ttl": UNIT_MS << number, "x-dead-letter-exchange": below, **more}
    await channel.queue_declare(name, durable=True, arguments=arguments)
    await channel.queue_bind(name, name, f"{before}1.#")
    await channel.exchange_bind(below, name, f"{before}0.#")


async def bind_queue(channel: Channel, queue: str) -> None:
    """To the foot of the ladder, which is there."""
    await channel.queue_bind(queue, OUT, "*." * RUNGS + word(queue))
