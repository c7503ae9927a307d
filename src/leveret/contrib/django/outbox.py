"""`send` for programs, and the relay for the command leveret_relay, on Django's connections.

`using` is always the name of a database; the row has to be in that of the transaction that it belongs to.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.models import Exists, F

from leveret.contrib.django.models import OutboxMessage
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

T = TypeVar("T")

bell = Bell()
"""Of this process: a commit rings, its relays hear it."""


def send(call: Call[T], using: str | None = None) -> Sent[T]:
    """Have it sent once the transaction is committed; without one, at once. A relay of this process begins then.

    TaskError: it asks for a result.
    """
    using = using or DEFAULT_DB_ALIAS
    call = with_id(call)
    OutboxMessage.objects.using(using).create(
        message_id=call.id,
        task=call.task.name,
        queue=call.queue,
        call=written(call, now_ms()),
        due_ms=due_ms(call, now_ms()),
    )
    transaction.on_commit(bell.ring, using=using)
    return Sent(call.id, call.task.name, call.queue)


class Relay:
    """Sends the rows of one database. `now` is the time in ms since the epoch, for tests."""

    def __init__(
        self,
        work: WorkQueue,
        using: str | None = None,
        *,
        lease_s: float = LEASE_S,
        now: Callable[[], int] = now_ms,
    ) -> None:
        self.work = work
        self.using = using or DEFAULT_DB_ALIAS
        self._lease_ms = int(lease_s * 1000)
        self._now = now

    def run(self, stop: threading.Event, *, every_s: float = EVERY_S, limit: int = LIMIT) -> None:
        """Until `stop` is set. What fails, database or broker, is logged and tried again."""
        relay(lambda: self._or_connect_again(limit), (LeveretError, Error), stop, bell, every_s)

    def _or_connect_again(self, limit: int) -> int:
        try:
            return self.once(limit)
        except Error:
            connections[self.using].close()
            raise

    def once(self, limit: int = LIMIT) -> int:
        """Send `limit` rows at most, in their order; how many were sent, or put off because the broker refuses them.

        ConnectionLost or WaitTimeout if the broker was not there for all of them.
        """
        locks = connections[self.using].features.has_select_for_update_skip_locked
        result = self._locking(limit) if locks else self._leasing(limit)
        if result.failure is not None:
            raise result.failure
        return len(result.sent) + len(result.refused)

    def _locking(self, limit: int) -> Result:
        """In one transaction: its end, however it comes, sets free what it had locked."""
        with transaction.atomic(using=self.using):
            rows = _rows(self._free().select_for_update(skip_locked=True)[:limit])
            result = publish(self.work, rows, self._now()) if rows else Result()
            self._settle(result)
        return result

    def _leasing(self, limit: int) -> Result:
        """In two, so that nothing is locked while the broker is waited for. A relay that died is waited for, too."""
        holder = str(uuid.uuid4())
        mine, until_ms = self._all().filter(holder=holder), self._now() + self._lease_ms
        if not self._take(holder, until_ms, limit):
            return Result()
        result = Result()
        try:
            result = publish(self.work, _rows(mine.order_by("number")), self._now())
        finally:
            with transaction.atomic(using=self.using):
                self._settle(result)
                mine.filter(held_until_ms=until_ms).update(held_until_ms=0)
                mine.update(holder="")
        return result

    def _take(self, holder: str, until_ms: int, limit: int) -> int:
        """Mark the next rows as ours, unless another relay is at work: in order means one at a time."""
        numbers = list(self._free().values_list("number", flat=True)[:limit])
        if not numbers:
            return 0
        at_work = self._all().exclude(holder="").filter(held_until_ms__gt=self._now())
        free = self._all().filter(~Exists(at_work), number__in=numbers, held_until_ms__lte=self._now())
        taken: int = free.update(holder=holder, held_until_ms=until_ms)  # one statement, so that only one can win
        return taken

    def _settle(self, result: Result) -> None:
        if result.sent:
            self._all().filter(number__in=result.sent).delete()
        for number, seconds in result.refused.items():
            until_ms = self._now() + int(seconds * 1000)
            self._all().filter(number=number).update(tries=F("tries") + 1, held_until_ms=until_ms)

    def _all(self) -> Any:
        return OutboxMessage.objects.using(self.using)

    def _free(self) -> Any:
        return self._all().filter(held_until_ms__lte=self._now()).order_by("number")


def _rows(found: Any) -> list[Row]:
    columns = found.values_list("number", "call", "due_ms", "tries")
    return [Row(number, bytes(call), due, tries) for number, call, due, tries in columns]
