"""The Python blocks of README.md and docs/*.md, and which tests run them. Used by the tests here.

    @runs("testing.md", 0, 1)
    def test_that(blocks: list[str]) -> None: ...

test_snippets fails for a block that no test takes so.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from os import environ
from pathlib import Path

import pytest

from examples.programs import EXAMPLES

ROOT = EXAMPLES.parent
RUN_S = 90

taken: set[tuple[str, int]] = set()
"""Page and number of each block that a test runs: complete when all test modules here were imported."""


def pages() -> dict[str, list[str]]:
    """By name, the blocks of each page that has any."""
    found = {path.name: blocks_of(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
    return {name: blocks for name, blocks in found.items() if blocks}


def blocks_of(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def runs(page: str, *numbers: int) -> pytest.MarkDecorator:
    """Gives these blocks of the page to the test, as `blocks`."""
    taken.update((page, number) for number in numbers)
    blocks = pages()[page]
    return pytest.mark.parametrize("blocks", [[blocks[number] for number in numbers]], ids=[page])


def run(program: str | Path, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """A program's text, or its file, in a process of its own; what it prints."""
    command = [sys.executable, program.name] if isinstance(program, Path) else [sys.executable, "-c", program]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
