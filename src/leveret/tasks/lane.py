"""A lane: a queue beside a queue, in which messages of one key wait for their turn, and the ticket that calls them.

    leveret.lane.QUEUE.of.KEY                 the tasks of one tenant
    leveret.lane.QUEUE.concurrency.NAME.KEY   tasks for which a limit had no room
    leveret.lane.QUEUE.rate.NAME.KEY
    leveret.bell.QUEUE.…                      one for each lane: holds one message, and refuses a second

A ticket is a small message in the queue itself that names a lane. A worker that gets it takes one message from the lane, puts
the ticket behind all that waits in the queue, and runs the message: so lanes have one turn each, however much is in them. A
lane in which something is has a ticket. Who puts a message into it rings its bell afterwards: taken means that no ticket was
on its way, and so he sends one; refused means that there is one. The worker that finds a lane empty stills the bell, looks
once more, and lets the ticket go.

After a crash anywhere: what was taken from a lane, or was a ticket, comes back. Who dies between bell and ticket leaves the
bell, which after RING_MS falls into the queue by itself, and is a ticket. Then there may be two; worker/tickets finds that.
Messages fall into the queue after WAIT_MS, and are put back by whoever gets them; lanes that nobody uses expire later than
that, empty. Each process declares a lane anew before that can be. This is their shape; tasks/lanes moves things.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final, Self

from leveret.client import BasicProperties
from leveret.tasks.ladder import AT_LEAST_ONCE, BELL, LANE
from leveret.tasks.limits import named
from leveret.tasks.message import PERSISTENT, TICKET, Message
from leveret.tasks.topology import GIVEN_BACK_MAX, Queue, consumer_arguments

FAIR: Final = "of"
CONCURRENCY: Final = "concurrency"
RATE: Final = "rate"

WAIT_MS: Final = 3600 * 1000
UNUSED_MS: Final = 2 * WAIT_MS
RING_MS: Final = 60 * 1000
DECLARED_S: Final = UNUSED_MS / 4000
"""A process that declared it so long ago does so again."""


class Lane(Queue, frozen=True):
    """`home` is the queue that its messages belong to; `task` and `headers` are its ticket's, for the worker to know the limit."""

    home: str = ""
    task: str = ""
    headers: Mapping[str, object] = {}

    def __hash__(self) -> int:
        return hash(self.name)

    @classmethod
    def of(cls, home: str, kind: str, *words: str, task: str = "", headers: Mapping[str, object] = {}) -> Self:
        return cls(named(LANE, home, kind, *words), home=home, task=task, headers=headers)

    @classmethod
    def named_by(cls, ticket: Message) -> Self:
        return cls(ticket.ticket, home=ticket.queue, task=ticket.task, headers=dict(ticket.headers))

    @property
    def lasting(self) -> bool:
        return False

    @property
    def bell(self) -> str:
        return BELL + self.name.removeprefix(LANE)

    def arguments(self, on_rabbitmq: bool) -> dict[str, Any]:
        quorum = {**AT_LEAST_ONCE, "x-delivery-limit": GIVEN_BACK_MAX} if on_rabbitmq else {}
        return {**self._falling(WAIT_MS), **consumer_arguments(), **quorum}

    def bell_arguments(self) -> dict[str, Any]:
        only = {"x-queue-type": "classic", "x-max-length": 1, "x-overflow": "reject-publish"}
        return {**self._falling(RING_MS), **only}

    def _falling(self, after_ms: int) -> dict[str, Any]:
        return {
            "x-message-ttl": after_ms,
            "x-expires": UNUSED_MS,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.home,
        }

    def ticket(self) -> BasicProperties:
        """Of a new one, which goes to `home`."""
        headers = {**self.headers, TICKET: self.name}
        return BasicProperties(headers=headers, delivery_mode=PERSISTENT, message_id=str(uuid.uuid4()), type=self.task)
