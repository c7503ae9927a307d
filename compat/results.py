"""Outcomes kept between runs, as JSON in the work folder, and what a pair of them says. No printing, no running."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from compat.junit import Result
from compat.runner import Run


@dataclass(frozen=True)
class Counts:
    passed: int
    failed: int
    skipped: int

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def counts(tests: dict[str, Result]) -> Counts:
    found = Counter(test.outcome for test in tests.values())
    return Counts(found["passed"], found["failed"], found["skipped"])


@dataclass(frozen=True)
class Comparison:
    """One suite on both brokers."""

    suite: str
    version: str
    rabbitmq: Run
    leveret: Run

    @property
    def only_rabbitmq(self) -> dict[str, str]:
        """Tests that pass on RabbitMQ and not here, and what they say here."""
        ours = self.leveret.tests
        return {
            name: ours[name].why if name in ours else "not run"
            for name, test in self.rabbitmq.tests.items()
            if test.outcome == "passed" and (name not in ours or ours[name].outcome != "passed")
        }

    @property
    def only_leveret(self) -> list[str]:
        theirs = self.rabbitmq.tests
        return [
            name
            for name, test in self.leveret.tests.items()
            if test.outcome == "passed" and name in theirs and theirs[name].outcome == "failed"
        ]


def save(work: Path, suite: str, kind: str, version: str, run: Run) -> None:
    tests = {name: asdict(test) for name, test in sorted(run.tests.items())}
    text = json.dumps({"version": version, "broker": run.broker, "tests": tests}, indent=1)
    (work / f"{suite}-{kind}.json").write_text(text)


def _load(work: Path, suite: str, kind: str) -> tuple[str, Run] | None:
    path = work / f"{suite}-{kind}.json"
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    return kept["version"], Run(kept["broker"], {name: Result(**test) for name, test in kept["tests"].items()})


def compare(work: Path, suite: str) -> Comparison | None:
    """None if it has not been run on both."""
    theirs, ours = _load(work, suite, "rabbitmq"), _load(work, suite, "leveret")
    if theirs is None or ours is None:
        return None
    return Comparison(suite, ours[0], theirs[1], ours[1])
