"""Messages that have to wait for their turn or for room, and those whose turn it is: the worker's half of tasks/lane.

Into a lane goes what a gate stopped (`set_aside`). Out of it comes one message for each visit of its ticket, and for each
task that had a place of a limit and has ended (`next`, if this worker has nothing else to do, else `wake`). Who waits for a
place says so to those who have one; after a crash the ticket looks, within seconds. Used by runner.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from itertools import count
from math import ceil
from typing import Final

import msgspec
from msgspec.structs import replace

from leveret.client import Backoff, BasicProperties, Delivery
from leveret.errors import LeveretError
from leveret.tasks import Message
from leveret.tasks.lane import Lane
from leveret.tasks.lanes import Lanes
from leveret.tasks.limits import Limits
from leveret.tasks.message import (
    CONCURRENCY_KEY,
    RATE_KEY,
    SLEPT_MS,
    properties_crashed,
    properties_unchanged,
)
from leveret.tasks.outbox import Outbox, Parcel
from leveret.worker.gates import Elsewhere, place_of
from leveret.worker.permits import Permit, Permits
from leveret.worker.rates import Rates
from leveret.worker.settle import acknowledge, give_back

log = logging.getLogger("leveret.worker")

PUBLISH_S: Final = 30.0
PASS_S: Final = 5.0
SLEEP_MS: Final = 1_000
SLEEP_MS_MAX: Final = 8_000


class Taken(msgspec.Struct, frozen=True):
    """A message out of a lane, with what it was let through for already."""

    delivery: Delivery
    lane: Lane
    permit: Permit | None = None
    rated: bool = False


class Seen:
    """Which tickets of a lane came by here, and when. Of two the one with the greater id is superfluous, if it is certain that
    they existed at the same time: it came before the other one did, and comes again.
    """

    LANES_MAX: Final = 10_000

    def __init__(self) -> None:
        self._lanes: dict[str, dict[str, int]] = {}
        self._turns = count()

    def superfluous(self, lane: str, id: str) -> bool:
        """Asked once whenever a ticket comes by."""
        if len(self._lanes) >= self.LANES_MAX:
            self._lanes.clear()
        known = self._lanes.setdefault(lane, {})
        last = known.pop(id, None)
        if last is not None and any(other < id and at > last for other, at in known.items()):
            return True
        known[id] = next(self._turns)
        return False

    def empty(self, lane: str) -> None:
        """Its ticket has gone."""
        self._lanes.pop(lane, None)


class Waiting:
    """`limits` tells those of a task, by its name."""

    def __init__(
        self,
        lanes: Lanes,
        outbox: Outbox,
        permits: Permits,
        rates: Rates,
        limits: Callable[[str], Limits],
    ) -> None:
        self._lanes = lanes
        self._outbox = outbox
        self._permits = permits
        self._rates = rates
        self._limits = limits
        self._seen = Seen()
        self._backoff = Backoff()

    # ---- into a lane

    async def set_aside(self, delivery: Delivery, message: Message, stop: Elsewhere) -> None:
        """Not charged as an attempt. Never raises but when cancelled; ends when it was moved, or its connection is lost.

        With the key that has brought it there: nobody need read its body for that again.
        """
        properties = properties_unchanged(message)
        properties = replace(properties, headers={**(properties.headers or {}), **stop.lane.headers})
        parcel = Parcel(message.queue, message.body, properties, lane=stop.lane)
        wait_ms = SLEEP_MS if stop.place is not None else ceil(stop.wait_s * 1000)
        await self._move(delivery, parcel, wait_ms)
        await self._told(stop)

    async def _told(self, stop: Elsewhere) -> None:
        """Who has a place knows that somebody waits; if it was given back meanwhile, the next one is called here."""
        if stop.place is None:
            return
        try:
            await self._permits.tell(stop.place)
            if await self._permits.free(stop.place):
                await self.wake(stop.lane)
        except LeveretError as error:
            log.warning("those who wait in %s wait for its ticket: %s", stop.lane.name, error)

    # ---- out of it

    async def visit(self, delivery: Delivery, ticket: Message) -> Taken | None:
        """What is to be run in place of the ticket. Never raises but when cancelled."""
        attempt = 0
        while not delivery.lost:
            try:
                return await self._visit(delivery, ticket)
            except LeveretError as error:
                log.error("lane %s cannot be looked into yet: %s", ticket.ticket, error)
            await self._backoff.wait(attempt)
            attempt += 1
        return None

    async def _visit(self, delivery: Delivery, ticket: Message) -> Taken | None:
        lane, limits = Lane.named_by(ticket), self._limits(ticket.task)
        if self._seen.superfluous(lane.name, ticket.id):
            acknowledge(delivery)
            return None
        if CONCURRENCY_KEY in ticket.headers and limits.concurrency is not None:
            return await self._visit_place(delivery, ticket, limits)
        if RATE_KEY in ticket.headers and limits.rate is not None:
            return await self._visit_rate(delivery, ticket, limits)
        return await self._taken(delivery, lane)

    async def _visit_place(self, delivery: Delivery, ticket: Message, limits: Limits) -> Taken | None:
        assert limits.concurrency is not None
        place = place_of(ticket, limits.concurrency, ticket.text(CONCURRENCY_KEY))
        permit = await self._permits.take(place)
        if permit is None:
            slept = ticket.headers.get(SLEPT_MS)
            await self._sleep(delivery, ticket, min(SLEEP_MS_MAX, 2 * slept if isinstance(slept, int) else SLEEP_MS))
            await self._told(Elsewhere(place.lane, place=place))
            return None
        taken = None
        try:
            taken = await self._taken(delivery, Lane.named_by(ticket), permit=permit)
        finally:
            if taken is None:
                await self._permits.give(permit)
        return taken

    async def _visit_rate(self, delivery: Delivery, ticket: Message, limits: Limits) -> Taken | None:
        assert limits.rate is not None
        lane = Lane.named_by(ticket)
        if await self._lanes.looks_empty(lane):  # no token is to be lost for nothing
            return await self._taken(delivery, lane)
        wait_s = await self._rates.take(limits.rate, limits.rate.name or ticket.task, ticket.text(RATE_KEY))
        if wait_s:
            await self._sleep(delivery, ticket, ceil(wait_s * 1000))
            return None
        return await self._taken(delivery, lane, rated=True)

    async def _taken(
        self, delivery: Delivery, lane: Lane, *, permit: Permit | None = None, rated: bool = False
    ) -> Taken | None:
        """The lane's next; without one the ticket has done its work."""
        got = await self._lanes.get(lane)
        if got is None:
            await self._lanes.still(lane)
            got = await self._lanes.get(lane)
        if got is not None:
            return Taken(got, lane, permit, rated)
        self._seen.empty(lane.name)
        acknowledge(delivery)
        return None

    async def pass_on(self, delivery: Delivery, ticket: Message) -> None:
        """The ticket goes to the end of its queue; to its beginning, if the broker takes no messages just now, for it will not
        until some are gone. Never raises but when cancelled.
        """
        attempt = 0
        while not delivery.lost and not self._outbox.connection.blocked:
            try:
                await self._outbox.put(Parcel(ticket.queue, b"", _properties(ticket)), PASS_S)
            except LeveretError as error:
                log.error("the ticket of %s cannot be passed on yet: %s", ticket.ticket, error)
            else:
                acknowledge(delivery)
                return
            await self._backoff.wait(attempt)
            attempt += 1
        give_back(delivery)

    async def _move(self, delivery: Delivery, parcel: Parcel, ticket_ms: int = 0) -> None:
        """Put somewhere else, then acknowledged; tried until its connection is lost."""
        attempt = 0
        while not delivery.lost:
            try:
                await self._lanes.put(parcel, PUBLISH_S, ticket_ms)
            except LeveretError as error:
                log.error("a message cannot be moved from or to a lane of %s yet: %s", parcel.queue, error)
            else:
                acknowledge(delivery)
                return
            await self._backoff.wait(attempt)
            attempt += 1

    async def _sleep(self, delivery: Delivery, ticket: Message, for_ms: int) -> None:
        properties = _properties(ticket)
        properties = replace(properties, headers={**(properties.headers or {}), SLEPT_MS: for_ms})
        await self._outbox.put(Parcel(ticket.queue, b"", properties, for_ms), PUBLISH_S)
        acknowledge(delivery)

    # ---- when a place is given back

    def wanted(self, permit: Permit) -> bool:
        """Whether somebody waits for it."""
        return self._permits.wanted(permit.place)

    async def next(self, permit: Permit) -> Taken | None:
        """Who has the place now. Never raises but when cancelled."""
        lane = permit.place.lane
        try:
            got = await self._lanes.get(lane)
        except LeveretError as error:
            log.warning("those who wait in %s wait for its ticket: %s", lane.name, error)
            return None
        if got is None:
            self._permits.nobody(permit.place)
            return None
        return Taken(got, lane, permit)

    async def give(self, permit: Permit) -> None:
        """The place is free; who waits comes into the queue. Never raises but when cancelled."""
        try:
            await self._permits.give(permit)
            if self._permits.wanted(permit.place):
                await self.wake(permit.place.lane)
        except LeveretError as error:
            log.warning("a place at %s may be free later than it could: %s", permit.place.name, error)

    async def wake(self, lane: Lane) -> None:
        """The next in the lane goes to the end of its queue. Raises what the client raises."""
        got = await self._lanes.get(lane)
        if got is None:
            return
        message = Message.of(lane.home, got)
        properties = properties_crashed(message) if got.redelivered else properties_unchanged(message)
        await self._move(got, Parcel(lane.home, got.body, properties))

    async def keep(self, lane: Lane) -> None:
        """A message of the lane runs: it is not to expire."""
        try:
            await self._lanes.expect(lane)
        except LeveretError as error:
            log.warning("lane %s may expire: %s", lane.name, error)


def _properties(ticket: Message) -> BasicProperties:
    """For its next round. One that came back may have been passed on already: then there are two, and not with one id."""
    properties = properties_unchanged(ticket)
    if ticket.redelivered:
        properties = replace(properties, message_id=str(uuid.uuid4()))
    headers = {name: value for name, value in (properties.headers or {}).items() if name != SLEPT_MS}
    return replace(properties, headers=headers)
