"""`leveret schedules` tells what a program sends again and again."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from leveret.cli.main import application

PROGRAM = """
from leveret import WorkQueue
work = WorkQueue(default_queue="night")

@work.schedule("0 3 * * *", tz="Europe/Berlin")
@work.schedule(every=90, name="often")
@work.task
def tidy() -> None: ...
"""


def test_it_lists_them_in_plain_words_with_the_next_times(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    arguments = ["schedules", str(tmp_path / "program.py"), "--count", "2", "--formatter", "json"]
    result = CliRunner().invoke(application(), arguments)
    assert result.exit_code == 0, result.output
    often, nightly = json.loads(result.output)
    assert (often["name"], often["task"], often["queue"], often["when"]) == ("often", "tidy", "night", "every 0:01:30")
    assert nightly["when"] == "At 03:00 every day (Europe/Berlin)"
    times = nightly["next"].split(", ")
    assert len(times) == 2 and all("T03:00:00+0" in time for time in times)


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(application(), ["schedules", str(tmp_path / "none.py")])
    assert result.exit_code == 2 and "none.py" in result.output
