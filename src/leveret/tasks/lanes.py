"""Moves messages into lanes and out of them, and sees to it that lanes have tickets: see tasks/lane. Used by sender and worker."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from leveret.client import BasicProperties, Channel, Connection, Delivery, StandingChannel
from leveret.errors import ChannelError, LeveretError, Nacked, Unroutable
from leveret.tasks.lane import DECLARED_S, Lane
from leveret.tasks.outbox import Outbox, Parcel
from leveret.tasks.recent import Recent
from leveret.tasks.topology import declare

log = logging.getLogger("leveret.tasks")

TOGETHER: Final = 32
"""Of many lanes so many are declared, and called, at a time."""


class Lanes:
    """Messages go in through `outbox`; they are got, and held, on `connection`, where nothing is published: a broker that takes
    no messages still gives some.
    """

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self._outbox = outbox
        self._connection = connection
        self._getting = StandingChannel(connection, opened=lambda _: self._lanes.clear())
        self._asking = StandingChannel(connection)
        self._lanes = Recent(DECLARED_S)
        self._ringing = StandingChannel(outbox.connection, confirms=True, opened=self._forget)
        self._bells = Recent(DECLARED_S)

    def _forget(self, _: Channel) -> None:
        self._bells.clear()

    async def put(self, parcel: Parcel, timeout_s: float, delay_ms: int = 0) -> None:
        """Into its lane, whose next ticket comes after the delay if none is on its way. Raises what Outbox.put does."""
        await self._outbox.put(parcel, timeout_s)
        if parcel.lane is not None:
            await self.call(parcel.lane, timeout_s, delay_ms)

    async def put_many(self, parcels: Sequence[Parcel], timeout_s: float) -> list[Exception | None]:
        """As Outbox.put_many; each lane is called once."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        lanes = {parcel.lane.name: parcel.lane for parcel in parcels if parcel.lane is not None}
        await self._each(lanes, self._outbox.expect)  # what is refused is refused again, and told, for each message
        outcomes = await self._outbox.put_many(parcels, max(0.0, until_s - loop.time()))
        errors = await self._each(lanes, lambda lane: self.call(lane, max(0.0, until_s - loop.time())))
        for place, parcel in enumerate(parcels):
            if parcel.lane is not None and parcel.lane.name in errors:
                outcomes[place] = outcomes[place] or errors[parcel.lane.name]
        return outcomes

    async def _each(
        self, lanes: Mapping[str, Lane], work: Callable[[Lane], Coroutine[Any, Any, None]]
    ) -> dict[str, LeveretError]:
        """Some at a time; what went wrong with which."""
        errors: dict[str, LeveretError] = {}
        waiting = iter(lanes.values())

        async def work_off() -> None:
            for lane in waiting:
                try:
                    await work(lane)
                except LeveretError as error:
                    errors[lane.name] = error

        await asyncio.gather(*(work_off() for _ in range(min(TOGETHER, len(lanes)))))
        return errors

    async def call(self, lane: Lane, timeout_s: float, delay_ms: int = 0) -> None:
        """Something is in the lane: from now on it has a ticket."""
        ticket = lane.ticket()
        if await self._ring(lane, ticket, timeout_s):
            await self._outbox.put(Parcel(lane.home, b"", ticket, delay_ms), timeout_s)

    async def _ring(self, lane: Lane, ticket: BasicProperties, timeout_s: float) -> bool:
        """Whether it did not ring already. Its message may be lost with the broker: no confirm waits for a disk here."""
        properties = replace(ticket, delivery_mode=1, message_id=str(uuid.uuid4()))
        for _ in range(2):
            try:
                channel = await self._ringing.get()
                if lane.bell not in self._bells:
                    await channel.queue_declare(
                        lane.bell, durable=True, arguments=lane.bell_arguments(), remember=False
                    )
                    self._bells.add(lane.bell)
                await channel.publish(
                    b"", routing_key=lane.bell, properties=properties, mandatory=True, timeout_s=timeout_s
                )
                return True
            except Nacked:
                return False
            except Unroutable:  # somebody deleted it
                self._bells.discard(lane.bell)
            except ChannelError as error:  # the node that has it is down, say: better a ticket too many
                log.warning("the bell of %s cannot be rung: %s", lane.name, error)
        return True

    async def still(self, lane: Lane) -> None:
        """No ticket is on its way, as far as the bell says."""
        channel = await self._asking.get()
        await channel.queue_declare(lane.bell, durable=True, arguments=lane.bell_arguments(), remember=False)
        await channel.queue_purge(lane.bell)

    async def looks_empty(self, lane: Lane) -> bool:
        """Quorum queues tell a little late how much is in them."""
        await self.expect(lane)
        return not (await (await self._getting.get()).queue_declare(lane.name, passive=True)).messages

    async def get(self, lane: Lane) -> Delivery | None:
        """The next of its messages, ours to settle. Raises what Outbox.put and Channel.get do."""
        await self.expect(lane)
        try:
            return await (await self._getting.get()).get(lane.name)
        except ChannelError:  # somebody deleted it, which asking again mends
            self._lanes.discard(lane.name)
            raise

    async def expect(self, lane: Lane) -> None:
        """It is there, and does not expire soon."""
        if lane.name not in self._lanes:
            await declare(self._connection, lane)
            self._lanes.add(lane.name)
