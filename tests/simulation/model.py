"""What a work queue promises, in the simplest words: told of everything that publishers and workers see, it raises.

It knows nothing of how the broker works. Held, for every message:
  - one that was confirmed is done, or is still there at the end; none arrives that was not sent
  - it is with one worker at a time, until that settles it or its connection ends
  - an acknowledgement that the broker has handled (a later publish on its channel is confirmed) is for good, crash or not
  - a second delivery says so; a first one does not, unless somebody may have had it
  - the count of deliveries never falls, but for what a crash found not yet on disk; it is none before anything went wrong
  - a worker has no more than its prefetch; a queue with one consumer keeps the order of each publisher
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from simulation.network import Link


class Violation(AssertionError):
    """A promise was broken; the text says which."""


HELD, ACKED, GIVEN_BACK, REJECTED = "held", "acknowledged", "given back", "rejected"


@dataclass
class Hold:
    """A delivery as its worker sees it."""

    message: str
    queue: str
    link: Link
    count: int = 0
    at: int = 0
    state: str = HELD
    certain: bool = False
    """The broker has handled the acknowledgement, and it is on disk."""

    @property
    def life(self) -> int:
        return self.link.life

    @property
    def stands(self) -> bool:
        """Nobody else may have the message."""
        if self.certain:
            return True
        return self.state in (HELD, ACKED) and not self.link.over


@dataclass
class Fate:
    """All that is known of a message."""

    queue: str
    stream: tuple[str, int]
    number: int
    troubles: int
    confirmed: bool = False
    done: bool = False
    holds: list[Hold] = field(default_factory=list)


class Model:
    """`life` counts the broker's; `troubles` whatever may make a broker deliver something again.

    `marked` is called when what a worker published for the purpose, to a queue that nobody reads, is confirmed: all that
    the broker had done before it took that message is on disk. (The confirm of another message may come without a
    commit, if it was acknowledged first.)
    """

    def __init__(self, ordered: str) -> None:
        self.fates: dict[str, Fate] = {}
        self.life = 0
        self.troubles = 0
        self.repeated = 0
        self._clock = 0
        self._safe_until: dict[int, int] = defaultdict(int)
        self._ordered = ordered
        self._last: dict[tuple[str, int], int] = {}
        self._streams: dict[tuple[str, int], int] = defaultdict(int)

    # ---- publishers

    def sent(self, message: str, queue: str, publisher: str, link: Link) -> None:
        stream = publisher, link.number
        self._streams[stream] += 1
        self.fates[message] = Fate(queue, stream, self._streams[stream], self.troubles)

    def confirmed(self, message: str) -> None:
        self.fates[message].confirmed = True

    # ---- workers

    def got(self, hold: Hold, redelivered: bool) -> None:
        """It arrived; whatever is wrong with that is raised."""
        message, queue, count = hold.message, hold.queue, hold.count
        hold.at = self.tick()
        fate = self.fates.get(message)
        if fate is None:
            raise Violation(f"{message} arrived from {queue} and was never sent")
        if queue not in (fate.queue, DEAD):
            raise Violation(f"{message} arrived from {queue} and was sent to {fate.queue}")
        if hold.link.over:
            return  # it was under way when its connection ended: by now it may be with somebody else, or settled
        for earlier in fate.holds:
            if earlier.stands:
                raise Violation(f"{message} arrived on {hold.link} and was {earlier.state} on {earlier.link}")
        before = [earlier for earlier in fate.holds if earlier.queue == queue and earlier.life == hold.life]
        if before and not redelivered:
            raise Violation(f"{message} arrived again on {hold.link}, not marked redelivered")
        if (redelivered or count) and fate.troubles == self.troubles:
            raise Violation(f"{message} arrived first on {hold.link}, redelivered {redelivered}, count {count}")
        for earlier in fate.holds:
            lasts = earlier.life == hold.life or earlier.at < self._safe_until[earlier.life]
            if earlier.queue == queue and earlier.count > count and lasts:
                raise Violation(f"{message} arrived with count {count}, after {earlier.count}")
        if queue == self._ordered and not fate.holds:
            if fate.number < self._last.get(fate.stream, 0):
                raise Violation(f"{message} arrived first, after number {self._last[fate.stream]} of its publisher")
            self._last[fate.stream] = fate.number
        self.repeated += bool(fate.holds)
        fate.holds.append(hold)

    def settled(self, hold: Hold, state: str) -> None:
        """Its worker says so; the broker has yet to hear of it."""
        hold.state = state
        if state == ACKED:
            self.fates[hold.message].done = True
        else:
            self.troubles += 1

    def tick(self) -> int:
        self._clock += 1
        return self._clock

    def marked(self, at: int, life: int, acknowledged: list[Hold]) -> None:
        """A mark, published at `at` behind those acknowledgements on their channel, is confirmed."""
        self._safe_until[life] = max(self._safe_until[life], at)
        for hold in acknowledged:
            hold.certain = True

    # ---- the end

    def check_done(self) -> None:
        """Nothing is left in any queue."""
        lost = [message for message, fate in self.fates.items() if fate.confirmed and not fate.done]
        if lost:
            raise Violation(f"{len(lost)} messages were confirmed and never done: {', '.join(lost[:10])}")

    @property
    def confirmed_count(self) -> int:
        return sum(fate.confirmed for fate in self.fates.values())


DEAD = "dead"
