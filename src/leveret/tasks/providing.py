"""Gets what is injected (tasks/injection): asks providers when a task begins, and lets them clean up when it has ended.

What belongs to the process is kept until the last worker in it ends, async values for each event loop. A test may replace a
provider. One per WorkQueue, which the worker's executor reaches through the handler.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

import msgspec

from leveret.errors import TaskError
from leveret.tasks.context import TaskContext
from leveret.tasks.injection import AnyProvider, Injected, Needs, Provider, provider
from leveret.tasks.message import Message

log = logging.getLogger("leveret.tasks")
T = TypeVar("T")


class Kept(msgspec.Struct):
    """What a provider gave to the process, with its clean-up."""

    value: Any
    stack: AsyncExitStack


class OnLoop(msgspec.Struct):
    """What async providers gave to all tasks of one event loop; in making or made."""

    making: dict[AnyProvider, asyncio.Task[Any]] = msgspec.field(default_factory=dict)
    stack: AsyncExitStack = msgspec.field(default_factory=AsyncExitStack)


class Providers:
    def __init__(self) -> None:
        self._replaced: dict[AnyProvider, AnyProvider] = {}
        self._kept: dict[AnyProvider, Kept] = {}
        self._loops: dict[asyncio.AbstractEventLoop, OnLoop] = {}
        self._lock = threading.RLock()
        self._users = 0

    @contextmanager
    def override(self, original: AnyProvider, replacement: AnyProvider) -> Iterator[None]:
        """Meanwhile `replacement` is asked in place of `original`."""
        before = self._replaced.get(original)
        self._replaced[original] = replacement
        try:
            yield
        finally:
            if before is None:
                del self._replaced[original]
            else:
                self._replaced[original] = before
            self._let_go([replacement])

    def asked(self, function: AnyProvider) -> Provider:
        return provider(self._replaced.get(function, function))

    # ---- for one run of a task

    @contextmanager
    def given(self, needs: Needs, context: TaskContext) -> Iterator[dict[str, Any]]:
        """By parameter. What happens inside is thrown into the generators, and cannot be swallowed by them."""
        stack = AsyncExitStack()
        try:
            yield _at_once(_Supply(self, context, stack, False).all(needs))
        except BaseException:
            _at_once(stack.__aexit__(*sys.exc_info()))
            raise
        _at_once(stack.aclose())

    @asynccontextmanager
    async def given_async(self, needs: Needs, context: TaskContext) -> AsyncIterator[dict[str, Any]]:
        """As `given`, for an async task."""
        stack = AsyncExitStack()
        try:
            yield await _Supply(self, context, stack, True).all(needs)
        except BaseException:
            await stack.__aexit__(*sys.exc_info())
            raise
        await stack.aclose()

    # ---- for the process

    def of_process(self, asked: Provider) -> Any:
        """Made by whoever wants it first; the others wait. What cannot be made is tried again by the next."""
        with self._lock:
            kept = self._kept.get(asked.function)
            if kept is None:
                stack = AsyncExitStack()
                value = _at_once(_Supply(self, None, stack, False).ask(asked))
                kept = self._kept[asked.function] = Kept(value, stack)
            return kept.value

    async def of_process_async(self, asked: Provider) -> Any:
        """On this event loop, where it can be used."""
        loop = asyncio.get_running_loop()
        mine = self._loops.setdefault(loop, OnLoop())
        making = mine.making.get(asked.function)
        if making is None:
            supply = _Supply(self, None, mine.stack, True)
            making = mine.making[asked.function] = loop.create_task(supply.ask(asked))
            making.add_done_callback(lambda made: _forget_failed(mine, asked, made))
        return await asyncio.shield(making)  # who stops waiting stops nobody else's

    def enter(self) -> None:
        """A worker begins in this process."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """A worker has ended: behind the last one it is cleaned up, newest first."""
        with self._lock:
            self._users -= 1
            if self._users <= 0:
                self._let_go(list(reversed(self._kept)))

    def _let_go(self, functions: list[AnyProvider]) -> None:
        with self._lock:
            for function in functions:
                kept = self._kept.pop(function, None)
                if kept is None:
                    continue
                try:
                    _at_once(kept.stack.aclose())
                except Exception:
                    log.exception("a provider of the process did not clean up")

    @property
    def waiting(self) -> bool:
        """Whether some event loop has to call `leave_loop`."""
        return bool(self._loops)

    async def leave_loop(self) -> None:
        """The tasks of this event loop have ended."""
        mine = self._loops.pop(asyncio.get_running_loop(), None)
        if mine is not None:
            try:
                await mine.stack.aclose()
            except Exception:
                log.exception("an async provider of the process did not clean up")

    def leave_process(self) -> None:
        """The process had one task, which has ended, and its event loop does not run."""
        for loop in list(self._loops):
            loop.run_until_complete(self.leave_loop())
        self.leave()


class _Supply:
    """Asks providers, each once, for one task, or (without a context) for the process. `stack` gets their clean-up."""

    def __init__(
        self, providers: Providers, context: TaskContext | None, stack: AsyncExitStack, can_wait: bool
    ) -> None:
        self._providers = providers
        self._context = context
        self._stack = stack
        self._can_wait = can_wait
        self._made: dict[AnyProvider, Any] = {}
        self._asking: set[AnyProvider] = set()

    async def all(self, needs: Needs) -> dict[str, Any]:
        return {name: await self._one(needs, name, injected) for name, injected in needs.wanted.items()}

    async def _one(self, needs: Needs, name: str, injected: Injected) -> Any:
        if injected.provider is None:
            assert self._context is not None
            return self._context.message if needs.kinds[name] is Message else self._context
        asked = self._providers.asked(injected.provider)
        if asked.is_async and not self._can_wait:
            raise TaskError(f"{asked.function!r} is async, and cannot be waited for in a plain function")
        if injected.scope == "process":
            of_process = self._providers.of_process
            return await self._providers.of_process_async(asked) if asked.is_async else of_process(asked)
        if asked.function not in self._made:
            self._made[asked.function] = await self.ask(asked)
        return self._made[asked.function]

    async def ask(self, asked: Provider) -> Any:
        if asked.function in self._asking:
            raise TaskError(f"{asked.function!r} needs itself, by way of a replacement")
        self._asking.add(asked.function)
        needed = {} if asked.needs is None else await self.all(asked.needs)
        self._asking.discard(asked.function)
        function: Callable[..., Any] = asked.function
        if asked.generates and asked.is_async:
            return await self._stack.enter_async_context(asynccontextmanager(function)(**needed))
        if asked.generates:
            return self._stack.enter_context(contextmanager(function)(**needed))
        value = function(**needed)
        return await value if asked.is_async else value


def _forget_failed(mine: OnLoop, asked: Provider, made: asyncio.Task[Any]) -> None:
    if made.cancelled() or made.exception() is not None:
        mine.making.pop(asked.function, None)


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing: asking is written once, for plain tasks and async ones."""
    try:
        work.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    work.close()
    raise TaskError("what is injected into a plain function has to be there without waiting")
