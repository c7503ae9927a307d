"""The command line: run the suites on both brokers, write docs/compatibility.md, say what differs.

Exit code 0: whatever passes on RabbitMQ passes on Leveret, or docs/compatibility.md says why not. 1: something does
not. 2: a suite could not be run.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from compat import ROOT, CannotRun, results
from compat.brokers import KINDS, BrokerFailed
from compat.environment import python_for, version_of
from compat.report import DOCUMENT, Document
from compat.runner import run
from compat.suite import Suite
from compat.suites import SUITES

SHOWN_MAX = 30


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="compat", description="The clients' own suites on Leveret and on RabbitMQ.")
    parser.add_argument("--src", type=Path, required=True, help="folder of checkouts or unpacked source distributions")
    parser.add_argument("--suite", action="append", choices=[suite.name for suite in SUITES], help="only this one")
    parser.add_argument("--broker", choices=[*KINDS, "both"], default="both", help="run only on this one")
    parser.add_argument(
        "-k", dest="chosen", default="", help="only matching tests, as pytest's -k; nothing is recorded"
    )
    parser.add_argument("--work", type=Path, default=ROOT / ".compat", help="environments, results, logs")
    return parser


def _run_suite(suite: Suite, options: argparse.Namespace) -> None:
    python = python_for(suite, options.work)
    version = version_of(suite, python, suite.folder(options.src))
    for kind in KINDS if options.broker == "both" else [options.broker]:
        begun = time.monotonic()
        outcome = run(suite, kind, options.src, options.work, options.chosen)
        seconds = time.monotonic() - begun
        print(
            f"{suite.name} {version} on {outcome.broker}: {results.counts(outcome.tests)} in {seconds:.0f} s",
            flush=True,
        )
        if options.chosen:
            for name, test in outcome.tests.items():
                print(f"  {test.outcome:8} {name} {test.why}")
        else:
            results.save(options.work, suite.name, kind, version, outcome)


def main() -> int:
    options = _parser().parse_args()
    # Terminated, it ends its broker and suite too, as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options.src, options.work = options.src.resolve(), options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    wanted = [suite for suite in SUITES if not options.suite or suite.name in options.suite]
    try:
        for suite in wanted:
            suite.paths(suite.folder(options.src))
        for suite in wanted:
            _run_suite(suite, options)
    except (CannotRun, BrokerFailed) as error:
        print(f"compat: {error}", file=sys.stderr)
        return 2
    return 0 if options.chosen else _judge(wanted, options.work)


def _judge(wanted: list[Suite], work: Path) -> int:
    """The document tells of every suite that was ever run on both brokers here; the exit code, of those just run."""
    document = Document.read(DOCUMENT)
    comparisons = [found for suite in SUITES if (found := results.compare(work, suite.name)) is not None]
    document.write(comparisons)
    worse = 0
    names = [suite.name for suite in wanted]
    for comparison in (found for found in comparisons if found.suite in names):
        only = comparison.only_rabbitmq
        unexplained = {test: why for test, why in only.items() if not document.explains(comparison.suite, test)}
        worse += len(unexplained)
        for test, why in list(unexplained.items())[:SHOWN_MAX]:
            print(f"{comparison.suite}: passes on RabbitMQ, not here: {test}\n    {why}")
        if len(unexplained) > SHOWN_MAX:
            print(f"{comparison.suite}: and {len(unexplained) - SHOWN_MAX} more")
    print(f"{DOCUMENT.relative_to(ROOT)} is written; {worse} differences that it does not explain")
    return 1 if worse else 0
