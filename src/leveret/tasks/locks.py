"""Locks of unique tasks: of several messages with one key one is sent, and the others learn which.

A lock is a queue that exists. Who declares it first has it: its id stands in an argument of the queue (the exchange for its
dead letters, of which there never are any), so that the broker refuses it to everybody else, in words that tell whose it is.
The holder may declare it again, which keeps it for longer, and after a lost connection tells whether it has it; it lets go by
deleting it. Nobody's death matters: unused for its time, it expires at the broker. Used by sender and worker/gates.
"""

from __future__ import annotations

import re
from typing import Any, Final

from leveret.client import Connection, StandingChannel
from leveret.errors import ChannelError, Duplicate
from leveret.tasks.limits import Lock
from leveret.tasks.topology import PRECONDITION_FAILED

HOLDER: Final = "x-dead-letter-exchange"
CURRENT: Final = re.compile(f"'{HOLDER}' .* but current is (?:the value )?'([^']*)'")


class Locks:
    def __init__(self, connection: Connection) -> None:
        self._channel = StandingChannel(connection)

    async def take(self, lock: Lock, id: str) -> None:
        """It is this message's from now on, or still. Duplicate if it is another one's."""
        while True:
            channel = await self._channel.get()
            try:
                await channel.queue_declare(lock.name, durable=True, arguments=_arguments(lock, id), remember=False)
                return
            except ChannelError as error:
                if lock.name not in error.text:  # the answer to somebody else's question on the same channel
                    continue
                if error.code != PRECONDITION_FAILED:
                    raise
                found = CURRENT.search(error.text)
                holder = found[1] if found else ""
                if holder == id:  # the answer to somebody else who asks for this lock
                    continue
                raise Duplicate(holder) from None

    async def give(self, lock: Lock, id: str) -> None:
        """It is nobody's, if it was this message's. Taken first: then it cannot expire, and be another's, meanwhile."""
        while True:
            try:
                await self.take(lock, id)
                await (await self._channel.get()).queue_delete(lock.name)
                return
            except Duplicate:
                return
            except ChannelError as error:
                if error.code != PRECONDITION_FAILED:  # the answer to somebody else's question on the same channel
                    raise


def _arguments(lock: Lock, id: str) -> dict[str, Any]:
    return {"x-queue-type": "classic", "x-expires": lock.kept_ms, HOLDER: id}
