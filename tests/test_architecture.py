"""The house rules, held by a test: who imports whom, where waiting is allowed, how large a room may grow."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "leveret"
MODULES = sorted(PACKAGE.rglob("*.py"))

MAY_IMPORT = {
    "wire": set(),
    "store": set(),
    "broker": {"store", "wire"},
    "server": {"broker", "store", "wire", "management"},
    "management": {"broker", "wire"},
    "client": {"wire"},
    "tasks": {"client"},
    "worker": {"tasks", "client"},
    "contrib": {"tasks", "client", "worker"},
    "board": {"tasks"},
    "top": {"tasks", "client", "board"},
    "history": {"tasks"},
    "dashboard": {"tasks", "client", "board", "history", "management"},
}
"""Besides leveret.errors and the other modules at the top. A package that is not named may import anything."""

MAY_WAIT = {
    *("server", "management", "client", "worker", "cli", "testing", "tasks", "demo", "contrib", "top", "history"),
    "dashboard",
}
LINES_MAX = 400


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def imported(path: Path) -> set[str]:
    """Packages of ours that the module imports, also inside functions and for types."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "leveret" and len(parts) > 1 and (PACKAGE / parts[1]).is_dir():
                found.add(parts[1])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_package_imports_only_what_the_map_allows(path: Path) -> None:
    allowed = MAY_IMPORT.get(room(path))
    if allowed is not None:
        assert imported(path) <= allowed | {room(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_outer_packages_wait(path: Path) -> None:
    if room(path) not in MAY_WAIT:
        assert not any(
            isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(ast.parse(path.read_text()))
        )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_inner_packages_do_not_read_the_clock(path: Path) -> None:
    if room(path) in ("wire", "broker", "store"):
        names = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert not names & {"time", "asyncio", "socket"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_have_a_head_and_stay_small(path: Path) -> None:
    text = path.read_text()
    assert not text or ast.get_docstring(ast.parse(text)), "say what the module is, what it is not and what calls it"
    assert len(text.splitlines()) <= LINES_MAX, "look for the second noun"
