"""No Python block of the README or a page of docs/ stands there without a test that runs it."""

from __future__ import annotations

import importlib
from pathlib import Path

from examples.snippets import blocks_of, pages, taken


def test_each_python_block_is_run_by_a_test() -> None:
    for module in Path(__file__).parent.glob("test_*.py"):
        importlib.import_module(f"examples.{module.stem}")
    there = {(page, number) for page, blocks in pages().items() for number in range(len(blocks))}
    assert len(there) > 20
    assert sorted(there - taken) == [], "these blocks (the first of a page is 0) need a test here: @runs(page, number)"
    assert sorted(taken - there) == [], "there are no such blocks any more"


def test_blocks_are_found_at_the_beginning_of_lines_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\na = 1\n```\n\n```sh\nls\n```\nsay ```python\n```\n\n```python\nb = 2\n```\n")
    assert blocks_of(page) == ["a = 1\n", "b = 2\n"]
