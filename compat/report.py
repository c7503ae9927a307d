"""docs/compatibility.md: the table is written here, between two marks; the explanations are written by people.

An explanation is a list item in that file, `- SUITE, TEST: why`, with SUITE and TEST in backticks; `*` in TEST stands
for anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from compat import ROOT, CannotRun
from compat.results import Comparison, counts

DOCUMENT = ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- written by make compat -->", "<!-- until here -->"
EXPLANATION = re.compile(r"^- `([^`]+)`, `([^`]+)`: \S", re.MULTILINE)


@dataclass(frozen=True)
class Document:
    path: Path
    before: str
    after: str
    explained: list[tuple[str, str]]

    @classmethod
    def read(cls, path: Path) -> Document:
        text = path.read_text()
        if BEGIN not in text or END not in text:
            raise CannotRun(f"{path} has lost its marks {BEGIN} and {END}")
        before, rest = text.split(BEGIN, 1)
        return cls(path, before, rest.split(END, 1)[1], EXPLANATION.findall(text))

    def explains(self, suite: str, test: str) -> bool:
        return any(name == suite and _matches(test, pattern) for name, pattern in self.explained)

    def write(self, comparisons: list[Comparison]) -> None:
        table = "\n".join(_table(comparisons))
        self.path.write_text(f"{self.before}{BEGIN}\n\n{table}\n\n{END}{self.after}")


def _matches(test: str, pattern: str) -> bool:
    # Brackets are part of pytest's names, not classes of characters.
    return fnmatchcase(test, pattern.replace("[", "[[]"))


def _table(comparisons: list[Comparison]) -> list[str]:
    lines = [
        "| suite | version | RabbitMQ passed | failed | skipped | Leveret passed | failed | skipped | passes there, not here | passes here, not there |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for found in comparisons:
        theirs, ours = counts(found.rabbitmq.tests), counts(found.leveret.tests)
        cells = [found.suite, found.version or "–"]
        cells += [str(number) for side in (theirs, ours) for number in (side.passed, side.failed, side.skipped)]
        cells += [str(len(found.only_rabbitmq)), str(len(found.only_leveret))]
        lines.append(f"| {' | '.join(cells)} |")
    names = sorted({run.broker for found in comparisons for run in (found.rabbitmq, found.leveret)})
    return [*lines, "", f"Run on {', '.join(names)}."] if names else lines
