"""Takes the figures of all there is every few seconds, in slices, and remembers them while what they are of is there.

One for the broker, on its loop, started by server/http. Read by management/details, which makes RabbitMQ's `_details`
of them, and by the dashboard: `chart`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Iterator
from itertools import pairwise
from typing import Final

from leveret.broker.broker import Broker
from leveret.broker.queue import Queue
from leveret.broker.vhost import VirtualHost
from leveret.management import figures
from leveret.management.series import Series

SLICE_S: Final = 0.002
"""The loop is held for so long at most, about."""
ROWS_MAX: Final = 250_000
"""Of all series together, in which figures keep changing: some 30 MB. With more than 2,000 of them each keeps less than ten minutes."""
ROWS_EACH_MAX: Final = 121
COARSE_MAX: Final = 61
DAY_MAX: Final = 1_441
LOAD_WEIGHT: Final = 0.2
"""How much a sample counts in a queue's `load`, which looks back a minute or so."""


class Sampling:
    def __init__(self, broker: Broker, node: Callable[[], figures.Figures], every_s: float) -> None:
        """`node`: the figures of the process, as management/process names them."""
        self._broker: Final = broker
        self._node: Final = node
        self.every_s: Final = every_s
        self.at_ms = 0
        """When the newest sample was taken."""
        self.total: Final = Series(len(figures.TOTAL))
        self.node: Final = Series(len(node()))
        self._before_ms = 0
        self._of: dict[Hashable, Series] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def of(self, thing: Hashable) -> Series | None:
        """The figures of a queue, exchange, channel, connection or virtual host; None if none were taken yet."""
        return self._of.get(thing)

    @property
    def step_s(self) -> float:
        """The time between the newest sample and the one before."""
        return (self.at_ms - self._before_ms) / 1000 if self._before_ms else self.every_s

    def rate(self, series: Series | None, column: int) -> float:
        """Changes a second, in the newest sample."""
        return 0.0 if series is None else series.step(column, self.at_ms) / self.step_s

    def chart(self, queue: Queue | None, age_s: float) -> dict[str, list[float]]:
        """Of a queue, or of the whole broker: `at` (seconds since 1970), `ready` and `unacked`, and `publish`, `deliver_get`
        and `ack` a second, oldest first.
        """
        names = figures.TOTAL if queue is None else figures.QUEUE
        series = self.total if queue is None else self.of(queue)
        every_ms = int(self.every_s * 1000)
        times = list(range(self.at_ms - int(age_s * 1000) // every_ms * every_ms, self.at_ms + 1, every_ms))
        series = Series(len(names)) if series is None else series
        shown: dict[str, list[float]] = {"at": [one / 1000 for one in times]}
        for name, column in (("ready", "messages_ready"), ("unacked", "messages_unacknowledged")):
            shown[name] = [float(value) for value in series.values(names.index(column), times)]
        for name in ("publish", "deliver_get", "ack"):
            values = series.values(names.index(name), [times[0] - every_ms, *times])
            shown[name] = [max(0, b - a) / self.every_s for a, b in pairwise(values)]
        return shown

    # ---- taking samples

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.every_s - time.time() % self.every_s)
            now_ms = time.time_ns() // 1_000_000
            # A sleep may end a moment too early: the rest of it is no time for another sample.
            if abs(now_ms - self.at_ms) > self.every_s * 500:
                await self.sample(now_ms)

    async def sample(self, at_ms: int) -> None:
        """Of everything, with the others' turns between."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SLICE_S
        for _ in self.steps(at_ms):
            if loop.time() > until:
                await asyncio.sleep(0)
                until = loop.time() + SLICE_S

    def steps(self, at_ms: int) -> Iterator[None]:
        """The same, a little of it each time. Only at the end it counts as the newest."""
        rows_each = min(ROWS_EACH_MAX, max(2, ROWS_MAX // (len(self._of) + 1)))
        fresh: dict[Hashable, Series] = {}
        total = figures.Sums()
        total.gone(self._broker)

        def take(thing: Hashable, taken: figures.Figures) -> Series:
            series = fresh[thing] = self._of.get(thing) or Series(len(taken))
            series.add(at_ms, taken, rows_each, COARSE_MAX)
            return series

        for vhost in list(self._broker.vhosts.values()):
            sums = figures.Sums()
            yield from sums.vhost(vhost)
            take(vhost, sums.figures())
            total.add(sums)
            yield from self._within(vhost, take)
        self.total.add(at_ms, (*total.figures(), *figures.of_churn(self._broker)), ROWS_EACH_MAX, DAY_MAX)
        self.node.add(at_ms, self._node(), ROWS_EACH_MAX, DAY_MAX)
        self._of = fresh
        self._before_ms, self.at_ms = self.at_ms, at_ms

    def _within(self, vhost: VirtualHost, take: Callable[[Hashable, figures.Figures], Series]) -> Iterator[None]:
        for queue in list(vhost.queues.values()):
            series = take(queue, figures.of_queue(queue))
            series.load += (is_free(queue) - series.load) * LOAD_WEIGHT
            yield
        for exchange in list(vhost.exchanges.values()):
            take(exchange, figures.of_exchange(exchange))
            yield
        for peer in list(vhost.peers.values()):
            take(peer, figures.of_peer(peer))
            for channel in peer.channels.values():
                take(channel, figures.of_channel(channel))
            yield


def is_free(queue: Queue) -> float:
    """1 if a new message would be delivered at once."""
    return float(bool(queue.ring) and not queue.backlog.count)
