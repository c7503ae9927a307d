"""Finding a program's WorkQueue by what a command line says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from leveret.errors import TaskError
from leveret.worker.loading import load

ONE = "from leveret.tasks import WorkQueue\nwork = WorkQueue(name='one')\nalias = work\n"
TWO = ONE + "other = WorkQueue(name='two')\nnumber = 5\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    package = tmp_path / "lvpackage"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "helper.py").write_text("name = 'inner'\n")
    inner = "from leveret.tasks import WorkQueue\nfrom .helper import name\nwork = WorkQueue(name=name)\n"
    (package / "inner.py").write_text(inner)
    (tmp_path / "lvone.py").write_text(ONE)
    (tmp_path / "lvtwo.py").write_text(TWO)
    (tmp_path / "queue.py").write_text(ONE)
    (tmp_path / "lvnone.py").write_text("")
    (tmp_path / "lvbroken.py").write_text("import lvmissing\n")
    (tmp_path / "lvexit.py").write_text("raise SystemExit(0)\n")
    unguarded = "from leveret.tasks import WorkQueue\nwork = WorkQueue('amqp://x/')\nwork.task(print)\nwork.run()\n"
    (tmp_path / "lvunguarded.py").write_text(unguarded)
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "lvsibling.py").write_text("name = 'sibling'\n")
    (scripts / "lvscript.py").write_text(
        "import lvsibling, lvone\nfrom leveret.tasks import WorkQueue\nwork = WorkQueue(name=lvsibling.name)\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("app", "name"),
    [
        ("lvone", "one"),
        ("lvone.py", "one"),
        ("lvone:work", "one"),
        ("lvone.py:alias", "one"),
        ("lvtwo:other", "two"),
        ("lvpackage.inner", "inner"),
        ("lvpackage/inner.py:work", "inner"),
        ("scripts/lvscript.py", "sibling"),
        ("queue.py", "one"),
    ],
)
def test_a_program_is_found(project: Path, app: str, name: str) -> None:
    assert load(app).name == name


def test_a_file_is_found_by_its_whole_path(project: Path) -> None:
    assert load(str(project / "lvone.py")).name == "one"
    assert load(f"{project / 'lvtwo.py'}:other").name == "two"


@pytest.mark.parametrize(
    ("app", "complaint"),
    [
        ("lvnowhere", "there is no module 'lvnowhere'"),
        ("lvpackage.nowhere", "there is no module"),
        ("lvnowhere.py", "there is no file"),
        ("not a module", "is no module's name"),
        ("", "is no module's name"),
        ("lvnone", "has no WorkQueue"),
        ("lvtwo", "has several WorkQueues: choose one, as lvtwo:work"),
        ("lvtwo:number", "'number' is no WorkQueue"),
        ("lvtwo:absent", "'absent' is missing"),
        ("lvbroken", "lvbroken cannot be imported: ModuleNotFoundError: No module named 'lvmissing'"),
        ("lvbroken.py", "cannot be imported"),
        ("lvexit.py", "cannot be imported: SystemExit"),
        ("lvunguarded.py", "__main__"),
    ],
)
def test_what_is_wrong_is_said(project: Path, app: str, complaint: str) -> None:
    with pytest.raises(TaskError) as caught:
        load(app)
    assert complaint in str(caught.value)
