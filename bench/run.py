"""The benchmark's command line: what to measure, on which brokers, and what the outcome means.

Exit code 0: every target that was judged is met (with --quick: everything ran); 1: a target is not met, or a
scenario failed; 2: it cannot run here.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn, TypeVar

from rich.console import Console

from bench import CannotRun
from bench.backlog import run_backlog
from bench.brokers import Broker, BrokerFailed, Leveret, RabbitMQ, build_of, product, pure_python
from bench.client_rounds import run_clients
from bench.load import LoadGenerator
from bench.report import show, write_json
from bench.results import Row
from bench.rounds import SCENARIOS, new_row, run_scenario
from bench.scale import run_scale

Started = TypeVar("Started", Leveret, RabbitMQ)
NAMES = (*(scenario.name for scenario in SCENARIOS), "client", "scale", "backlog")


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Leveret beside a real RabbitMQ on this machine.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each scenario (default 5)")
    parser.add_argument("--scenario", action="append", choices=NAMES, help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="few messages: shows that it runs, proves no speed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement to FILE")
    chosen = parser.parse_args(argv)
    if chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    return chosen


class Bench:
    """Owns what is started: `stack` ends all of it, whatever happens."""

    def __init__(self, stack: ExitStack, console: Console, rounds: int, quick: bool) -> None:
        self.stack = stack
        self.console = console
        self.rounds = rounds
        self.quick = quick
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="leveret-bench-"))
        self.load = LoadGenerator(Path(directory))

    def progress(self, line: str) -> None:
        self.console.print(line, style="dim", highlight=False, markup=False)

    def owned(self, broker: Started) -> Started:
        """Removed at the end of the benchmark, at the latest."""
        self.stack.callback(broker.remove)
        return broker

    def start(self, broker: Started) -> Started:
        self.owned(broker).start()
        return broker

    def throughput(self, names: list[str], rabbitmq: Broker, leveret: Broker) -> list[Row]:
        rows = []
        for scenario in SCENARIOS:
            if scenario.name not in names:
                continue
            subject: Broker | None = leveret
            if scenario.pure:
                python = pure_python()
                subject = self.start(Leveret(python, "Leveret pure")) if python else None
            if subject is None:
                rows.append(new_row(scenario))
                rows[-1].note = "skipped: there is no .venv-pure/bin/python; `make test-pure` creates it"
                continue
            rows.append(run_scenario(self.load, scenario, rabbitmq, subject, self.rounds, self.quick, self.progress))
        return rows

    def backlog(self) -> list[Row]:
        rabbitmq, leveret = self.owned(RabbitMQ()), self.owned(Leveret(sys.executable))
        return run_backlog(self.load, rabbitmq, leveret, self.quick, self.progress)


def about(rabbitmq: Broker, leveret: Broker, build: str, rounds: int, quick: bool) -> dict[str, str]:
    """What a reader must know to judge the figures."""
    doubt = "" if build.startswith("compiled") else "; the targets are those of the compiled build"
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "rabbitmq": product(rabbitmq.port),
        "leveret": f"{product(leveret.port)}, {build}{doubt}",
        "rounds": f"{rounds}{', quick: too few messages to judge speed' if quick else ''}",
    }


def measure(stack: ExitStack, console: Console, chosen: argparse.Namespace) -> list[Row]:
    names = chosen.scenario or list(NAMES)
    bench = Bench(stack, console, chosen.rounds, chosen.quick)
    rabbitmq = bench.owned(RabbitMQ())
    build = build_of(sys.executable)
    rabbitmq.start()
    leveret = bench.start(Leveret(sys.executable))
    facts = about(rabbitmq, leveret, build, chosen.rounds, chosen.quick)
    for key, value in facts.items():
        console.print(f"{key}: {value}", highlight=False, markup=False)
    rows = bench.throughput(names, rabbitmq, leveret)
    if "client" in names:
        rows.append(run_clients(bench.load, leveret, chosen.rounds, chosen.quick, bench.progress))
    if "scale" in names:
        other = bench.owned(Leveret(sys.executable))
        rows += run_scale(leveret, other, min(chosen.rounds, 3), chosen.quick, bench.progress)
    if "backlog" in names:
        rows += bench.backlog()
    for row in rows:
        row.judged = not chosen.quick
    show(console, rows)
    if chosen.json:
        write_json(chosen.json, facts, rows)
    return rows


def interrupted(number: int, frame: object) -> NoReturn:
    """SIGTERM ends everything that was started, as Ctrl-C does."""
    raise KeyboardInterrupt


def outcome(rows: list[Row]) -> int:
    return 1 if any(row.failed or row.met is False for row in rows) else 0


def main(argv: list[str] | None = None) -> int:
    chosen = arguments(argv)
    console = Console() if sys.stdout.isatty() else Console(width=130)
    signal.signal(signal.SIGTERM, interrupted)
    try:
        with ExitStack() as stack:
            try:
                return outcome(measure(stack, console, chosen))
            finally:
                # A second Ctrl-C must not leave a broker behind.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except (BrokerFailed, CannotRun) as reason:
        console.print(f"bench: {reason}", style="red", markup=False, highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("bench: interrupted; everything it started has ended")
        return 130
