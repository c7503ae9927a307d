"""Results in a table of any database that SQLAlchemy 2 knows, for workers on several machines; see tasks/kept.

    work = WorkQueue(results_store=ResultTable("postgresql+psycopg://…"))

The table is made when it is first used, unless it is there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

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
    Text,
    create_engine,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from leveret.errors import ResultsUnavailable
from leveret.tasks.kept import DONE, Kept, Results, ms
from leveret.tasks.result_file import kept_of, row_of

NAME: Final = "leveret_result"
COLUMNS: Final = ("id", "task", "state", "attempts", "started_ms", "ended_ms", "json", "error", "until_ms")


def make_table(name: str, metadata: MetaData) -> Table:
    """For migrations of the program's own."""
    return Table(
        name,
        metadata,
        Column("id", String(255), primary_key=True),
        Column("task", String(255), nullable=False),
        Column("state", String(16), nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("started_ms", BigInteger, nullable=False),
        Column("ended_ms", BigInteger, nullable=False),
        Column("json", LargeBinary(2**32 - 1), nullable=False),
        Column("error", Text, nullable=True),
        Column("until_ms", BigInteger, nullable=False, index=True),
    )


class ResultTable(Results):
    """`database` is a URL or an Engine, `table` the table's name."""

    def __init__(self, database: str | Engine, *, table: str = NAME) -> None:
        self._engine = create_engine(database, pool_pre_ping=True) if isinstance(database, str) else database
        self._table = make_table(table, MetaData())
        self._making = threading.Lock()
        self._made = False

    def put(self, kept: Kept, until: datetime) -> None:
        row = dict(zip(COLUMNS, row_of(kept, until), strict=True))
        try:
            with self._begin() as connection:
                self._put(connection, row)
        except IntegrityError:  # another worker was a moment faster: there is something to update now
            with self._begin() as connection:
                self._put(connection, row)

    def _put(self, connection: Connection, row: dict[str, object]) -> None:
        """Written without a database's own upsert, so that it is the same for all."""
        c = self._table.c
        there = connection.execute(select(c.state).where(c.id == row["id"]).with_for_update()).scalar()
        if there is None:
            connection.execute(insert(self._table).values(**row))
        elif there != DONE:
            connection.execute(update(self._table).where(c.id == row["id"], c.state != DONE).values(**row))

    def get(self, id: str, now: datetime) -> Kept | None:
        c = self._table.c
        wanted = select(*(c[name] for name in COLUMNS[:-1])).where(c.id == id, c.until_ms > ms(now))
        with self._begin() as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else kept_of(row)

    def sweep(self, now: datetime) -> None:
        with self._begin() as connection:
            connection.execute(delete(self._table).where(self._table.c.until_ms <= ms(now)))

    def close(self) -> None:
        self._engine.dispose()

    def _make(self) -> None:
        if self._made:
            return
        try:
            self._table.metadata.create_all(self._engine)
        except SQLAlchemyError:  # another process was a moment faster: it is there now, or there is another reason
            self._table.metadata.create_all(self._engine)
        self._made = True

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        try:
            with self._making:
                self._make()
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise ResultsUnavailable(f"the results in {self._engine.url!r} cannot be reached: {error}") from error
