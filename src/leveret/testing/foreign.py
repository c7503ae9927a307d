"""A broker that runs already, named by LEVERET_TEST_URL: a RabbitMQ, say. Its clock is the real one.

It is asked by AMQP alone. What it cannot tell (who works on what) is known by the worker, which is ours. Its queues are
emptied before and after each test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final
from unittest import SkipTest

from leveret.client.blocking import BlockingChannel, BlockingDelivery, connect_blocking
from leveret.errors import ChannelError
from leveret.tasks.ladder import UNIT_MS
from leveret.testing.place import RUNG_NAMES, Place, Waiting, due, is_ticket, lanes_of, wait_ms, with_dead

NAME: Final = "LEVERET_TEST_URL"
REAL_MAX_MS: Final = 5_000
"""So long a test waits for real time to pass."""

LATE_MS: Final = 1_000
"""A delayed message may come so much later: brokers look at their clocks when they have time to."""

REGAIN_S: Final = 5.0
"""What does not come back within so long was parked, or taken by somebody else."""

LOOK_S: Final = 0.02
QUIET_LOOKS: Final = 3


class Foreign(Place):
    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = connect_blocking(url, name="leveret tests")
        self._looking = ThreadPoolExecutor(1, "leveret-test-looking")
        self._closed = False

    def close(self) -> None:
        self._closed = True
        self._looking.shutdown()
        self._connection.close()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    @contextmanager
    def _existing(self, queue: str) -> Iterator[tuple[BlockingChannel, int] | None]:
        """A channel for this alone, and how many are ready; None if there is no such queue. What is got goes back."""
        channel = self._connection.channel()
        try:
            count = channel.queue_declare(queue, passive=True).messages
        except ChannelError:
            yield None
            return
        with channel:
            yield channel, count

    def empty(self, queues: Sequence[str]) -> None:
        for name in (*lanes_of(self._there(queues)), *with_dead(queues), *RUNG_NAMES):
            with self._existing(name) as found:
                if found is not None:
                    found[0].queue_purge(name)

    def busy(self, queues: Sequence[str]) -> bool:
        return any(self._ready(name) for name in queues)

    def _ready(self, queue: str) -> int:
        with self._existing(queue) as found:
            return 0 if found is None else found[1]

    def idle(self, queues: Sequence[str], working: Callable[[], bool]) -> Future[None]:
        """A message on its way to the worker is seen by nobody: it is looked at several times."""

        def look() -> None:
            quiet = 0
            while quiet < QUIET_LOOKS and not self._closed:
                quiet = 0 if working() or self.busy(queues) else quiet + 1
                time.sleep(LOOK_S)

        return self._looking.submit(look)

    def regain(self, queues: Sequence[str]) -> None:
        """What a worker that was killed had is seen by nobody until the broker misses its connection."""
        until_s = time.monotonic() + REGAIN_S
        while not self.busy(queues) and time.monotonic() < until_s:
            time.sleep(LOOK_S)

    def reach(self, until_ms: int) -> None:
        left_ms = until_ms - self.now_ms()
        if left_ms > REAL_MAX_MS:
            raise SkipTest(
                f"the broker of {NAME} has no virtual clock, and nobody waits {left_ms / 1000:.0f} s: "
                "run this test on the embedded broker"
            )

    def advance(self, until_ms: int, queues: Sequence[str]) -> bool:
        self.reach(until_ms)
        until_ms += LATE_MS if until_ms > self.now_ms() else 0
        while self.now_ms() < until_ms:
            if self.busy(queues):
                return True
            time.sleep(LOOK_S)
        return False

    def waiting(self, queues: Sequence[str]) -> list[Waiting]:
        """They are got and given back, so that the broker marks them redelivered. Lanes are known by their tickets."""
        there = self._there(queues)
        lanes = lanes_of(there).items()
        laned = [Waiting(home, one.body, one.properties) for lane, home in lanes for one in self._got(lane)]
        return sorted(
            (one for one in there + laned if not is_ticket(one.properties)), key=lambda waiting: waiting.due_in_ms
        )

    def _there(self, queues: Sequence[str]) -> list[Waiting]:
        """Tickets too, and no lanes."""
        ready = [Waiting(name, one.body, one.properties) for name in queues for one in self._got(name)]
        coming = [_coming(number, one) for number, name in enumerate(RUNG_NAMES) for one in self._got(name)]
        return ready + [one for one in coming if one.queue in queues]

    def _got(self, queue: str) -> list[BlockingDelivery]:
        with self._existing(queue) as found:
            if found is None:
                return []
            channel, count = found
            got = [channel.get(queue) for _ in range(count)]
            return [delivery for delivery in got if delivery is not None]


def _coming(number: int, delivery: BlockingDelivery) -> Waiting:
    """At the latest: how long it has been on its rung the broker does not tell."""
    properties = delivery.properties
    queue, due_in_ms = due(number, delivery.routing_key, UNIT_MS << number, wait_ms(properties))
    return Waiting(queue, delivery.body, properties, due_in_ms)
