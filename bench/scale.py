"""What a message costs the broker when there is much of everything: processor time per message, small against large.

The cost is that of the broker's process, its threads and the kernel on their behalf, so neither the client nor the machine's other work counts.
Linux only (/proc). Called by `bench.run`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from bench import RoundFailed, crowd
from bench.brokers import BrokerFailed, Leveret
from bench.results import Row, Target
from leveret.client import run
from leveret.errors import LeveretError

COUNT, COUNT_QUICK = 50_000, 2_000
QUEUES, QUEUES_QUICK = 10_000, 200
TIMES_MAX = 1.5
DECLARE_S_MAX, RESTART_S_MAX = 10, 5


class Crowd(NamedTuple):
    name: str
    what: str
    sizes: tuple[int, ...]
    make: Callable[[str, int], AbstractAsyncContextManager[crowd.Traffic]]


CROWDS = (
    Crowd("queues", "queues in turn", (1, 100, 10_000), crowd.queues),
    Crowd("consumers", "consumers of one queue, prefetch 1", (1, 100, 1_000), crowd.consumers),
    Crowd("connections", "connections, one of them busy", (1, 5_000), crowd.connections),
    Crowd("bindings", "topic bindings", (1, 10_000), crowd.bindings),
)


def processor_s(broker: Leveret) -> float:
    """Processor time that the threads of the broker's process have used."""
    if broker.process is None:
        raise RoundFailed("the broker is not running")
    threads = Path(f"/proc/{broker.process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def cost_us(broker: Leveret, kind: Crowd, size: int, count: int) -> float:
    """Microseconds of the broker's processor time per message."""

    async def main() -> float:
        async with kind.make(broker.url, size) as traffic:
            await traffic.flow(max(count // 10, min(size, count)))
            before = processor_s(broker)
            await traffic.flow(count)
            return processor_s(broker) - before

    return run(main()) / count * 1e6


def run_crowd(broker: Leveret, kind: Crowd, rounds: int, quick: bool, progress: Callable[[str], None]) -> list[Row]:
    """A row for each size beside the smallest, measured in turn with it."""
    smallest = kind.sizes[0]
    rows = [
        Row(f"scale-{kind.name}-{size}", f"{size:,} {kind.what}", Target("within", TIMES_MAX), "µs/msg", f"{smallest}")
        for size in kind.sizes[1:]
    ]
    count = COUNT_QUICK if quick else COUNT
    try:
        for number in range(rounds):
            base = cost_us(broker, kind, smallest, count)
            progress(f"scale  round {number + 1}/{rounds}  {smallest:,} {kind.what}: {base:.2f} µs/msg")
            for row, size in zip(rows, kind.sizes[1:], strict=True):
                cost = cost_us(broker, kind, size, count)
                row.other.append(base)
                row.leveret.append(cost)
                progress(f"scale  round {number + 1}/{rounds}  {size:,} {kind.what}: {cost:.2f} µs/msg")
    except (RoundFailed, LeveretError, OSError, TimeoutError) as failure:
        for row in rows:
            row.fail(failure or type(failure).__name__)
    return rows


def run_durable(broker: Leveret, quick: bool, progress: Callable[[str], None]) -> list[Row]:
    """Starts the broker and removes it."""
    count = QUEUES_QUICK if quick else QUEUES
    declared = Row("scale-declare", f"{count:,} durable queues: declared", Target("below", DECLARE_S_MAX), "s", "–")
    restarted = Row("scale-restart", f"{count:,} durable queues: restart", Target("below", RESTART_S_MAX), "s", "–")
    try:
        broker.start()
        began = perf_counter()
        run(crowd.declare_durable(broker.url, count))
        declared.leveret.append(perf_counter() - began)
        broker.stop()
        began = perf_counter()
        broker.start()
        restarted.leveret.append(perf_counter() - began)
        progress(f"scale  {count:,} durable queues: {declared.leveret[0]:.2f} s, restart {restarted.leveret[0]:.2f} s")
    except (BrokerFailed, LeveretError, OSError) as failure:
        declared.fail(failure)
        restarted.fail(failure)
    finally:
        broker.remove()
    return [declared, restarted]


def run_scale(broker: Leveret, other: Leveret, rounds: int, quick: bool, progress: Callable[[str], None]) -> list[Row]:
    """`broker` runs; `other` is started and removed."""
    rows = [row for kind in CROWDS for row in run_crowd(broker, kind, rounds, quick, progress)]
    return rows + run_durable(other, quick, progress)
