"""What is counted of messages on their way through channels, and of what comes and goes. Only management reads it.

A channel has its own `Counts`; those of closed channels are added to their virtual host's, whose sums so never fall.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from leveret.broker.queue import Queue


class Counts:
    """In RabbitMQ's sense: `delivered` are all that went out, `no_ack` and `got…` the parts of them that these names say."""

    def __init__(self) -> None:
        self.published: int = 0
        self.confirmed: int = 0
        self.returned: int = 0
        self.dropped: int = 0
        self.delivered: int = 0
        self.no_ack: int = 0
        self.got: int = 0
        self.got_no_ack: int = 0
        self.got_empty: int = 0
        self.redelivered: int = 0
        self.acknowledged: int = 0
        # Of queues: messages given to the store, and read from it.
        self.written: int = 0
        self.read: int = 0

    def add(self, other: Counts) -> None:
        self.published += other.published
        self.confirmed += other.confirmed
        self.returned += other.returned
        self.dropped += other.dropped
        self.delivered += other.delivered
        self.no_ack += other.no_ack
        self.got += other.got
        self.got_no_ack += other.got_no_ack
        self.got_empty += other.got_empty
        self.redelivered += other.redelivered
        self.acknowledged += other.acknowledged
        self.written += other.written
        self.read += other.read


def counted(queue: Queue) -> Counts:
    """A queue's counts, with those that it has at hand itself."""
    counts = queue.counts
    counts.published, counts.delivered, counts.acknowledged = queue.published, queue.delivered, queue.acknowledged
    return counts


class Churn:
    """How many came and went since the broker started."""

    def __init__(self) -> None:
        self.connections_created: int = 0
        self.connections_closed: int = 0
        self.channels_created: int = 0
        self.channels_closed: int = 0
        self.queues_declared: int = 0
        self.queues_created: int = 0
        self.queues_deleted: int = 0
        # Of virtual hosts that are deleted, with the traffic on their connections; and of queues, by their type.
        self.past: Final = Counts()
        self.past_traffic: Final = [0, 0, 0, 0]
        self.gone: Final[dict[str, Counts]] = {}
        # By the type of the queue, what becomes of its dead letters, and the reason.
        self.dead: Final[dict[tuple[str, str, str], int]] = {}
        # By protocol.
        self.logins: Final[dict[str, int]] = {}
        self.logins_failed: Final[dict[str, int]] = {}

    def left(self, kind: str, queue: Queue) -> None:
        """A queue of that type was deleted."""
        self.queues_deleted += 1
        if kind not in self.gone:
            self.gone[kind] = Counts()
        self.gone[kind].add(counted(queue))

    def died(self, kind: str, sent_on: bool, reason: str) -> None:
        """A message left its queue undone."""
        key = (kind, "at_most_once" if sent_on else "disabled", reason)
        self.dead[key] = self.dead.get(key, 0) + 1

    def tried(self, protocol: str, successful: bool) -> None:
        """Somebody said who they are."""
        self.logins[protocol] = self.logins.get(protocol, 0) + 1
        if not successful:
            self.logins_failed[protocol] = self.logins_failed.get(protocol, 0) + 1
