"""The programs in docs/workflows.md run as they stand there, on both brokers."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.programs import leveret_worker
from examples.snippets import run, runs

pytestmark = pytest.mark.usefixtures("no_queue")


@runs("workflows.md", 0, 1)
def test_the_programs_of_the_page(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    tasks, failing = blocks
    (tmp_path / "shop.py").write_text(tasks)
    (tmp_path / "failing.py").write_text(failing)
    with leveret_worker("shop", tmp_path, environment):
        both = "import runpy; runpy.run_path('{}', run_name='__main__')"
        counted = sum(len(f"page {page}") for page in range(100))
        assert run(both.format("shop.py"), tmp_path, environment) == f"60\n{counted}\n"
        assert run(both.format("failing.py"), tmp_path, environment) == "10\n"
