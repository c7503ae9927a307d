"""README.md of this directory tells the truth: every test it names exists, and every module says what it holds us to."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NAMED = sorted(set(re.findall(r"`(test_\w+)::(test_\w+)`", (HERE / "README.md").read_text())))
MODULES = sorted(path for path in HERE.glob("test_*.py") if path.name != Path(__file__).name)


def functions(module: str) -> set[str]:
    path = HERE / f"{module}.py"
    tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_table_is_not_empty() -> None:
    assert len(NAMED) > 300


@pytest.mark.parametrize("module", sorted({module for module, _ in NAMED}))
def test_every_test_named_exists(module: str) -> None:
    assert {test for named, test in NAMED if named == module} <= functions(module)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_module_names_its_pages_or_sections(path: Path) -> None:
    head = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert re.search(r"rabbitmq\.com|AMQP 0-9-1|RabbitMQ.{0,6}'s .*page", head, re.S)
