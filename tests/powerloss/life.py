"""A broker's life on a recorded disk, and what it promised: started, restarted and ended here, lived by powerloss/acts.

The broker is the real one, with the real store, its thread and the real SQLite; only sockets and the clock are missing.
The store's thread works only while this one waits for it, so that the same seed makes the same trace; reports of a commit
may be left for later, so that the next batch gathers meanwhile as it does in life.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sized
from pathlib import Path
from typing import Final, NamedTuple

from broker.support import World, consume
from leveret.broker.channel import Channel
from leveret.broker.queue import Queue
from leveret.store.database import Database
from powerloss.history import Copy, History, Step, Whereabouts
from powerloss.recorded import Gate, RecordedDatabase, Trace
from powerloss.vfs import Recorder

DIRECTORY: Final = "data"
START_MS: Final = 1_000_000
WINDOW_MESSAGES: Final = 16
PREFETCH: Final = 6
TTL_MS: Final = 400
DELIVERY_LIMIT: Final = 2
LINE: Final = "\ndelayed"
INCARNATION: Final = "x-incarnation"
Opens = Callable[[Path, Trace, Gate], Database]


def dead_to(name: str, **arguments: object) -> dict[str, object]:
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"dead-{name}", **arguments}


DEAD: Final = ("dead-fails", "dead-short", "dead-limited", "dead-counted")
QUEUES: Final[dict[str, dict[str, object]]] = {
    **{name: {} for name in (*DEAD, "plain", "paged", "late", "left", "right", "doomed")},
    "ranked": {"x-max-priority": 3},
    "fails": dead_to("fails"),
    "short": dead_to("short", **{"x-message-ttl": TTL_MS}),
    "limited": dead_to("limited", **{"x-max-length": 12}),
    "counted": dead_to("counted", **{"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}),
}
CONSUMED: Final = ("plain", "paged", "ranked", "late", "left", "fails", "limited", "counted", *DEAD)


class Held(NamedTuple):
    """A delivery that is not settled; a transient message is nobody's copy."""

    channel: Channel
    tag: int
    queue: str
    copy: Copy | None


def place_of(name: str, incarnation: object) -> str:
    return f"{name} {incarnation}"


class Life:
    """Below `recorder.root`; `opens` is for tests that plant a defect."""

    def __init__(self, recorder: Recorder, opens: Opens = RecordedDatabase) -> None:
        self.trace: Final = Trace(recorder)
        self._opens: Final = opens
        self.now_ms = START_MS
        self.whereabouts: Final = Whereabouts()
        self._incarnations: Final[dict[str, int]] = {}
        self._start()
        self._declare_all()

    # ---- starting and stopping

    def _start(self) -> None:
        self._gate = Gate()
        self._gone = 0
        self._calls: deque[Callable[[], None]] = deque()
        directory = Path(self.trace.recorder.root) / DIRECTORY
        self.world = World(directory, open_database=lambda path: self._opens(path, self.trace, self._gate))
        self.store = self.world.store
        self.broker = self.world.broker
        self.vhost = self.broker.vhosts["/"]
        self.broker.at(self.now_ms)
        self.client = self.world.client()
        self.publisher = self.client.channel(1, confirms=True)
        self.waiting: dict[int, list[Step]] = {}
        self.unacked: list[Held] = []
        self._seen = 0

    def _declare_all(self) -> None:
        for name in QUEUES:
            self.declare(name)
        self.vhost.declare_exchange("fan", "fanout", True, False, False, {})
        self.vhost.declare_exchange("delayed", "x-delayed-message", True, False, False, {"x-delayed-type": "direct"})
        self.promise(self.ask_named(f"exchange {name}", "there") for name in ("fan", "delayed"))
        for exchange, name in (("fan", "left"), ("fan", "right"), ("delayed", "late")):
            self.vhost.bind(exchange, self.vhost.queues[name], name, {})
            self.promise([self.ask_named(f"binding {exchange} {name}", "there")])
        self.settle()
        self._consume_all()

    def declare(self, name: str) -> Queue:
        """A queue of that name that is not an earlier one."""
        incarnation = self._incarnations[name] = self._incarnations.get(name, 0) + 1
        step = self.ask_named(f"queue {name}", str(incarnation))
        arguments = {**QUEUES[name], INCARNATION: incarnation}
        queue = self.vhost.declare_queue(name, True, False, False, arguments, self.client)
        self.promise([step])
        return queue

    def place(self, name: str) -> str:
        """The queue of that name as it is now, or the line of the delayed exchange."""
        return name if name == LINE else place_of(name, self._incarnations[name])

    def _consume_all(self) -> None:
        self.vhost.queues["paged"].first._window_messages = WINDOW_MESSAGES
        for number, name in enumerate(CONSUMED, start=2):
            consume(self.client.channel(number), self.vhost.queues[name], PREFETCH)
        self.look()

    def restart(self) -> None:
        """An orderly end, and a new beginning over the same files."""
        self.end()
        self._start()
        self.settle()
        self._consume_all()

    def end(self) -> None:
        self.finish_slices()
        self.store.close()
        self.confirmed(self.here())

    # ---- the store's thread

    def turn(self) -> None:
        """The end of a turn: what was gathered is handed over and committed; its report waits."""
        if self.store._committing is None:
            self.broker.flush()
            self._await_commit()

    def _await_commit(self) -> None:
        if self.store._committing is None:
            return
        if self._gone:
            self._let_slice()  # the thread stands at the gate, and looks for work only behind it
        self._calls.append(self.world.calls.get(timeout=20))

    def report(self) -> None:
        """What the thread reported comes in; the next batch is handed over and committed."""
        if self._calls:
            here = self.here()  # while the report comes in, the thread may be at the next batch already
            self._calls.popleft()()
            self.confirmed(here)
            self.look()
            self._await_commit()

    def settle(self) -> None:
        self.turn()
        while self._calls:
            self.report()
            self.turn()
        if self.world.failures:
            raise self.world.failures[0]

    def _let_slice(self) -> None:
        if self._gate.let_one():
            self._gone -= 1
            self.world.calls.get(timeout=20)()
        if self._gone:
            self._gate.await_arrival()

    def finish_slices(self) -> None:
        self.settle()
        while self._gone:
            self._let_slice()

    def strike_off(self, act: Callable[[], None]) -> None:
        """`act` deletes a queue or purges one: nothing else may be gathered, and the thread is then at the gate."""
        self.finish_slices()
        act()
        self.settle()
        self._gone = len(self._ranges_gone())
        if self._gone:
            self._gate.await_arrival()

    def _ranges_gone(self) -> Sized:
        committer = self.store._committer
        return () if committer is None else committer._gone

    # ---- promises

    def here(self) -> int:
        return self.trace.recorder.now()

    def ask_named(self, name: str, value: str) -> Step:
        return self.trace.named.setdefault(name, History()).ask(value, self.here())

    def promise(self, steps: Iterable[Step]) -> None:
        """They count as promised as soon as the store reports that all asked for so far is on disk."""
        kept = list(steps)

        def promised() -> None:
            for step in kept:
                step.promised = self.here()

        self.store.after_commit(promised)

    def confirmed(self, here: int) -> None:
        confirms = self.publisher.confirms
        if confirms is not None:
            _, upto, singles = confirms.take()
            for sequence in [number for number in self.waiting if number <= upto] + singles:
                for step in self.waiting.pop(sequence, []):
                    step.promised = here

    def look(self) -> None:
        """What consumers were given since: for these it is known where they are."""
        for number, tag, _, body in self.client.got[self._seen :]:
            name = CONSUMED[number - 2]
            copy = self.whereabouts.seen(self.place(name), body)
            self.unacked.append(Held(self.client.channels[number], tag, name, copy))
        self._seen = len(self.client.got)
