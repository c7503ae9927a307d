"""Ten million messages of 1 KiB waiting: what that does to speed, memory, restart, and to everybody else on the loop.

`python -m bench.deep_backlog` (`make bench-backlog`) runs Leveret alone, under `bench.watchdog`: some ten minutes and 30 GB of disk. Rates are
ratios to those of a shallow queue, taken in turn. Exit code 0: every target is met; 1: one is not; 2: it cannot run here.
"""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import httpx
from rich.console import Console

from bench import CannotRun, RoundFailed
from bench.backlog import memory_most_mb
from bench.brokers import BrokerFailed, Leveret, build_of
from bench.load import LoadGenerator, connect, messages_ready
from bench.report import show, write_json
from bench.results import Row, Target
from bench.watchdog import stops
from leveret import client
from leveret.client import Delivery
from leveret.errors import LeveretError

COUNT, ROUND, ROUNDS, HELD = 10_000_000, 300_000, 3, 1_000_000
RATE_MIN, MEMORY_MAX_MB, RESTART_MAX_S, STOP_MAX_MS = 0.7, 512, 5, 50
DISK_PER_MESSAGE = 3_500
"""Octets: the messages, as much again for those with a time to live before the first are reused, and some to spare."""
BODY = ("--size", "1024")
FILL = ("--mode", "pub", "--durable", "--persistent", "--confirm", *BODY)
DRAIN = ("--mode", "sub", "--durable", "--consumers", "2")
"""Two: a sole consumer of the load generator expects to leave an empty queue behind."""
DEEP, SHALLOW, MORTAL = "deep", "shallow", "mortal"
STEPS = ("rates", "restart", "hold", "purge", "expire")
SETTLED_S = 0.5
WAIT_S = 600.0
EXPIRE_S_MIN, EXPIRE_RATE_MIN = 10.0, 60_000
"""Messages that are to expire live so long: their number at this rate, and some seconds."""


class Watched(Leveret):
    """Leveret under the watchdog."""

    def __init__(self) -> None:
        super().__init__(sys.executable)
        self.management = True
        self.stops = self.directory / "stops"

    def command(self) -> list[str]:
        python, _, _, *rest = super().command()
        return [python, "-m", "bench.watchdog", str(self.stops), *rest]

    def disk_mb(self) -> float:
        return sum(file.stat().st_size for file in (self.directory / "data").iterdir()) / 1e6


class Measurement:
    """`rows` grows with each step; each step is watched."""

    def __init__(self, load: LoadGenerator, broker: Watched, count: int, console: Console) -> None:
        self.load = load
        self.broker = broker
        self.count = count
        self.round = max(1_000, min(ROUND, count // 10))
        self.console = console
        self.rows: list[Row] = []
        self.memory = Row(
            "memory", f"{count:,} × 1 KiB waiting: most memory", Target("below", MEMORY_MAX_MB), "MB", "–"
        )

    def say(self, line: str) -> None:
        self.console.print(line, style="dim", highlight=False, markup=False)

    def remember_memory(self) -> None:
        self.memory.leveret = [max([memory_most_mb(self.broker), *self.memory.leveret])]

    @contextmanager
    def watched(self, name: str, what: str) -> Iterator[None]:
        """What happens inside must not stop the loop."""
        began = monotonic()
        yield
        time.sleep(SETTLED_S)
        found = stops(self.broker.stops, began)
        worst = max((stop.own_ms for stop in found), default=0.0)
        wall = max((stop.lasted_s * 1e3 for stop in found), default=0.0)
        self.remember_memory()
        self.say(
            f"{what}: {monotonic() - began - SETTLED_S:.1f} s, loop stopped at most {worst:.0f} ms ({wall:.0f} ms with "
            f"waiting for a processor), memory so far {self.memory.leveret[0]:.0f} MB, disk {self.broker.disk_mb():,.0f} MB"
        )
        row = Row(f"stop-{name}", f"{what}: longest stop of the loop", Target("below", STOP_MAX_MS), "ms", "–")
        row.leveret.append(worst)
        self.rows.append(row)

    def run(self, steps: list[str]) -> None:
        self.rows.append(self.memory)
        self.fill()
        for step in STEPS:
            if step in steps:
                getattr(self, step)()

    def fill(self) -> None:
        with self.watched("fill", f"{self.count:,} messages in"):
            rate = self.load.run(self.broker.port, DEEP, self.count, FILL)
        self.say(f"{rate:,.0f} msg/s in")

    def rates(self) -> None:
        """A shallow queue and the deep one in turn: so many in, so many out."""
        published = Row("publish", f"publish behind {self.count:,}", Target("times", RATE_MIN), "msg/s", "empty queue")
        consumed = Row(
            "consume", f"consume in front of {self.count:,}", Target("times", RATE_MIN), "msg/s", "shallow queue"
        )
        with self.watched("rates", "publishing and consuming in turn"):
            for number in range(ROUNDS):
                for queue, into, out in (
                    (SHALLOW, published.other, consumed.other),
                    (DEEP, published.leveret, consumed.leveret),
                ):
                    into.append(self.load.run(self.broker.port, queue, self.round, FILL))
                    out.append(self.load.run(self.broker.port, queue, self.round, DRAIN))
                    self.say(f"round {number + 1}/{ROUNDS}  {queue}: in {into[-1]:,.0f}, out {out[-1]:,.0f} msg/s")
        self.rows += [published, consumed]
        # The load generator does not wait for its last acknowledgements to arrive.
        self.count = messages_ready(self.broker.port, DEEP)

    def restart(self) -> None:
        """After a crash and after a shutdown."""
        row = Row("restart", f"{self.count:,} waiting: restart to ready", Target("below", RESTART_MAX_S), "s", "–")
        for end in (self.broker.kill, self.broker.stop):
            end()
            began = monotonic()
            self.broker.start()
            row.leveret.append(monotonic() - began)
            self.expect(DEEP, self.count)
            self.say(f"restart after {end.__name__}: {row.leveret[-1]:.2f} s, {self.count:,} messages there")
        self.rows.append(row)

    def hold(self) -> None:
        """A consumer without a prefetch takes very many and acknowledges none, and goes away."""
        held = min(HELD, self.count)

        async def take() -> None:
            taken = asyncio.Event()
            left = held

            def count(delivery: Delivery) -> None:
                nonlocal left
                left -= 1
                if not left:
                    taken.set()

            async with await client.connect(self.broker.url) as connection:
                channel = await connection.channel()
                await channel.consume(DEEP, count)
                await asyncio.wait_for(taken.wait(), WAIT_S)

        with self.watched("hold", f"{held:,} taken and not acknowledged, then given back"):
            client.run(take())
            self.wait_for(DEEP, self.count)

    def purge(self) -> None:
        with self.watched("purge", f"purge of {self.count:,}"):
            self.expect(DEEP, self.count)
            with connect(self.broker.port) as connection:
                purged = connection.channel().queue_purge(DEEP).method.message_count
        if purged != self.count:
            raise RoundFailed(f"{purged:,} of {self.count:,} messages were purged")
        row = Row(
            "restart-purge", "restart while the purged are being deleted", Target("below", RESTART_MAX_S), "s", "–"
        )
        self.broker.kill()
        began = monotonic()
        self.broker.start()
        row.leveret.append(monotonic() - began)
        self.rows.append(row)
        self.expect(DEEP, 0)
        before = self.broker.disk_mb()
        with self.watched("reuse", "a tenth of it again, into the room that became free"):
            self.load.run(self.broker.port, DEEP, self.count // 10, FILL)
        self.say(f"disk: {before:,.0f} MB before, {self.broker.disk_mb():,.0f} MB after")

    def expire(self) -> None:
        """All of them have expired when the broker starts."""
        ttl_s = EXPIRE_S_MIN + self.count / EXPIRE_RATE_MIN
        policy = {"pattern": f"^{MORTAL}$", "definition": {"message-ttl": int(ttl_s * 1000)}, "apply-to": "queues"}
        httpx.put(f"{self.broker.management_url}/api/policies/%2F/mortal", json=policy).raise_for_status()
        self.load.run(self.broker.port, MORTAL, self.count, FILL)
        full = monotonic()
        self.expect(MORTAL, self.count)
        self.broker.stop()
        self.say(f"{self.count:,} messages in; waiting until their {ttl_s:.0f} s are over")
        time.sleep(max(0.0, full + ttl_s - monotonic()))
        self.broker.start()
        with self.watched("expire", f"{self.count:,} found expired at the start"):
            self.wait_for(MORTAL, 0)

    def wait_for(self, queue: str, count: int) -> None:
        deadline = monotonic() + WAIT_S
        while (found := messages_ready(self.broker.port, queue)) != count:
            if monotonic() > deadline:
                raise RoundFailed(f"{found:,} messages wait in {queue}, expected {count:,}")
            time.sleep(0.2)

    def expect(self, queue: str, count: int) -> None:
        found = messages_ready(self.broker.port, queue)
        if found != count:
            raise RoundFailed(f"{found:,} messages wait in {queue}, expected {count:,}")


def check_room(count: int) -> None:
    free, needed = shutil.disk_usage(tempfile.gettempdir()).free, count * DISK_PER_MESSAGE
    if free < needed:
        raise CannotRun(f"{needed / 1e9:.0f} GB of disk are needed, {free / 1e9:.0f} GB are free (TMPDIR says where)")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench.deep_backlog", description="A very deep queue, and what it does to the broker."
    )
    parser.add_argument("--count", type=int, default=COUNT, help="messages of 1 KiB (default 10,000,000)")
    parser.add_argument("--step", action="append", choices=STEPS, help="only this one, after filling; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement to FILE")
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    console = Console() if sys.stdout.isatty() else Console(width=130)
    with tempfile.TemporaryDirectory(prefix="leveret-bench-") as directory:
        try:
            check_room(chosen.count)
            load, broker = LoadGenerator(Path(directory)), Watched()
        except CannotRun as reason:
            console.print(f"bench: {reason}", style="red", markup=False, highlight=False)
            return 2
        facts = {"build": build_of(sys.executable), "processors": str(os.cpu_count()), "messages": f"{chosen.count:,}"}
        measurement = Measurement(load, broker, chosen.count, console)
        try:
            broker.start()
            measurement.run(chosen.step or list(STEPS))
        except (BrokerFailed, RoundFailed, LeveretError, OSError, TimeoutError) as failure:
            console.print(f"failed: {failure or type(failure).__name__}", style="red", markup=False, highlight=False)
            return 1
        finally:
            broker.remove()
            show(console, measurement.rows)
            if chosen.json:
                write_json(chosen.json, facts, measurement.rows)
    return 1 if any(row.met is False for row in measurement.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
