"""What is gathered for the next commit, and the records it is about.

Compiled: it sees every stored message. A batch is a list of segments; inside one, inserts come before updates before
deletes; whatever must not be passed by them (a queue saved or deleted, a purge) ends the segment. Used by store/store on
the loop's thread only; `prepare` turns it into statements for store/database.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

IDLE: Final = 0  # not in the store
GATHERED: Final = 1  # in the next batch, not yet handed over
COMMITTING: Final = 2  # in the batch that is being committed
DURABLE: Final = 3  # on disk
CANCELLED: Final = 4  # removed before it was written: it never will be
REMOVED: Final = 5  # its deletion is gathered or done

POSITION_BITS: Final = 43
LENGTH_BITS: Final = 31

FEW_ROWS: Final = 8
"""So many are inserted more quickly one by one. More go in one statement, so that the interpreter lock is free meanwhile."""


@mypyc_attr(allow_interpreted_subclasses=True, acyclic=True)
class Record:
    """A stored message. `id` is queue id and position, `expires` ms since the epoch or 0, `deliveries` how often it came
    back; a transient one was only paged out of memory and does not survive a restart.
    """

    def __init__(self, id: int) -> None:
        self.id: Final = id
        self.deliveries: int = 0
        self.expires: int = 0
        self.transient: bool = False
        self.state: int = IDLE

    def encode_into(self, parts: list[bytes]) -> int:
        """Append the octets to keep; how many they are, at least one and always the same for a record."""
        raise NotImplementedError

    def length(self) -> int:
        """What encode_into returns, without doing it."""
        raise NotImplementedError

    def size(self) -> int:
        """What it costs in memory while it waits."""
        raise NotImplementedError

    def on_durable(self) -> None:
        """It is on disk, or need not be any more."""
        raise NotImplementedError


class Segment:
    def __init__(self) -> None:
        self.adds: list[Record] = []
        self.touches: list[Record] = []
        self.removes: list[int] = []


NewRow = tuple[int, int, int, bool, bytes]
"""As it is inserted: id, deliveries, expires, transient and data."""


class Statements:
    """One segment as arguments for SQL: a few rows, or JSON texts (empty: nothing to do) over one blob.

    `plain` maps id to offset and length in `blob`, packed in one number; `full` maps id to [packed, deliveries, expires,
    transient]; `touched` maps id to deliveries; `removed` is a list of ids.
    """

    def __init__(self, rows: list[NewRow], blob: bytes, plain: str, full: str, touched: str, removed: str) -> None:
        self.rows: Final = rows
        self.blob: Final = blob
        self.plain: Final = plain
        self.full: Final = full
        self.touched: Final = touched
        self.removed: Final = removed


class Batch:
    def __init__(self) -> None:
        self.segments: list[Segment] = [Segment()]
        self._last: Segment = self.segments[0]
        # Per queue id: messages and bytes it gains, and the highest position delivered (-1: unchanged).
        self.messages: dict[int, int] = {}
        self.bytes: dict[int, int] = {}
        self.delivered: dict[int, int] = {}
        self.pending_bytes: int = 0
        self.count: int = 0
        self.empty: bool = True
        # Rows that are to be changed or deleted; those that are to be written are in `count`.
        self.changes: int = 0
        # The queues that messages were added to, and how many were acknowledged since the turn before.
        self.queues: set[int] = set()
        self._queue: int = -1
        self.acknowledged: int = 0

    def add(self, record: Record) -> None:
        record.state = GATHERED
        queue = record.id >> POSITION_BITS
        if queue != self._queue:
            self._queue = queue
            self.queues.add(queue)
        self._last.adds.append(record)
        self.pending_bytes += record.size()
        self.count += 1
        self.empty = False

    def cancel(self, record: Record) -> None:
        """A record of this batch is not wanted any more."""
        record.state = CANCELLED
        self.acknowledged += 1
        self.pending_bytes -= record.size()
        self.count -= 1

    def remove(self, record: Record) -> None:
        record.state = REMOVED
        self.acknowledged += 1
        self._last.removes.append(record.id)
        self.changes += 1
        self._account(record.id >> POSITION_BITS, -1, -record.length())
        self.empty = False

    def touch(self, record: Record) -> None:
        self._last.touches.append(record)
        self.changes += 1
        self.empty = False

    def barrier(self) -> int:
        """Nothing added from now on may pass what was added before; the index of the segment that begins."""
        if self._last.adds or self._last.touches or self._last.removes:
            self._last = Segment()
            self.segments.append(self._last)
        self.empty = False
        return len(self.segments) - 1

    def account(self, queue_id: int, messages: int, bytes_: int) -> None:
        self._account(queue_id, messages, bytes_)
        self.empty = False

    def _account(self, queue_id: int, messages: int, bytes_: int) -> None:
        self.messages[queue_id] = self.messages.get(queue_id, 0) + messages
        self.bytes[queue_id] = self.bytes.get(queue_id, 0) + bytes_

    def prepare(self) -> list[Statements]:
        """Hand over: what is not cancelled becomes COMMITTING and is encoded."""
        return [self._encode(segment) for segment in self.segments]

    def _encode(self, segment: Segment) -> Statements:
        adds = [record for record in segment.adds if record.state == GATHERED]
        segment.adds = adds
        few = len(adds) <= FEW_ROWS
        rows = [self._row(record) for record in adds] if few else []
        blob, plain, full = (b"", "", "") if few else self._rows_in_json(adds)
        touched = [f'"{record.id}":{record.deliveries}' for record in segment.touches]
        removed = [str(number) for number in segment.removes]
        return Statements(rows, blob, plain, full, _object(touched), "[" + ",".join(removed) + "]" if removed else "")

    def _row(self, record: Record) -> NewRow:
        parts: list[bytes] = []
        self._encode_into(parts, record)
        return record.id, record.deliveries, record.expires, record.transient, b"".join(parts)

    def _rows_in_json(self, adds: list[Record]) -> tuple[bytes, str, str]:
        """Statements' blob, plain and full."""
        parts: list[bytes] = []
        plain: list[str] = []
        full: list[str] = []
        offset = 0
        for record in adds:
            length = self._encode_into(parts, record)
            packed = offset << LENGTH_BITS | length
            offset += length
            if record.deliveries or record.expires or record.transient:
                transient = 1 if record.transient else 0
                full.append(f'"{record.id}":[{packed},{record.deliveries},{record.expires},{transient}]')
            else:
                plain.append(f'"{record.id}":{packed}')
        return b"".join(parts), _object(plain), _object(full)

    def _encode_into(self, parts: list[bytes], record: Record) -> int:
        """The octets to keep; how many they are."""
        record.state = COMMITTING
        length = record.encode_into(parts)
        self._account(record.id >> POSITION_BITS, 1, length)
        return length

    def durable(self) -> None:
        """The commit succeeded."""
        for segment in self.segments:
            for record in segment.adds:
                if record.state == COMMITTING:
                    record.state = DURABLE
                record.on_durable()


def _object(members: list[str]) -> str:
    return "{" + ",".join(members) + "}" if members else ""
