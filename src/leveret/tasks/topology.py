"""Which queues the work queue uses, and how they are declared: here and nowhere else.

All are durable. On RabbitMQ they are quorum queues, which survive the loss of a node; the embedded broker has its messages on
disk as it is. A queue that is there already is taken as it was declared, if it is durable, so that programs of others
may share it. Used by outbox and the worker.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any, Final

import msgspec

from leveret.client import Connection
from leveret.errors import ChannelError, LeveretError, TaskError

log = logging.getLogger("leveret.tasks")

DEAD: Final = ".dead"
SCHEDULER: Final = "leveret.scheduler."
GROUP: Final = "leveret.group."
GROUP_KEPT_MS: Final = 45 * 24 * 3600 * 1000
"""So long a group may take. Brokers keep no queue longer than 49 days that nobody consumes."""

NAME_BYTES_MAX: Final = 255
UNLIMITED_MS: Final = 365 * 24 * 3600 * 1000
PRIORITIES_MAX: Final = 255
RABBITMQ: Final = "RabbitMQ"
PRECONDITION_FAILED: Final = 406
OWN_ARGUMENT: Final = "inequivalent arg 'x-"
"""How a broker begins to tell that a queue has other arguments than were asked for; `durable` is no argument."""

GIVEN_BACK_MAX: Final = 1000
"""Quorum queues of RabbitMQ count what is only given back, too; the limit of 20 that it sets by itself would lose tasks."""


class Queue(msgspec.Struct, frozen=True):
    """What a program says of one of its queues.

    `priorities`: how many it knows; a message with a higher one goes before those with lower ones. `weight`: how many of
    its tasks a worker with several queues runs for each one of a queue of weight 1, while both have some. `shared`: other
    programs declare it as RabbitMQ's tutorials do. `single_active`: one of its consumers at a time gets anything.
    `group`: it belongs to one group of a workflow, and goes with that.
    """

    name: str
    priorities: int = 0
    weight: int = 1
    shared: bool = False
    single_active: bool = False
    group: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.priorities <= PRIORITIES_MAX:
            raise TaskError(f"queue {self.name!r}: priorities={self.priorities}, expected 0 to {PRIORITIES_MAX}")
        if self.weight < 1:
            raise TaskError(f"queue {self.name!r}: weight={self.weight}, expected 1 or more")

    @property
    def lasting(self) -> bool:
        """Whether a connection declares it again when it replaces a lost one: not where it is one of very many."""
        return not self.group

    def arguments(self, on_rabbitmq: bool) -> dict[str, Any]:
        if self.priorities:  # RabbitMQ's quorum queues have none
            return {"x-max-priority": self.priorities}
        single: dict[str, Any] = {"x-single-active-consumer": True} if self.single_active else {}
        if self.group:
            single |= {"x-expires": GROUP_KEPT_MS}
        if not on_rabbitmq or self.shared:
            return single
        if self.group:
            return {"x-queue-type": "quorum", "x-delivery-limit": GIVEN_BACK_MAX, **single}
        dead = {} if self.name.endswith(DEAD) else {**FOR_POISON, "x-dead-letter-routing-key": dead_queue(self.name)}
        return {"x-queue-type": "quorum", "x-delivery-limit": GIVEN_BACK_MAX, **dead, **single}


FOR_POISON: Final[dict[str, Any]] = {
    "x-dead-letter-exchange": "",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


def dead_queue(queue: str) -> str:
    """Where messages of `queue` are parked that will not be tried again."""
    return queue + DEAD


def is_rabbitmq(connection: Connection) -> bool:
    return connection.server_properties.get("product") == RABBITMQ


async def declare(connection: Connection, queue: Queue) -> None:
    """On a channel for this alone: a refusal ends the channel. ChannelError 406 if the queue is there and not durable."""
    try:
        await _declared(connection, queue, queue.arguments(is_rabbitmq(connection)))
    except ChannelError as error:
        if error.code != PRECONDITION_FAILED or OWN_ARGUMENT not in error.text:
            raise
        log.debug("queue %r is used as it was declared by others: %s", queue.name, error.text)
        if queue.priorities:
            log.warning("queue %r was declared otherwise: priorities have no effect on it: %s", queue.name, error.text)


async def _declared(connection: Connection, queue: Queue, arguments: dict[str, Any]) -> None:
    channel = await connection.channel()
    try:
        await channel.queue_declare(queue.name, durable=True, arguments=arguments, remember=queue.lasting)
    finally:
        with suppress(LeveretError):  # closed by the refusal
            await channel.close()


def consumer_arguments() -> dict[str, Any]:
    """A task may run for hours: the broker is asked not to call a long silence dead (brokers that cannot, ignore it). For queues
    from which messages are fetched it is an argument of the queue."""
    return {"x-consumer-timeout": UNLIMITED_MS}
