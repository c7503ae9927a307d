"""Reads what pytest reports (JUnit XML): each test's outcome, and the first line of why it failed. No judgement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

Outcome = Literal["passed", "failed", "skipped"]
WORST_FIRST: tuple[Outcome, ...] = ("failed", "passed", "skipped")


@dataclass(frozen=True)
class Result:
    outcome: Outcome
    why: str = ""


def read(path: Path) -> dict[str, Result]:
    """Outcomes by `module.Class::test[case]`. A test reported twice, as with subtests, has the worst of its outcomes."""
    results: dict[str, Result] = {}
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        result = _result(case)
        known = results.get(name)
        if known is None or WORST_FIRST.index(result.outcome) < WORST_FIRST.index(known.outcome):
            results[name] = result
    return results


def _result(case: ElementTree.Element) -> Result:
    for child in case:
        if child.tag in ("failure", "error"):
            return Result("failed", _first_line(child))
        if child.tag == "skipped":
            return Result("skipped", _first_line(child))
    return Result("passed")


def _first_line(element: ElementTree.Element) -> str:
    text = (element.get("message") or element.text or "").strip()
    return text.splitlines()[0][:300] if text else ""
