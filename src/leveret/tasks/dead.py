"""A queue's dead letters, as those look at them who decide what becomes of each: run again, changed first, or thrown away.

None can be lost: they are looked at as tasks/peek does, and what is not decided stays. Used by the command line.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from msgspec.structs import replace

from leveret.client import BasicProperties, Connection, Delivery
from leveret.errors import CodecError
from leveret.tasks import message as header
from leveret.tasks.ladder import without_descent
from leveret.tasks.outbox import Outbox, Parcel
from leveret.tasks.peek import Peek
from leveret.tasks.topology import dead_queue

SEND_S: Final = 30.0
STORY: Final = frozenset(
    {
        *(header.ATTEMPT, header.FIRST_FAILURE, header.LAST_FAILURE, header.EXCEPTION, header.ERROR, header.TRACEBACK),
        *(header.REASON, header.QUEUE, header.CRASHES),
    }
)
"""Headers that tell how it fared: a letter that is requeued begins anew."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`queue` is where it came from and goes back to. Texts are empty, and times None, where its headers do not tell."""

    id: str
    task: str
    queue: str
    reason: str
    exception: str
    error: str
    traceback: str
    attempts: int
    first_failure: datetime | None
    last_failure: datetime | None
    body: bytes
    delivery: Delivery

    @classmethod
    def of(cls, queue: str, delivery: Delivery) -> Self:
        """`queue` is the one whose dead letters are read."""
        try:
            properties = delivery.properties
        except CodecError:
            properties = BasicProperties()
        headers = properties.headers or {}
        attempts = headers.get(header.ATTEMPT)
        return cls(
            id=properties.message_id or "",
            task=properties.type or "",
            queue=_text(headers, header.QUEUE) or queue,
            reason=_text(headers, header.REASON),
            exception=_text(headers, header.EXCEPTION),
            error=_text(headers, header.ERROR),
            traceback=_text(headers, header.TRACEBACK),
            attempts=attempts if isinstance(attempts, int) else 0,
            first_failure=_time(headers, header.FIRST_FAILURE),
            last_failure=_time(headers, header.LAST_FAILURE),
            body=delivery.body,
            delivery=delivery,
        )

    def anew(self, body: bytes | None) -> Parcel:
        """What is put into its queue: with all its attempts again, and with `body` if it was changed."""
        properties = self.delivery.properties
        kept = {name: value for name, value in without_descent(properties.headers or {}).items() if name not in STORY}
        properties = replace(properties, headers=kept or None, user_id=None)
        return Parcel(self.queue, self.body if body is None else body, properties)


def _text(headers: dict[str, Any], name: str) -> str:
    value = headers.get(name)
    return value if isinstance(value, str) else ""


def _time(headers: dict[str, Any], name: str) -> datetime | None:
    value = headers.get(name)
    return value if isinstance(value, datetime) else None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant: all that fit everything that is said. `error` is a part of exception or text."""

    ids: frozenset[str] = frozenset()
    task: str = ""
    reason: str = ""
    error: str = ""

    def fits(self, letter: DeadLetter) -> bool:
        return (
            (not self.ids or letter.id in self.ids)
            and self.task in ("", letter.task)
            and self.reason in ("", letter.reason)
            and self.error in f"{letter.exception}: {letter.error}"
        )


class DeadLetters(Peek):
    """Those of `queue`, while it is open."""

    def __init__(self, connection: Connection, queue: str) -> None:
        super().__init__(connection)
        self.queue = queue
        self._outbox = Outbox(connection)

    async def letters(self, wanted: Filter, most: int) -> AsyncIterator[DeadLetter]:
        """The oldest first; of those that are there now `most` are looked at. ChannelError 404 if there is no such queue."""
        async for delivery in self.read(dead_queue(self.queue), most):
            letter = DeadLetter.of(self.queue, delivery)
            if wanted.fits(letter):
                yield letter

    async def requeue(self, letter: DeadLetter, body: bytes | None = None) -> None:
        """Into its queue; gone from here once the broker has confirmed that. Raises what Outbox.put does."""
        await self._outbox.put(letter.anew(body), SEND_S)
        letter.delivery.ack()

    async def discard(self, letter: DeadLetter) -> None:
        letter.delivery.ack()
