"""Declares again, on a new connection, what was declared on the lost one.

Exchanges, queues, then bindings. What the broker refuses (somebody declared it otherwise meanwhile) is logged and left
out, so that one queue's trouble does not keep all the others waiting; only a queue still locked by our own lost
connection (405) fails the attempt, to be tried again. Called by client/connection.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from leveret.client.session import Session
from leveret.client.topology import DeclaredQueue, Topology
from leveret.client.transport import Link
from leveret.errors import ChannelError, ConnectionLost
from leveret.wire.methods import ExchangeBind, Method, QueueBind, QueueDeclareOk

log = logging.getLogger(__name__)

RESOURCE_LOCKED: Final = 405


class Restorer:
    """Works on a channel of its own, replaced after each refusal."""

    def __init__(self, link: Link, topology: Topology) -> None:
        self._link = link
        self._topology = topology
        self._session: Session | None = None

    async def restore(self) -> None:
        topology = self._topology
        if not topology.exchanges and not topology.queues and not topology.bindings:
            return
        for exchange in list(topology.exchanges.values()):
            await self._declare(exchange, "exchange.declare-ok")
        for name, declared in list(topology.queues.items()):
            await self._queue(name, declared)
        for binding in list(topology.bindings.values()):
            if isinstance(binding, QueueBind):
                await self._declare(binding, "queue.bind-ok")
            elif isinstance(binding, ExchangeBind):
                await self._declare(binding, "exchange.bind-ok")
        if self._session is not None and self._session.error is None:
            await self._session.close()

    async def _queue(self, name: str, declared: DeclaredQueue) -> None:
        if not declared.named_by_broker:
            await self._declare(declared.method, "queue.declare-ok")
            return
        # A name of the broker's making cannot be asked for, but a queue that outlived the connection still has it.
        alive = replace(declared.method, passive=True)
        if not declared.method.exclusive and await self._declare(alive, "queue.declare-ok", quietly=True):
            return
        answer = await self._declare(replace(declared.method, queue=""), "queue.declare-ok")
        if isinstance(answer, QueueDeclareOk):
            self._topology.rename_queue(name, answer.queue)

    async def _declare(self, method: Method, reply: str, quietly: bool = False) -> Method | None:
        """The reply, or None if the broker refused."""
        session = await self._open_session()
        try:
            return (await session.call(method, reply)).method
        except ChannelError as error:
            if error.code == RESOURCE_LOCKED:
                raise
            if not quietly:
                log.warning("not restored after reconnecting: %s: %s", method, error)
            return None

    async def _open_session(self) -> Session:
        if self._session is None or self._session.error is not None:
            number = self._link.free_number(0)
            if not number:
                raise ConnectionLost("no channel is left to restore queues and bindings on")
            self._session = Session(self._link, number)
            await self._session.open()
        return self._session
