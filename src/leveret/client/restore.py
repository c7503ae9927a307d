"""Declares again, on a new connection, what was declared on the lost one.

Exchanges, queues, then bindings. What the broker refuses (somebody declared it otherwise meanwhile) is logged and left
out, so that one queue's trouble does not keep all the others waiting. What our own lost connection still holds, because
the broker has not noticed its end, fails the attempt, to be tried again; the caller's patience says for how long. Called
by client/connection.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from leveret.client.session import Session
from leveret.client.topology import DeclaredQueue, Topology
from leveret.client.transport import Link
from leveret.client.waiting import bounded
from leveret.errors import ChannelError, ConnectionLost
from leveret.wire.methods import Method, QueueBind, QueueDeclare, QueueDeclareOk

log = logging.getLogger(__name__)

ACCESS_REFUSED: Final = 403
RESOURCE_LOCKED: Final = 405
SENT_AT_ONCE: Final = 100

Ask = tuple[Method, str]
"""A method and the name of its reply."""


def held_elsewhere(error: ChannelError) -> bool:
    """An exclusive queue or consumer stands in the way: after a connection was lost, most likely our own old one."""
    return error.code == RESOURCE_LOCKED or (error.code == ACCESS_REFUSED and "in exclusive use" in error.text)


class Restorer:
    """Works on a channel of its own, replaced after each refusal. Each reply has `timeout_s`.

    `patient`: a locked queue is a ChannelError. Otherwise it is left out, and remembered in `locked`.
    """

    def __init__(self, link: Link, topology: Topology, timeout_s: float, patient: bool) -> None:
        self.locked: set[str] = set()
        self._link = link
        self._topology = topology
        self._timeout_s = timeout_s
        self._patient = patient
        self._session: Session | None = None

    async def restore(self) -> None:
        topology = self._topology
        await self._declare([(exchange, "exchange.declare-ok") for exchange in topology.exchanges.values()])
        queues = list(topology.queues.items())
        await self._declare([(q.method, "queue.declare-ok") for _, q in queues if not q.named_by_broker])
        for name, declared in queues:
            if declared.named_by_broker:
                await self._queue_named_by_broker(name, declared)
        await self._declare(
            [
                (binding, "queue.bind-ok" if isinstance(binding, QueueBind) else "exchange.bind-ok")
                for binding in topology.bindings.values()
            ]
        )
        if self._session is not None:
            self._session.discard(ConnectionLost("everything is restored"))

    async def _queue_named_by_broker(self, name: str, declared: DeclaredQueue) -> None:
        """Its name cannot be asked for, but a queue that outlived the connection still has it."""
        method = declared.method
        if not method.exclusive and await self._is_there(method):
            return
        answer = await self._reply(await self._open_session(), replace(method, queue=""), "queue.declare-ok")
        if isinstance(answer, QueueDeclareOk):
            self._topology.rename_queue(name, answer.queue)

    async def _is_there(self, method: QueueDeclare) -> bool:
        try:
            await self._reply(await self._open_session(), replace(method, passive=True), "queue.declare-ok")
        except ChannelError:
            return False
        return True

    async def _reply(self, session: Session, method: Method, reply: str) -> Method:
        return (await bounded(session.ask(method, reply), self._timeout_s, f"the broker's {reply}")).method

    async def _declare(self, asks: Sequence[Ask]) -> None:
        done = 0
        while done < len(asks):
            done += await self._declare_some(asks[done : done + SENT_AT_ONCE])

    async def _declare_some(self, asks: Sequence[Ask]) -> int:
        """Send all, then await the replies. How many are done with: what follows a refusal has to be sent again."""
        session = await self._open_session()
        replies = [session.ask(*ask) for ask in asks]
        for place, reply in enumerate(replies):
            try:
                await bounded(reply, self._timeout_s, f"the broker's {asks[place][1]}")
            except ChannelError as error:
                self._refused(asks[place][0], error)
                return place + 1
        return len(asks)

    def _refused(self, method: Method, error: ChannelError) -> None:
        if held_elsewhere(error):
            if self._patient:
                raise error
            if isinstance(method, QueueDeclare):
                self.locked.add(method.queue)
        log.warning("not restored after reconnecting: %s: %s", method, error)

    async def _open_session(self) -> Session:
        if self._session is None or self._session.error is not None:
            number = self._link.free_number(0)
            if not number:
                raise ConnectionLost("no channel is left to restore queues and bindings on")
            self._session = Session(self._link, number)
            await bounded(self._session.open(), self._timeout_s, "the broker's channel.open-ok")
        return self._session
