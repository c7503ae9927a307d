"""Waiting, always with a bound: for a reply on a channel, or for anything else.

Requests on one channel are answered in their order (AMQP 0-9-1 section 4.7), but RabbitMQ's queues answer consume and
cancel themselves, maybe after what was asked later: a reply goes to the oldest waiter for a method of its name.
Used by transport (for the connection's own channel) and session.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, TypeVar

from leveret.errors import AMQPError, ConnectionError, ConnectionLost, WaitTimeout
from leveret.wire.events import Content, MethodReceived

T = TypeVar("T")
Reply = MethodReceived | Content


class ConnectionClosed(ConnectionError, ConnectionLost):
    """The broker closed the connection and said why; caught as ConnectionError and as ConnectionLost."""


async def bounded(waiting: Awaitable[T], timeout_s: float, what: str) -> T:
    """The awaited value, or WaitTimeout saying `what` did not come within `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            return await waiting
    except WaitTimeout:
        raise
    except TimeoutError:
        raise WaitTimeout(f"{what} did not come within {timeout_s:g} s") from None


async def together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at once. The first that fails ends the others, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def again(error: Exception) -> Exception:
    """A fresh copy of `error`, to be raised once more without the traceback of its earlier life."""
    if isinstance(error, AMQPError):
        return type(error)(error.code, error.text, error.class_id, error.method_id)
    return type(error)(*error.args)


def fail(future: asyncio.Future[T], error: Exception) -> None:
    """End a future that may have been given up already by who awaited it."""
    if not future.done():
        future.set_exception(again(error))
        future.exception()  # a waiter who left is no reason for asyncio to complain of an error nobody saw


class Replies:
    """The replies awaited on one channel, oldest first. A waiter that gave up still takes its reply."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[tuple[str, ...], asyncio.Future[Reply]]] = deque()

    def expect(self, *names: str) -> asyncio.Future[Reply]:
        """The next reply, which has to be one of the methods `names`."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting.append((names, future))
        return future

    def answer(self, reply: Reply) -> bool:
        """Give `reply` to who waits for it; False if nobody asked for such a method."""
        for place, (names, future) in enumerate(self._waiting):
            if reply.method.name in names:
                del self._waiting[place]
                if not future.done():
                    future.set_result(reply)
                return True
        return False

    def fail(self, error: Exception) -> None:
        """Nothing more will come: everybody who waits gets `error`."""
        while self._waiting:
            fail(self._waiting.popleft()[1], error)
