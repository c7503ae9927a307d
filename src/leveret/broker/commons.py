"""What all virtual hosts of a broker share. Made by broker/broker; read by broker/vhost and what lives in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leveret.broker.counts import Churn
from leveret.broker.quotas import Bounds
from leveret.broker.settings import Settings
from leveret.broker.timers import Clock, Timers

if TYPE_CHECKING:
    from leveret.broker.ear import Hear
    from leveret.broker.ids import QueueIds
    from leveret.broker.level import Level
    from leveret.broker.message import Message
    from leveret.broker.notices import Notices
    from leveret.broker.vhost import VirtualHost
    from leveret.store.store import Store


class Commons:
    def __init__(
        self,
        store: Store,
        ids: QueueIds,
        random_name: Callable[[], str],
        consumer_timeout_ms: int,
        bounds: Bounds,
    ) -> None:
        self.store: Final = store
        self.settings: Final = Settings(store)
        self.timers: Final = Timers()
        self.clock: Final = Clock()
        self.ids: Final = ids
        self.random_name: Final = random_name
        self.consumer_timeout_ms: Final = consumer_timeout_ms
        """How long a delivery may be unacknowledged where nothing else is asked for; 0: for ever."""
        self.bounds: Final = bounds
        self.churn: Final = Churn()
        self.vhosts: Final[dict[str, VirtualHost]] = {}
        self.bindings: int = 0
        """How many there are in all virtual hosts."""
        self.notices: Notices | None = None
        """Where it is noted what became of messages that were not simply delivered, if anybody wants to know."""
        self.ears: Final[dict[str, Hear]] = {}
        """By the name of an exchange, in every virtual host: who hears of all that is published there (broker/ear)."""
        self.delivered: dict[int, Level] = {}
        """Levels whose watermark moved in this turn."""

    def go_on(self, call: Callable[[], None]) -> None:
        """Call in a later turn: the next one in which the store keeps up with what the turns before gave it."""
        self.timers.add(self.clock.now + 1, lambda: self.go_on(call) if self.store.crowded else call())

    def given_up(self, message: Message, kind: str, sent_on: bool, reason: str) -> None:
        """A message leaves its queue, of that type, undone: it is counted, and noted."""
        self.churn.died(kind, sent_on, reason)
        if self.notices is not None:
            self.notices.given_up(message, reason)

    def flush_delivered(self) -> None:
        """Watermarks are told to the store once per loop turn."""
        if self.delivered:
            for level in self.delivered.values():
                level.moved = False
                if not level.queue.deleted:
                    self.store.delivered(level.id, level.delivered_to)
            self.delivered.clear()
