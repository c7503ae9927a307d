"""What a message passes before its task begins: was it cancelled, was it begun elsewhere, is it its turn, is there room for it.

Each gate says whether it concerns a message, from its headers and its task's settings alone, so that plain tasks pay nothing;
only then the broker is asked. The first that stops it says what becomes of it instead. Used by runner.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec

from leveret.client import Backoff
from leveret.errors import Duplicate, LeveretError
from leveret.tasks import Concurrency, Message, Rate, Task
from leveret.tasks.handler import Handler
from leveret.tasks.ladder import fell_from
from leveret.tasks.lane import CONCURRENCY, FAIR, RATE, Lane
from leveret.tasks.limits import LOCK, PLACES, Key, Limits, Lock, named
from leveret.tasks.locks import Locks
from leveret.tasks.message import CONCURRENCY_KEY, FAIR_KEY, LOCK_MS, RATE_KEY
from leveret.tasks.message import LOCK as LOCK_NAME
from leveret.worker.claims import Claims
from leveret.worker.control import Control
from leveret.worker.permits import Permit, Permits, Place
from leveret.worker.rates import Rates

log = logging.getLogger("leveret.worker")

T = TypeVar("T")


class Entry(msgspec.Struct):
    """A message on its way through the gates. `permit` is what it holds of a limit, from then on to its end."""

    message: Message
    handler: Handler[..., Any]
    lost: Callable[[], bool]
    permit: Permit | None = None
    rated: bool = False
    """It has had its token already."""

    @property
    def limits(self) -> Limits:
        return self.handler.settings.limits

    def key(self, header: str, key: Key) -> str:
        """What its header says. One without it, of a workflow or of another language's, is asked itself: empty if it cannot tell."""
        message, task = self.message, self.handler
        if key is None or header in message.headers or not isinstance(task, Task):
            return message.text(header)
        try:
            return task.key(message, key)
        except (
            Exception
        ) as error:  # of the program's function, say; arguments that cannot be read are told when it begins
            log.warning("task=%s id=%s has no key for its limit: %s", message.task, message.id, error)
            return ""


class Unwanted(msgspec.Struct, frozen=True):
    """Somebody cancelled it."""


class Second(msgspec.Struct, frozen=True):
    """Another one with its id was begun."""


class Elsewhere(msgspec.Struct, frozen=True):
    """It waits in a lane, which is asked for again in `wait_s`; for a place, if there is one to wait for."""

    lane: Lane
    wait_s: float = 0.0
    place: Place | None = None


Stop = Unwanted | Second | Elsewhere


class Gate(ABC):
    @abstractmethod
    def concerns(self, message: Message, limits: Limits) -> bool: ...

    @abstractmethod
    async def enter(self, entry: Entry) -> Stop | None:
        """None lets it pass."""


class Gates:
    def __init__(self, control: Control, claims: Claims, locks: Locks, permits: Permits, rates: Rates) -> None:
        self._gates: Final = (
            CancelGate(control),
            ClaimGate(claims),
            TurnGate(),
            LockGate(locks),
            ConcurrencyGate(permits),
            RateGate(rates),
        )

    def concern(self, message: Message, limits: Limits) -> bool:
        """Whether any of them has to be asked."""
        if not message.headers and not limits:
            return False
        return any(gate.concerns(message, limits) for gate in self._gates)

    async def enter(self, entry: Entry) -> Stop | None:
        """None if it may begin. Asks until there is an answer."""
        for gate in self._gates:
            if gate.concerns(entry.message, entry.limits) and (stop := await gate.enter(entry)) is not None:
                return stop
        return None


class CancelGate(Gate):
    def __init__(self, control: Control) -> None:
        self._control = control

    def concerns(self, message: Message, limits: Limits) -> bool:
        return bool(message.marks)

    async def enter(self, entry: Entry) -> Stop | None:
        for id in entry.message.marks:
            if await self._control.is_cancelled(id):
                return Unwanted()
        return None


class ClaimGate(Gate):
    def __init__(self, claims: Claims) -> None:
        self._claims = claims

    def concerns(self, message: Message, limits: Limits) -> bool:
        return bool(message.claim)

    async def enter(self, entry: Entry) -> Stop | None:
        return None if await self._claims.take(entry.message.id, entry.message.claim) else Second()


class TurnGate(Gate):
    """What fell from its tenant's lane because it waited long has not had its turn yet: it goes back. So has what came without
    a key: whoever made it knew of no lanes."""

    def concerns(self, message: Message, limits: Limits) -> bool:
        return limits.fair is not None and ("x-death" in message.headers or _keyless(message))

    async def enter(self, entry: Entry) -> Stop | None:
        message = entry.message
        key = entry.key(FAIR_KEY, entry.limits.fair)
        lane = Lane.of(message.queue, FAIR, key, task=message.task, headers={FAIR_KEY: key})
        return Elsewhere(lane) if _keyless(message) or fell_from(message.headers, lane.name) else None


def _keyless(message: Message) -> bool:
    """In a lane it gets its key: it goes there once."""
    return message.attempt == 1 and FAIR_KEY not in message.headers


class LockGate(Gate):
    """A unique task that begins keeps its lock for as long again. If it was longer on its way than its lock was kept, another
    one may have it: that is what `kept_s` says."""

    def __init__(self, locks: Locks) -> None:
        self._locks = locks

    def concerns(self, message: Message, limits: Limits) -> bool:
        return LOCK_NAME in message.headers

    async def enter(self, entry: Entry) -> Stop | None:
        lock = lock_of(entry.message)
        if lock is None:
            return None
        try:
            await self._locks.take(lock, entry.message.id)
        except Duplicate as error:
            log.warning("task=%s id=%s lost its lock: %s", entry.message.task, entry.message.id, error)
        except LeveretError as error:
            log.warning("task=%s id=%s keeps its lock no longer: %s", entry.message.task, entry.message.id, error)
        return None


class ConcurrencyGate(Gate):
    def __init__(self, permits: Permits) -> None:
        self._permits = permits

    def concerns(self, message: Message, limits: Limits) -> bool:
        return limits.concurrency is not None

    async def enter(self, entry: Entry) -> Stop | None:
        limit = entry.limits.concurrency
        if limit is None or entry.permit is not None:
            return None
        place = place_of(entry.message, limit, entry.key(CONCURRENCY_KEY, limit.key))
        entry.permit = await answered(lambda: self._permits.take(place), entry.lost, place.name)
        return None if entry.permit is not None else Elsewhere(place.lane, place=place)


class RateGate(Gate):
    def __init__(self, rates: Rates) -> None:
        self._rates = rates

    def concerns(self, message: Message, limits: Limits) -> bool:
        return limits.rate is not None

    async def enter(self, entry: Entry) -> Stop | None:
        rate, message = entry.limits.rate, entry.message
        if rate is None or entry.rated:
            return None
        name, key = rate.name or message.task, entry.key(RATE_KEY, rate.key)
        wait_s = await answered(lambda: self._rates.take(rate, name, key), entry.lost, f"the rate of {name}")
        return Elsewhere(rate_lane(message, rate, key), wait_s) if wait_s else None


def place_of(message: Message, limit: Concurrency, key: str) -> Place:
    """Also of a ticket."""
    name = limit.name or message.task
    lane = Lane.of(message.queue, CONCURRENCY, name, key, task=message.task, headers={CONCURRENCY_KEY: key})
    return Place(named(PLACES, name, key), limit.most, lane)


def rate_lane(message: Message, rate: Rate, key: str) -> Lane:
    return Lane.of(message.queue, RATE, rate.name or message.task, key, task=message.task, headers={RATE_KEY: key})


def lock_of(message: Message) -> Lock | None:
    """The lock that it has to give back at its end, if its headers tell of one."""
    name, kept_ms = message.text(LOCK_NAME), message.headers.get(LOCK_MS)
    return Lock(name, kept_ms) if name.startswith(LOCK) and isinstance(kept_ms, int) else None


async def answered(ask: Callable[[], Awaitable[T]], lost: Callable[[], bool], what: str) -> T | None:
    """Asks until there is an answer; None if the message is lost meanwhile."""
    backoff, attempt = Backoff(), 0
    while not lost():
        try:
            return await ask()
        except LeveretError as error:
            log.warning("whether there is room at %s cannot be told yet: %s", what, error)
        await backoff.wait(attempt)
        attempt += 1
    return None
