"""What type checkers say of programs that use tasks: nothing of right ones, and the mistake of wrong ones."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import leveret

USES = Path(__file__).parent / "typed_uses.py"
SOURCES = Path(leveret.__file__).parent.parent
ENVIRONMENT = {"PATH": "/usr/bin:/bin"} | ({} if SOURCES.name == "site-packages" else {"MYPYPATH": str(SOURCES)})
"""Where it is installed mypy finds it by itself, and does not want to be told."""
WITHIN_S = 110


def expected() -> dict[int, str]:
    """By the number of the line."""
    wrong: dict[int, str] = {}
    for number, line in enumerate(USES.read_text().splitlines(), 1):
        _, sign, text = line.partition("# error: ")
        if sign and not line.startswith('"""'):
            wrong[number] = text
    return wrong


def compared(found: dict[int, list[str]]) -> list[str]:
    """What differs, for a person to read."""
    wrong = expected()
    missed = [f"line {number}: not found: {wrong[number]}" for number in wrong if number not in found]
    others = [f"line {number}: {text}" for number in found if number not in wrong for text in found[number]]
    worded = [
        f"line {number}: expected {wrong[number]!r}, found {found[number]}"
        for number in wrong
        if number in found and not any(wrong[number] in text for text in found[number])
    ]
    return missed + others + worded


def test_the_wrong_uses_are_more_than_a_few() -> None:
    assert len(expected()) > 15


def test_mypy_finds_each_wrong_use_in_the_words_that_stand_beside_it_and_nothing_else(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--no-error-summary",
        "--hide-error-context",
    ]
    done = subprocess.run(
        [*command, "--config-file=", f"--cache-dir={tmp_path}", str(USES)],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    found: dict[int, list[str]] = {}
    for line in done.stdout.splitlines():
        told = re.match(r".*typed_uses\.py:(\d+): error: (.*)", line)
        if told:
            found.setdefault(int(told[1]), []).append(told[2])
    assert found, done.stdout + done.stderr
    assert compared(found) == []


@pytest.mark.skipif(shutil.which("pyright") is None, reason="pyright is not installed")
def test_pyright_finds_the_same_uses_wrong(tmp_path: Path) -> None:
    """In words of its own."""
    shutil.copy(USES, tmp_path)
    settings = {"extraPaths": [str(SOURCES)], "typeCheckingMode": "standard"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = ["pyright", "--project", str(tmp_path), "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    told = json.loads(done.stdout)["generalDiagnostics"]
    found = {one["range"]["start"]["line"] + 1 for one in told if one["severity"] == "error"}
    assert found == set(expected()), told
