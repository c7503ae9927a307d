"""Publisher confirms of one channel: which publishes are still unanswered, and how each ends.

The broker counts publishes from confirm.select on; so does this. A returned message carries no number: it is the
oldest unanswered mandatory publish with the same exchange, key and body, and its return comes before its confirm.
Used by client/session.
"""

from __future__ import annotations

import asyncio

from leveret.client.delivery import Returned
from leveret.client.waiting import fail
from leveret.errors import Nacked, Unroutable

Sent = tuple[str, str, bytes]
"""Exchange, routing key and body of a mandatory publish."""


class Confirms:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.published = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}  # by number, hence oldest first
        self._mandatory: dict[int, Sent] = {}
        self._returned: dict[int, Unroutable] = {}

    def expect(self, mandatory: Sent | None) -> asyncio.Future[None]:
        """Count one publish; the future ends with its confirm, Nacked or Unroutable."""
        self.published += 1
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting[self.published] = future
        if mandatory is not None:
            self._mandatory[self.published] = mandatory
        return future

    def settle(self, number: int, multiple: bool, accepted: bool) -> None:
        """basic.ack or basic.nack from the broker: for one publish, or for all up to `number`."""
        if not multiple:
            self._settle_one(number, accepted)
            return
        numbers = []
        for waiting in self._waiting:
            if waiting > number:
                break
            numbers.append(waiting)
        for one in numbers:
            self._settle_one(one, accepted)

    def _settle_one(self, number: int, accepted: bool) -> None:
        future = self._waiting.pop(number, None)
        if self._mandatory:
            self._mandatory.pop(number, None)
        unroutable = self._returned.pop(number, None) if self._returned else None
        if future is None or future.done():
            return
        if unroutable is not None:
            future.set_exception(unroutable)
        elif accepted:
            future.set_result(None)
        else:
            future.set_exception(Nacked(f"the broker refused publish {number} of this channel (basic.nack)"))

    def came_back(self, message: Returned) -> None:
        """Remember which publish was returned; its confirm follows."""
        sent = (message.exchange, message.routing_key, message.body)
        number = next((n for n, mandatory in self._mandatory.items() if mandatory == sent), None)
        if number is not None:
            del self._mandatory[number]
            self._returned[number] = Unroutable(
                f"{message.reply_code} {message.reply_text}: no queue is bound to exchange "
                f"{message.exchange!r} for routing key {message.routing_key!r}"
            )

    def fail(self, error: Exception) -> None:
        """No more confirms will come."""
        for future in self._waiting.values():
            fail(future, error)
        self._waiting.clear()
        self._mandatory.clear()
        self._returned.clear()
