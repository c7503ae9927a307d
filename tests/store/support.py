"""A loop without a clock, and a record that counts its reports: what every test of the store needs."""

import queue
from collections.abc import Callable
from pathlib import Path

from leveret.store.batch import POSITION_BITS, Record
from leveret.store.database import Database, Row
from leveret.store.store import Store

WAIT_S = 60.0


class Message(Record):
    def __init__(self, queue_id: int, position: int, data: bytes = b"x") -> None:
        super().__init__(queue_id << POSITION_BITS | position)
        self.data = data
        self.reports = 0

    def encode_into(self, parts: list[bytes]) -> int:
        parts.append(self.data)
        return len(self.data)

    def length(self) -> int:
        return len(self.data)

    def size(self) -> int:
        return len(self.data)

    def on_durable(self) -> None:
        self.reports += 1


class Bench:
    """A store and the loop it reports to; `until` runs that loop."""

    def __init__(self, directory: Path | None, open_database: Callable[[Path], Database] = Database) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.errors: list[BaseException] = []
        self.store = Store(directory, self.calls.put, self.errors.append, open_database)
        self.recovered = self.store.recover()
        self.store.start()

    def until(self, done: Callable[[], object]) -> None:
        while not done():
            self.store.flush_soon(0)
            self.calls.get(timeout=WAIT_S)()

    def settle(self) -> None:
        self.until(lambda: self.store.pending_count == 0)

    def commit(self) -> None:
        """Whatever was asked for is on disk."""
        done: list[bool] = []
        self.store.after_commit(lambda: done.append(True))
        self.until(lambda: done)

    def add(self, *messages: Message) -> None:
        for message in messages:
            self.store.add(message)

    def load(self, queue_id: int, first: int = 0, count: int = 10_000, octets: int = 1 << 40) -> list[Row]:
        found: list[list[Row]] = []
        self.store.load(queue_id, first, count, octets, found.append)
        self.until(lambda: found)
        return found[0]

    def positions(self, queue_id: int, first: int = 0, count: int = 10_000) -> list[int]:
        return [row.position for row in self.load(queue_id, first, count)]
