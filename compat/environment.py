"""A virtual environment for each suite, made once and kept, with what the suite needs beside itself."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

from compat import CannotRun
from compat.suite import Suite


def python_for(suite: Suite, work: Path) -> Path:
    """The suite's own interpreter; installed again when what it needs has changed. CannotRun if pip fails."""
    home = work / "venv" / suite.name
    python, installed = home / "bin" / "python", home / "installed"
    wanted = hashlib.sha256("\n".join(suite.install).encode()).hexdigest()
    if installed.exists() and installed.read_text() == wanted:
        return python
    print(f"{suite.name}: installing {', '.join(suite.install)}", flush=True)
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(home)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *suite.install])
    installed.write_text(wanted)
    return python


def version_of(suite: Suite, python: Path, folder: Path) -> str:
    """What the package in `folder` says it is; empty for a suite that tests no package."""
    if not suite.module:
        return ""
    look = f"import {suite.module} as m; print(getattr(m, '__version__', ''))"
    done = subprocess.run([str(python), "-c", look], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise CannotRun(f"{suite.module} cannot be imported from {folder}\n{done.stderr.strip()}")
    return done.stdout.strip() or _declared(folder)


def _declared(folder: Path) -> str:
    project = folder / "pyproject.toml"
    declared = tomllib.loads(project.read_text()).get("project", {}) if project.exists() else {}
    return str(declared.get("version", ""))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CannotRun(f"{' '.join(command)} failed\n{done.stderr.strip()[-2000:]}")
