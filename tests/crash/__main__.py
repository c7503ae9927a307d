"""`python -m crash` (with tests/ on the path): the runs that were asked for, and their table.

Exit code 0: every promise held. 1: Leveret broke one; the seed and the directory with all that was written down are
printed. RabbitMQ runs for comparison: what it loses is shown, and not a failure of ours.
"""

from __future__ import annotations

import argparse
import signal
import sys
from random import SystemRandom

from rich.console import Console
from rich.progress import Progress

from brokers import KINDS
from crash.driver import Plan, Run
from crash.report import table

QUEUE_TYPES = ("classic", "quorum")
BROKEN_SHOWN = 10


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=300, help="for each run on Leveret (default %(default)s)")
    parser.add_argument("--rabbitmq-kills", type=int, default=10, help="a restart takes RabbitMQ 10 s (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="whom to kill and when; by default another each time")
    parser.add_argument("--broker", choices=[*KINDS, "both"], default="both")
    parser.add_argument("--queue-type", choices=[*QUEUE_TYPES, "both"], default="both")
    return parser.parse_args()


def plans(asked: argparse.Namespace, console: Console) -> list[Plan]:
    seed = SystemRandom().randrange(1 << 32) if asked.seed is None else asked.seed
    kinds = [kind for kind in KINDS if asked.broker in (kind, "both")]
    for kind in list(kinds):
        if KINDS[kind].missing():
            kinds.remove(kind)
            console.print(f"no run on {kind}: {KINDS[kind].missing()}")
    types = [name for name in QUEUE_TYPES if asked.queue_type in (name, "both")]
    kills = {"leveret": asked.kills, "rabbitmq": asked.rabbitmq_kills}
    return [Plan(kind, queue_type, kills[kind], seed) for kind in kinds for queue_type in types]


def main() -> int:
    asked = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console() if sys.stdout.isatty() else Console(width=200)
    results, broken = [], False
    with Progress(console=console) as progress:
        for plan in plans(asked, console):
            name = f"{plan.broker} {plan.queue_type}, seed {plan.seed}"
            task = progress.add_task(name, total=plan.kills)
            run = Run(plan, lambda number, task=task: progress.update(task, completed=number))
            try:
                verdict = run.perform()
            except Exception:
                progress.console.print(f"{name}: the run itself failed; kept in {run.directory}")
                progress.console.print_exception()
                broken = True
                continue
            results.append((plan, verdict))
            if verdict.broken:
                broken = broken or plan.broker == "leveret"
                progress.console.print(f"{name}: {len(verdict.broken)} broken promises; kept in {run.directory}")
                for what in verdict.broken[:BROKEN_SHOWN]:
                    progress.console.print(f"  {what}", markup=False, highlight=False)
    console.print(table(results))
    return int(broken or not results)


if __name__ == "__main__":
    sys.exit(main())
