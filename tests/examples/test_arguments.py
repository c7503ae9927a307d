"""The programs in docs/arguments.md and docs/results.md run as they stand there, on both brokers."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from examples.programs import leveret_worker
from examples.snippets import run, runs

pytestmark = pytest.mark.usefixtures("no_queue")


@runs("arguments.md", 0)
def test_models_of_pydantic(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(blocks[0])
    sender = """
from app import Line, pack
from leveret.errors import TaskError
print(pack.send([Line(sku="hare", count=2), Line(sku="tortoise", count=1)]).result(30))
try:
    pack.send([Line.model_construct(sku="hare", count=0)])
except TaskError as error:
    print("greater than 0" in str(error))
"""
    with leveret_worker("app.py", tmp_path, environment):
        assert run(sender, tmp_path, environment) == "3\nTrue\n"


@runs("arguments.md", 1)
def test_a_database_that_is_injected(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(blocks[0])
    sender = "from app import charge\nprint(charge.send(7).result(30))"
    with leveret_worker("app.py", tmp_path, environment):
        assert run(sender, tmp_path, environment) == "charged 7 in attempt 1\n"
    with sqlite3.connect(tmp_path / "shop.sqlite") as database:
        assert database.execute("select * from charged").fetchall() == [(7, 1)]
    database.close()


@runs("arguments.md", 2)
def test_a_task_that_changed(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(blocks[0])
    sender = "from app import *\nprint(resize.send(Path('hare.png'), Size(5, 7)).result(30))"
    old = """
from leveret import WorkQueue
work = WorkQueue(results=True)
resize_image = work.task(name="resize_image")(lambda path, width: "")
print(resize_image.send("hare.png", 5).result(30))
"""
    with leveret_worker("app.py", tmp_path, environment):
        assert run(sender, tmp_path, environment) == "hare.png to 5 x 7\n"
        assert run(old, tmp_path, environment) == "hare.png to 5 x 5\n"


@runs("results.md", 0, 1)
def test_results_that_are_kept(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    program, asking = blocks
    (tmp_path / "app.py").write_text(program)
    with leveret_worker("app.py", tmp_path, environment):
        said = run("from app import *\nprint(add.send(1, 2).result(30))\n" + asking, tmp_path, environment)
    assert said.startswith("3\ndone 1 6 None 20")
