"""Workers: consumers with habits, and pools that read their queues as a `leveret worker` does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from leveret.client import BasicProperties, Channel, Connection, Delivery
from leveret.errors import ConnectionLost, LeveretError, WaitTimeout
from leveret.tasks import Queue
from leveret.worker.pace import Pace
from leveret.worker.settle import acknowledge
from leveret.worker.slots import Slots
from leveret.worker.source import Source
from simulation.actors import Process
from simulation.model import ACKED, GIVEN_BACK, REJECTED, Hold, Violation

if TYPE_CHECKING:
    from simulation.world import World

MARKS = "marks"
PERSISTENT = BasicProperties(delivery_mode=2)


def arrived(worker: Process, queue: str, delivery: Delivery) -> Hold:
    """The model looks at it."""
    world = worker.world
    link = world.network.arriving
    assert link is not None
    message = delivery.body[:64].split(b" ")[0].decode()
    count = int((delivery.properties.headers or {}).get("x-delivery-count", 0))
    hold = Hold(message, queue, link, count)
    world.say(f"{message} to {worker} on {link}{' again' if delivery.redelivered else ''}, count {count}")
    try:
        world.model.got(hold, delivery.redelivered)
    except Violation as violation:
        world.broken(violation)
    return hold


class Habits:
    """How a worker treats what it gets; probabilities, and the mean of its work in seconds."""

    def __init__(
        self,
        *,
        work_s: float = 0.05,
        gives_back: float = 0.0,
        rejects: float = 0.0,
        forgets: float = 0.0,
        together: float = 0.0,
        marks: float = 0.0,
    ) -> None:
        self.work_s = work_s
        self.gives_back = gives_back
        self.rejects = rejects
        self.forgets = forgets
        self.together = together
        self.marks = marks


DILIGENT = Habits(work_s=0.01)


class Worker(Process):
    """Consumes one queue with a prefetch, and settles what it gets according to its habits."""

    def __init__(self, world: World, name: str, queue: str, prefetch: int, habits: Habits) -> None:
        self.queue = queue
        self.queues = [queue]
        self.prefetch = prefetch
        self.habits = habits
        self._mine: dict[int, tuple[Delivery, Hold]] = {}
        self._unmarked: list[Hold] = []
        self._leaving = asyncio.Event()
        self._cancels = False
        super().__init__(world, name)

    async def live(self) -> None:
        connection = await self.connection()
        channel = self._channel = await self.channel(connection, self.prefetch)
        await self._consume(channel)
        await self._leaving.wait()
        for consumer in list(channel.consumers.values()) if self._cancels else ():
            with contextlib.suppress(LeveretError):  # unanswered: then the end of the connection will do
                await consumer.cancel()
        for delivery, hold in list(self._mine.values()):
            self._settle(delivery, hold, GIVEN_BACK)
        await connection.close()

    async def _consume(self, channel: Channel) -> None:
        while True:
            try:
                await channel.consume(self.queue, self._take)
                return
            except WaitTimeout:  # it may have started all the same: then the client gives back what it got
                self.world.model.troubles += 1
            except ConnectionLost:
                await asyncio.sleep(0.5)

    def quit(self, cancels: bool) -> None:
        """Cancels its consumer first, or closes the connection at once."""
        self._cancels = cancels
        self._leaving.set()

    def lost(self, error: Exception) -> None:
        """What was on that connection is no longer ours."""
        super().lost(error)
        self._mine.clear()
        self._unmarked.clear()

    def _take(self, delivery: Delivery) -> None:
        world = self.world
        hold = arrived(self, self.queue, delivery)
        self._mine[delivery.delivery_tag] = delivery, hold
        if len(self._mine) > self.prefetch:
            world.broken(Violation(f"{self} has {len(self._mine)} messages with a prefetch of {self.prefetch}"))
        if world.random.random() >= self.habits.forgets:
            work_s = world.random.expovariate(1 / self.habits.work_s)
            world.loop.call_later(work_s, self._finish, delivery, hold, context=self.context)

    def _finish(self, delivery: Delivery, hold: Hold) -> None:
        """The work is done, or has failed."""
        if delivery.lost or delivery.settled or delivery.delivery_tag not in self._mine:
            return
        habits, random = self.habits, self.world.random
        kind = random.random()
        if kind < habits.gives_back:
            self._settle(delivery, hold, GIVEN_BACK)
        elif kind < habits.gives_back + habits.rejects:
            self._settle(delivery, hold, REJECTED)
        elif kind < habits.gives_back + habits.rejects + habits.together:
            self._settle_up_to(delivery, hold)
        else:
            self._settle(delivery, hold, ACKED)
        if random.random() < habits.marks:
            self.mark()

    def _settle(self, delivery: Delivery, hold: Hold, state: str) -> None:
        try:
            if state == ACKED:
                delivery.ack()
            else:
                delivery.nack(requeue=state == GIVEN_BACK)
        except LeveretError:
            return
        self._settled(delivery.delivery_tag, hold, state)

    def _settle_up_to(self, delivery: Delivery, hold: Hold) -> None:
        """With all that came before it on the channel."""
        try:
            delivery.ack(multiple=True)
        except LeveretError:
            return
        for tag, (_, other) in list(self._mine.items()):
            if tag <= delivery.delivery_tag:
                self._settled(tag, other, ACKED)

    def _settled(self, tag: int, hold: Hold, state: str) -> None:
        del self._mine[tag]
        self.world.say(f"{hold.message} {state} by {self.name}")
        self.world.model.settled(hold, state)
        if state == ACKED:
            self._unmarked.append(hold)

    def mark(self) -> None:
        """What was acknowledged before this publish is gone for good once it is confirmed."""
        covered, self._unmarked = self._unmarked, []
        life = self.world.network.life
        at = self.world.model.tick()
        try:
            confirm = self._channel.publish_nowait(b"mark", routing_key=MARKS, properties=PERSISTENT)
        except LeveretError:
            return
        assert confirm is not None
        confirm.add_done_callback(lambda future: self._marked(at, life, covered, future))

    def _marked(self, at: int, life: int, covered: list[Hold], confirm: asyncio.Future[None]) -> None:
        if not confirm.cancelled() and confirm.exception() is None:
            self.world.model.marked(at, life, covered)


class Pool(Process):
    """One set of slots for several queues; what waits too long for one goes back."""

    def __init__(self, world: World, name: str, queues: list[str], slots: int, work_s: float) -> None:
        self.queues = queues
        self.slots = Booked(self, slots)
        self.work_s = work_s
        self._leaving = asyncio.Event()
        super().__init__(world, name)

    async def live(self) -> None:
        connection = await self.connection()
        sources = [Tended(self, connection, queue) for queue in self.queues]
        tending = [self.spawn(source.tend()) for source in sources]
        await self._leaving.wait()
        self.slots.close()
        for task in tending:
            task.cancel()
        await asyncio.wait(tending)
        for source in sources:
            await source.quiet()
        await connection.close()

    def quit(self, cancels: bool) -> None:
        """In good order, whatever `cancels` says; what still runs is given back by the end of the connection."""
        self._leaving.set()

    def start(self, queue: str, delivery: Delivery) -> None:
        world = self.world
        work_s = world.random.expovariate(1 / self.work_s)
        world.loop.call_later(work_s, self._finish, delivery, context=self.context)

    def _finish(self, delivery: Delivery) -> None:
        hold = self.slots.holds.pop(delivery)
        if acknowledge(delivery):
            self.world.say(f"{hold.message} {ACKED} by {self}")
            self.world.model.settled(hold, ACKED)
        self.slots.release()


class Booked(Slots):
    """Tells the model what comes and what goes back."""

    def __init__(self, pool: Pool, number: int) -> None:
        super().__init__(number, pool.start)
        self.holds: dict[Delivery, Hold] = {}
        self._pool = pool

    def offer(self, queue: str, delivery: Delivery) -> bool:
        self.holds[delivery] = arrived(self._pool, queue, delivery)
        return super().offer(queue, delivery)

    def withdraw(self, queue: str) -> list[Delivery]:
        withdrawn = super().withdraw(queue)
        for delivery in withdrawn:
            hold = self.holds.pop(delivery)
            self._pool.world.say(f"{hold.message} {GIVEN_BACK} by {self._pool}")
            self._pool.world.model.settled(hold, GIVEN_BACK)
        return withdrawn


class Tended(Source):
    def __init__(self, pool: Pool, connection: Connection, queue: str) -> None:
        super().__init__(connection, Queue(queue), pool.slots, Pace(), backoff=pool.backoff())
        self._pool = pool

    async def _consume(self) -> None:
        try:
            await super()._consume()
        except LeveretError:  # it may have started all the same: then the client gives back what it got
            self._pool.world.model.troubles += 1
            raise
