"""A transactional outbox with SQLAlchemy 2: what is sent inside a transaction is sent if it commits, and only then.

    outbox = Outbox(work, Base.metadata)            # its table is one of yours, made with the others

    with Session(engine) as session, session.begin():
        session.add(order)
        outbox.send(session, confirm.call(order.id))

    with outbox.relaying(engine): ...               # somewhere: in the program, or a process of its own

The row is written in the program's transaction, and a relay sends it afterwards, at least once (contrib/relay tells the
states after a crash). See docs/outbox.md.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    event,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from leveret.contrib.relay import (
    EVERY_S,
    LEASE_S,
    LIMIT,
    Bell,
    Result,
    Row,
    due_ms,
    now_ms,
    publish,
    relay,
    with_id,
    written,
)
from leveret.errors import LeveretError
from leveret.tasks import Call, Sent, WorkQueue

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

SKIPS_LOCKED: Final = frozenset({"postgresql", "mysql", "mariadb", "oracle"})
"""Databases on which relays can work side by side, each on rows that it has locked. On others one works at a time."""

NAME: Final = "leveret_outbox"
T = TypeVar("T")


def make_table(name: str, metadata: MetaData) -> Table:
    return Table(
        name,
        metadata,
        Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("id", String(255), nullable=False),  # the message's; task and queue are there to be looked at
        Column("task", String(255), nullable=False),
        Column("queue", String(255), nullable=False),
        Column("call", LargeBinary, nullable=False),
        Column("due_ms", BigInteger, nullable=False, default=0),
        Column("tries", Integer, nullable=False, default=0),
        Column("held_until_ms", BigInteger, nullable=False, default=0),  # not before; by whom: a relay at work
        Column("holder", String(36), nullable=False, default=""),
        sqlite_autoincrement=True,
    )


class Outbox:
    """`metadata` gets the outbox's table, named `table`, to be created and migrated with the others there.

    `now` is the time in ms since the epoch, for tests.
    """

    def __init__(
        self,
        work: WorkQueue,
        metadata: MetaData | None = None,
        *,
        table: str = NAME,
        lease_s: float = LEASE_S,
        now: Callable[[], int] = now_ms,
    ) -> None:
        self.work = work
        self.table = make_table(table, metadata if metadata is not None else MetaData())
        self.bell = Bell()
        self._lease_ms = int(lease_s * 1000)
        self._now = now
        self._mark = f"leveret {table}"

    # ---- in the program's transaction

    def send(self, session: Session | Connection, call: Call[T]) -> Sent[T]:
        """Have it sent once this transaction is committed. `session` may be a Connection, too.

        After the commit of a Session a relay in this process begins at once; others look every second. TaskError: it asks
        for a result, or for a priority that its queue does not know.
        """
        call = self._checked(call)
        session.execute(self._insert(call))
        if isinstance(session, Session):
            self._ring_after(session)
        return Sent(call.id, call.task.name, call.queue, None, self.work.cancel, self.work.cancel_async)

    async def send_async(self, session: AsyncSession | AsyncConnection, call: Call[T]) -> Sent[T]:
        """As `send`, for SQLAlchemy's asyncio."""
        call = self._checked(call)
        await session.execute(self._insert(call))
        sync = getattr(session, "sync_session", None)
        if isinstance(sync, Session):
            self._ring_after(sync)
        return Sent(call.id, call.task.name, call.queue, None, self.work.cancel, self.work.cancel_async)

    def _checked(self, call: Call[T]) -> Call[T]:
        call = with_id(call)
        self.work.check(call)
        return call

    def _insert(self, call: Call[Any]) -> Any:
        row = {"id": call.id, "task": call.task.name, "queue": call.queue, "call": written(call, self._now())}
        return insert(self.table).values(**row, due_ms=due_ms(call, self._now()))

    def _ring_after(self, session: Session) -> None:
        session.info[self._mark] = True
        if not event.contains(session, "after_commit", self._committed):
            event.listen(session, "after_commit", self._committed)

    def _committed(self, session: Session) -> None:
        """Also called when a savepoint is released, which commits nothing yet."""
        if not session.in_nested_transaction() and session.info.pop(self._mark, False):
            self.bell.ring()

    # ---- the relay

    def relay(self, engine: Engine, stop: threading.Event, *, every_s: float = EVERY_S, limit: int = LIMIT) -> None:
        """Send what is committed, until `stop` is set. What fails, database or broker, is logged and tried again."""
        failures = (LeveretError, SQLAlchemyError)
        relay(lambda: self.relay_once(engine, limit), failures, stop, self.bell, every_s)

    @contextmanager
    def relaying(self, engine: Engine, *, every_s: float = EVERY_S) -> Iterator[None]:
        """A relay on a thread of its own, meanwhile."""
        stop = threading.Event()
        options = {"every_s": every_s}
        thread = threading.Thread(
            target=self.relay, args=(engine, stop), kwargs=options, name="leveret-outbox", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            self.bell.ring()
            thread.join()

    def relay_once(self, engine: Engine, limit: int = LIMIT) -> int:
        """Send `limit` rows at most, in their order; how many were sent, or put off because the broker refuses them.

        ConnectionLost or WaitTimeout if the broker was not there for all of them.
        """
        once = self._locking if engine.dialect.name in SKIPS_LOCKED else self._leasing
        result = once(engine, limit)
        if result.failure is not None:
            raise result.failure
        return len(result.sent) + len(result.refused)

    def _locking(self, engine: Engine, limit: int) -> Result:
        """In one transaction: its end, however it comes, sets free what it had locked."""
        with engine.begin() as connection:
            rows = _rows(connection.execute(self._next(limit).with_for_update(skip_locked=True)))
            result = publish(self.work, rows, self._now()) if rows else Result()
            self._settle(connection, result)
        return result

    def _leasing(self, engine: Engine, limit: int) -> Result:
        """In two, so that nothing is locked while the broker is waited for. A relay that died is waited for, too."""
        lease = _Lease(str(uuid.uuid4()), self._now() + self._lease_ms)
        with engine.begin() as connection:
            connection.execute(self._take(lease, limit))
            rows = _rows(connection.execute(self._select().where(self.table.c.holder == lease.holder)))
        if not rows:
            return Result()
        try:
            result = publish(self.work, rows, self._now())
        except BaseException:
            self._let_go(engine, lease, Result())
            raise
        self._let_go(engine, lease, result)
        return result

    def _let_go(self, engine: Engine, lease: _Lease, result: Result) -> None:
        table = self.table
        with engine.begin() as connection:
            self._settle(connection, result)
            mine = table.c.holder == lease.holder
            connection.execute(
                update(table).where(mine, table.c.held_until_ms == lease.until_ms).values(held_until_ms=0)
            )
            connection.execute(update(table).where(mine).values(holder=""))

    # ---- statements

    def _select(self) -> Any:
        c = self.table.c
        return select(c.number, c.call, c.due_ms, c.tries).order_by(c.number)

    def _next(self, limit: int) -> Any:
        return self._select().where(self.table.c.held_until_ms <= self._now()).limit(limit)

    def _take(self, lease: _Lease, limit: int) -> Any:
        """Mark the next rows as ours, unless another relay is at work: in order means one at a time."""
        table, now = self.table, self._now()
        other = table.alias()
        at_work = exists().where(other.c.holder != "", other.c.held_until_ms > now)
        free = select(table.c.number).where(table.c.held_until_ms <= now).order_by(table.c.number).limit(limit)
        chosen = free.subquery()  # MySQL, for one, reads no table that it updates but so
        values = {"holder": lease.holder, "held_until_ms": lease.until_ms}
        return update(table).where(table.c.number.in_(select(chosen.c.number)), ~at_work).values(**values)

    def _settle(self, connection: Connection, result: Result) -> None:
        c = self.table.c
        if result.sent:
            connection.execute(delete(self.table).where(c.number.in_(result.sent)))
        for number, seconds in result.refused.items():
            until_ms = self._now() + int(seconds * 1000)
            held = {"tries": c.tries + 1, "held_until_ms": until_ms}
            connection.execute(update(self.table).where(c.number == number).values(**held))


@dataclass(frozen=True, slots=True)
class _Lease:
    holder: str
    until_ms: int


def _rows(found: Any) -> Sequence[Row]:
    return [Row(*one) for one in found]
