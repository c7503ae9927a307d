"""The tests in docs/testing.md pass as they stand there, in a suite of their own."""

from __future__ import annotations

from importlib.metadata import entry_points
from textwrap import indent

import pytest

from examples.snippets import run, runs

SHOP = """
from datetime import timedelta
from pathlib import Path
from leveret.tasks import WorkQueue, current_message

work = WorkQueue()
outbox = []
resized = []
photo = Path("hare.png")


class Bank:
    def __init__(self):
        self.charges = []

    def charge(self, order_id):
        if order_id not in self.charges:
            self.charges.append(order_id)


bank = Bank()


@work.task
def remind(who: str) -> None:
    outbox.append(f"Dear {who}, ...")


@work.task
def sign_up(who: str) -> None:
    remind.options(delay=timedelta(days=3)).send(who)


@work.task
def charge(order_id: int) -> None:
    bank.charge(order_id)


@work.task
def resize(path: Path, width: int) -> None:
    resized.append((path, width))
"""


@runs("testing.md", 0, 1, 2, 3, 4)
def test_a_suite_of_these_tests(blocks: list[str], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEVERET_TEST_URL", "LEVERET_URL"):
        monkeypatch.delenv(name, raising=False)
    reminded, charged_once, dies, inline, alone = blocks
    (pytester.mkpydir("shop") / "tasks.py").write_text(SHOP)
    dies_often = "    charge.send(order_id=8)\n    assert work_queue.drain(raises=False)[0].outcome is None\n"
    runs_here = f"def test_inline(work_queue):\n{indent(inline, '    ')}    assert resized == [(photo, 200)]\n"
    head = "from shop.tasks import bank, charge, outbox, photo, resize, resized\n"
    pytester.makepyfile(test_shop="\n\n".join([head, reminded, charged_once, dies + dies_often, runs_here]))
    pytester.makeini("[pytest]\nleveret_app = shop.tasks:work\npythonpath = .\n")
    installed = any(point.name == "leveret" for point in entry_points(group="pytest11"))
    plugin = () if installed else ("-p", "leveret.testing.plugin")
    pytester.runpytest_subprocess(*plugin, "-p", "no:cacheprovider").assert_outcomes(passed=4)
    run("from shop.tasks import work\n" + alone, pytester.path)
