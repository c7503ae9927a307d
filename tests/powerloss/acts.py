"""What happens in a broker's life, at random: publishing, acknowledging, failing, expiring, purging, deleting, restarting.

Each act first notes what it asks for, then does it, then asks the store for the report that makes it a promise.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from leveret.broker.settings import GLOBAL_PARAMETER
from leveret.wire.frames import header_payload
from leveret.wire.properties import BasicProperties, encode_properties
from powerloss.history import NOWHERE, Copy, History, Step
from powerloss.life import DEAD, DELIVERY_LIMIT, LINE, TTL_MS, Held, Life

NUMBER_BYTES: Final = 8
LONG_BYTES: Final = 40_000
DELAY_MS_MAX: Final = 1500
RESTART_ACTS: Final = 150
ROUTES: Final = ("plain", "paged", "ranked", "late", "fails", "short", "limited", "counted", "doomed", "fan", "delayed")
PURGED: Final = ("plain", "paged", "ranked", "right", "short", "doomed", *DEAD)
BURIES: Final = {"fails": "dead-fails", "limited": "dead-limited", "counted": "dead-counted"}


class Acts:
    def __init__(self, life: Life, seed: str) -> None:
        self._life: Final = life
        self._random: Final = Random(seed)
        self._numbers = 0
        often: list[tuple[int, Callable[[], None]]] = [
            (12, self._publish),
            (12, self._acknowledge),
            (3, self._acknowledge_all),
            (4, self._reject),
            (5, self._give_back),
            (3, self._pass_time),
            (2, self._set),
            (1, self._purge),
            (1, self._delete_and_declare),
            (10, life.turn),
            (8, life.report),
            (3, life.settle),
            (2, life.finish_slices),
        ]
        self._acts: Final = [act for count, act in often for _ in range(count)]

    def live(self, count: int) -> None:
        for number in range(1, count + 1):
            self._random.choice(self._acts)()
            self._life.look()
            if number % RESTART_ACTS == 0:
                self._life.restart()
        self._life.end()

    # ---- in

    def _publish(self) -> None:
        route = self._random.choice(ROUTES)
        for _ in range(self._random.randrange(1, 12)):
            self._publish_one(route)

    def _publish_one(self, route: str) -> None:
        life = self._life
        self._numbers += 1
        body = self._body(self._numbers)
        persistent = route != "paged" or self._random.random() < 0.8
        delay_ms = self._random.randrange(1, DELAY_MS_MAX) if route == "delayed" and self._random.random() < 0.9 else 0
        properties = BasicProperties(
            delivery_mode=2 if persistent else 1,
            priority=self._random.randrange(5) if route == "ranked" else None,
            headers={"x-delay": delay_ms} if delay_ms else None,
        )
        if persistent:
            self._note(body, route, delay_ms)
        else:
            life.trace.transient.add(self._numbers)
        exchange = route if route in ("fan", "delayed") else ""
        address = life.world.address("late" if exchange else route, exchange=exchange)
        header = header_payload(len(body), encode_properties(properties))
        life.broker.routers["/"].publish(life.publisher, address, header, body)
        life.confirmed(life.here())

    def _body(self, number: int) -> bytes:
        """Its number, and octets that follow from that alone."""
        size = LONG_BYTES if self._random.random() < 0.02 else self._random.choice((0, 20, 300, 3000))
        return number.to_bytes(NUMBER_BYTES, "big") + Random(number).randbytes(self._random.randrange(size + 1))

    def _note(self, body: bytes, route: str, delay_ms: int) -> None:
        """A copy for each queue it goes to; the confirm promises all of them."""
        life = self._life
        names = ("left", "right") if route == "fan" else ("late",) if route == "delayed" else (route,)
        steps = []
        for name in [LINE] if delay_ms else names:
            copy = Copy(self._numbers, body)
            copy.due = life.now_ms + (delay_ms or TTL_MS)
            life.trace.copies.append(copy)
            steps.append(self._go(copy, name))
            if name == "limited":
                self._overflow()
        confirms = life.publisher.confirms
        if confirms is not None:
            life.waiting[confirms.published + 1] = steps

    def _overflow(self) -> None:
        """Any message in the queue that is full may be the one to go."""
        for copy in self._at("limited"):
            self._go(copy, "dead-limited", surely=False)

    def _at(self, name: str) -> list[Copy]:
        return self._life.whereabouts.at(self._life.place(name))

    def _go(self, copy: Copy, name: str, surely: bool = True) -> Step:
        """The copy is asked to go to that queue, or NOWHERE."""
        life = self._life
        place = NOWHERE if name == NOWHERE else life.place(name)
        return life.whereabouts.go(copy, place, life.here(), surely)

    # ---- out

    def _take(self, held: list[Held]) -> None:
        taken = {(one.channel.number, one.tag) for one in held}
        self._life.unacked = [one for one in self._life.unacked if (one.channel.number, one.tag) not in taken]

    def _some(self, most: int) -> list[Held]:
        """Some deliveries, which are about to be settled."""
        unacked = self._life.unacked
        held = self._random.sample(unacked, min(len(unacked), self._random.randrange(1, most)))
        self._take(held)
        return held

    def _acknowledge(self) -> None:
        self._acknowledge_each(self._some(12), multiple=False)

    def _acknowledge_all(self) -> None:
        """All that one channel holds, at once."""
        if self._life.unacked:
            channel = self._random.choice(self._life.unacked).channel
            held = [one for one in self._life.unacked if one.channel is channel]
            self._take(held)
            self._acknowledge_each(held, multiple=True)

    def _acknowledge_each(self, held: list[Held], multiple: bool) -> None:
        steps = [self._go(one.copy, NOWHERE) for one in held if one.copy is not None]
        for one in held[-1:] if multiple else held:
            one.channel.ack(one.tag, multiple)
        self._life.promise(steps)

    def _reject(self) -> None:
        held = self._some(5)
        steps = [self._go(one.copy, BURIES.get(one.queue, NOWHERE)) for one in held if one.copy is not None]
        for one in held:
            one.channel.reject(one.tag, requeue=False)
        self._life.promise(steps)

    def _give_back(self) -> None:
        for one in self._some(4):
            step = None if one.copy is None else self._count_return(one.copy, one.queue)
            one.channel.reject(one.tag, requeue=True)
            self._life.look()
            if step is not None:
                self._life.promise([step])

    def _count_return(self, copy: Copy, name: str) -> Step:
        life = self._life
        returns = copy.returns.setdefault(life.place(name), History())
        count = len(returns.steps) + 1
        if name == "counted" and count > DELIVERY_LIMIT:
            return self._go(copy, "dead-counted")
        if name == "limited":
            self._overflow()
        return returns.ask(str(count), life.here())

    def _pass_time(self) -> None:
        """Messages expire, and delayed ones go on."""
        life = self._life
        life.now_ms += self._random.randrange(1, 600)
        for name, onward in (("short", "dead-short"), (LINE, "late")):
            for copy in self._at(name):
                if copy.due <= life.now_ms and len(copy.perhaps) == 1:
                    self._go(copy, onward, surely=False)
        life.broker.at(life.now_ms)

    # ---- whole queues, and settings

    def _purge(self) -> None:
        self._life.strike_off(self._purge_one)

    def _purge_one(self) -> None:
        life = self._life
        name = self._random.choice(PURGED)
        held = {one.copy.number for one in life.unacked if one.copy is not None and one.queue == name}
        ready = [copy for copy in self._at(name) if copy.number not in held]
        steps = self._drop(ready)
        life.vhost.queues[name].purge(lambda count: None)
        life.promise(steps)

    def _drop(self, copies: list[Copy]) -> list[Step]:
        """They are asked to go; the steps of those that are certainly there to be asked."""
        sure = [copy for copy in copies if len(copy.perhaps) == 1]
        for copy in copies:
            if len(copy.perhaps) > 1:
                self._go(copy, NOWHERE, surely=False)
        return [self._go(copy, NOWHERE) for copy in sure]

    def _delete_and_declare(self) -> None:
        self._life.strike_off(self._delete_and_declare_one)

    def _delete_and_declare_one(self) -> None:
        life = self._life
        steps = [*self._drop(self._at("doomed")), life.ask_named("queue doomed", NOWHERE)]
        life.vhost.delete_queue(life.vhost.queues["doomed"])
        life.promise(steps)
        life.declare("doomed")
        for _ in range(self._random.randrange(4)):
            self._publish_one("doomed")

    def _set(self) -> None:
        life = self._life
        name = f"s{self._random.randrange(6)}"
        if self._random.random() < 0.3:
            step = life.ask_named(f"setting {name}", NOWHERE)
            life.broker.commons.settings.drop(GLOBAL_PARAMETER, name)
        else:
            value = self._random.randrange(1 << 30)
            step = life.ask_named(f"setting {name}", str(value))
            life.broker.tenants.put_global_parameter(name, value)
        life.promise([step])
