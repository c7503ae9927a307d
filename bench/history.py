"""What the broker's memory costs the message path: with history and without, in one run, in rounds that alternate.

Two paths: plain messages (amqp_load, durable and confirmed), and a drain of no-op tasks by two worker processes of five threads,
which say what they do only where somebody listens. Of both the rate is measured, and the processor time for each message
or task, which other programs on the machine disturb less. Run by `make bench-history`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench import ROOT
from bench.brokers import Leveret, build_of
from bench.load import LoadGenerator, delete_queue, messages_ready
from bench.rounds import SAFE

QUEUE = "bench-history"
MOST = 1.03
"""With history a message may cost so many times what it costs without."""
DRAIN_S_MAX = 300.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Figures:
    """Of each round: messages or tasks per second, and microseconds of processor time for each, by side."""

    rates: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    broker_us: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    worker_us: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})

    def show(self, title: str) -> bool:
        """Whether what it costs is within the bound."""
        print(f"\n{title}\n{'':28}{'without':>12}{'with':>12}{'ratio':>9}")
        whole = {side: self._whole_us(side) for side in (False, True)}
        for name, sides in (
            ("per second", self.rates),
            ("broker, us of processor", self.broker_us),
            ("workers, us of processor", self.worker_us),
            ("all, us of processor", whole),
        ):
            if sides[True]:
                off, on = median(sides[False]), median(sides[True])
                print(f"{name:28}{off:>12,.2f}{on:>12,.2f}{ratio(sides):>9.3f}")
        return ratio(whole) <= MOST

    def _whole_us(self, side: bool) -> list[float]:
        workers = self.worker_us[side] or [0.0] * len(self.broker_us[side])
        return [sum(both) for both in zip(self.broker_us[side], workers, strict=True)]


def ratio(sides: dict[bool, list[float]]) -> float:
    """The median of the rounds' own: what disturbs the machine for longer than a round disturbs both sides of it."""
    return median(on / off for off, on in zip(sides[False], sides[True], strict=True))


def processor_s(pid: int) -> float:
    """User and system time of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def messages(load: LoadGenerator, broker: Leveret, count: int, queue: str, figures: Figures) -> None:
    load.run(broker.port, f"{queue}-warm-up", count // 10, (*SAFE, "--size", "16", "--mode", "both"))
    delete_queue(broker.port, f"{queue}-warm-up", expected=0)
    assert broker.process is not None
    before_s = processor_s(broker.process.pid)
    figures.rates[broker.history].append(load.run(broker.port, queue, count, (*SAFE, "--size", "16")))
    used_s = processor_s(broker.process.pid) - before_s
    figures.broker_us[broker.history].append(used_s / count * 1e6)
    delete_queue(broker.port, queue, expected=0)


def drain(broker: Leveret, count: int, directory: Path, figures: Figures) -> None:
    """The queue is filled, and workers come: measured between early and late tasks of each process."""
    environment = {**os.environ, "LEVERET_URL": broker.url, "BENCH_MARKS": str(directory), "PYTHONPATH": _path()}
    fill = [sys.executable, "-m", "bench.history_app", str(count)]
    subprocess.run(fill, check=True, cwd=ROOT, env=environment)
    assert broker.process is not None
    before_s = processor_s(broker.process.pid)
    command = [sys.executable, "-m", "leveret", "worker", "bench.history_app", "--processes", "2", "--threads", "5"]
    worker = subprocess.Popen([*command, "--log-level", "warning"], cwd=ROOT, env=environment)
    try:
        until = time.monotonic() + DRAIN_S_MAX
        while messages_ready(broker.port, QUEUE) and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(0.5)  # the last of them, which were fetched ahead
    finally:
        worker.terminate()
        worker.wait()
    used_s = processor_s(broker.process.pid) - before_s
    marks = [_marks(path) for path in directory.iterdir()]
    done = sum(last[0] - first[0] for first, last in marks)
    rate = sum((last[0] - first[0]) / (last[1] - first[1]) for first, last in marks)
    figures.rates[broker.history].append(rate)
    figures.broker_us[broker.history].append(used_s / count * 1e6)
    figures.worker_us[broker.history].append(sum(last[2] - first[2] for first, last in marks) / done * 1e6)


def _path() -> str:
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))


def _marks(path: Path) -> tuple[list[float], list[float]]:
    lines = [[float(word) for word in line.split()] for line in path.read_text().splitlines()]
    return lines[0], lines[-1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.history", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--tasks", type=int, default=20_000)
    chosen = parser.parse_args()
    plain, tasks = Figures(), Figures()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leveret-bench-")))
        load = LoadGenerator(place)
        brokers = []
        for history in (False, True):
            broker = Leveret(sys.executable)
            broker.history = history
            stack.callback(broker.remove)
            broker.start()
            brokers.append(broker)
        print(f"{build_of(sys.executable)}; {chosen.rounds} rounds, medians")
        for number in range(chosen.rounds):
            for broker in brokers if number % 2 == 0 else reversed(brokers):
                messages(load, broker, chosen.messages, f"plain-{number}", plain)
                directory = place / f"{number}-{broker.history}"
                directory.mkdir()
                drain(broker, chosen.tasks, directory, tasks)
                print(f"round {number + 1}/{chosen.rounds}, history {'on' if broker.history else 'off'}", flush=True)
    met = [
        plain.show(f"{chosen.messages:,} messages: durable, confirmed, acknowledged, 16 B"),
        tasks.show(f"{chosen.tasks:,} tasks that do nothing: 2 processes of 5 threads"),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    raise SystemExit(main())
