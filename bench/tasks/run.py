"""The command line of `make bench-tasks`: whom to measure, how often, and where the table goes.

Exit code 0: all that was asked for was measured, or is named as left out; 1: a measurement failed; 2: it cannot run here.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from bench import ROOT, CannotRun, RoundFailed
from bench.brokers import BrokerFailed, build_of
from bench.run import interrupted
from bench.tasks.measures import KILL_PROCESSES, MEASURES
from bench.tasks.peers import PEERS, SLOTS, Contestant, contestants
from bench.tasks.report import figure, markdown, measured, show, write_json
from bench.tasks.results import METRICS, Row
from bench.tasks.servers import Servers
from bench.tasks.session import Place

MODES = ("default", "reliable")
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
PACKAGES = ("celery", "dramatiq", "faststream", "huey", "rq", "taskiq", "taskiq-aio-pika", "taskiq-redis")

Progress = Callable[[str], None]


def several(allowed: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(allowed)}")
        return chosen

    return parse


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.tasks", description="Leveret beside other Python task queues.")
    peers, measures = tuple(PEERS), tuple(MEASURES)
    parser.add_argument(
        "--peers", type=several(peers), default=list(peers), metavar="A,B", help=f"of {', '.join(peers)}"
    )
    parser.add_argument(
        "--measures", type=several(measures), default=list(measures), metavar="A,B", help=f"of {', '.join(measures)}"
    )
    parser.add_argument(
        "--modes", type=several(MODES), default=list(MODES), metavar="A,B", help=f"of {', '.join(MODES)}"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement (default 3)")
    parser.add_argument("--tasks", type=int, default=20_000, help="no-op tasks to enqueue and drain (default 20000)")
    parser.add_argument(
        "--processes",
        type=int,
        default=2,
        choices=(1, 2, 5),
        help="to spread the ten slots over, where a peer has the choice (default 2, with which most peers are quicker)",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to FILE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement to FILE")
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON, help="the Python that has the peers")
    chosen = parser.parse_args(argv)
    # Not resolved: in a venv it is a link, and the link is what makes it the venv's.
    chosen.peers_python = str(chosen.peers_python.absolute())
    if chosen.rounds < 1 or chosen.tasks < 2:
        parser.error("--rounds must be at least 1, --tasks at least 2")
    return chosen


def versions(python: str) -> str:
    """Of the peers that Python has; empty if it has none, or is none."""
    look = (
        "from importlib.metadata import distributions as d, version as v; import sys; "
        "n = {x.name.lower() for x in d()}; print(', '.join(f'{p} {v(p)}' for p in sys.argv[1:] if p in n))"
    )
    try:
        return subprocess.run([python, "-c", look, *PACKAGES], capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def left_out(contestant: Contestant, installed: str) -> str:
    """Why that one cannot be measured here; empty if it can."""
    peer = contestant.peer
    if not peer.ours and f"{peer.name.lower()} " not in installed:
        return "it is not installed; `make bench-tasks` does that"
    return Servers.missing(contestant.server)


def about(chosen: argparse.Namespace, installed: str) -> dict[str, str]:
    """What a reader must know to judge the figures."""
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "leveret": build_of(sys.executable),
        "peers": installed or "none",
        "rounds": f"{chosen.rounds}, {chosen.tasks:,} tasks to enqueue and drain",
        "slots": f"{SLOTS}, in {chosen.processes} process(es) where a peer has the choice, {KILL_PROCESSES} in the kill test",
    }


def measure_one(row: Row, measure: str, number: int, place: Place, tasks: int, progress: Progress) -> None:
    title = f"{measure}  round {number + 1}  {row.contestant.title}"
    try:
        figures = MEASURES[measure](row.contestant, place, tasks)
    except (RoundFailed, BrokerFailed, OSError) as failure:
        row.fail(f"{measure}, round {number + 1}: {failure}")
        progress(f"{title}: {failure}")
        return
    row.add(number, figures)
    units = {metric.key: metric.unit for metric in METRICS}
    told = ", ".join(f"{key} {figure(value)} {units[key]}" for key, value in figures.items())
    progress(f"{title}: {told or 'nothing to measure'}")


def measure_all(rows: list[Row], chosen: argparse.Namespace, place: Place, progress: Progress) -> None:
    """Round by round, within it measure by measure, all contestants one after the other, forth and back."""
    for number in range(chosen.rounds):
        for measure in chosen.measures:
            for row in rows if number % 2 == 0 else reversed(rows):
                measure_one(row, measure, number, place, chosen.tasks, progress)


def tell(console: Console, chosen: argparse.Namespace, facts: dict[str, str], rows: list[Row]) -> None:
    show(console, rows)
    if chosen.markdown:
        chosen.markdown.write_text(markdown(facts, rows))
    if chosen.json:
        write_json(chosen.json, facts, rows)


def bench(stack: ExitStack, console: Console, chosen: argparse.Namespace) -> int:
    def progress(line: str) -> None:
        console.print(line, style="dim", highlight=False, markup=False)

    installed = versions(chosen.peers_python)
    facts = about(chosen, installed)
    rows = []
    for contestant in contestants(chosen.peers, chosen.modes):
        reason = left_out(contestant, installed)
        if reason:
            facts[f"left out: {contestant.title}"] = reason
        else:
            rows.append(Row(contestant))
    if not rows:
        raise CannotRun("nobody is left to measure: " + "; ".join(facts.values()))
    for key, value in facts.items():
        console.print(f"{key}: {value}", highlight=False, markup=False)
    place = Place(Servers(stack, sys.executable), sys.executable, chosen.peers_python, chosen.processes)
    try:
        measure_all(rows, chosen, place, progress)
    finally:  # it takes an hour and more: what was measured before a Ctrl-C is told too
        if measured(rows):
            tell(console, chosen, facts, rows)
    return 1 if any(row.notes for row in rows) else 0


def main(argv: list[str] | None = None) -> int:
    chosen = arguments(argv)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    signal.signal(signal.SIGTERM, interrupted)
    try:
        with ExitStack() as stack:
            try:
                return bench(stack, console, chosen)
            finally:
                # A second Ctrl-C must not leave a broker behind.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except (BrokerFailed, CannotRun) as reason:
        console.print(f"bench.tasks: {reason}", style="red", markup=False, highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("bench.tasks: interrupted; everything it started has ended")
        return 130
