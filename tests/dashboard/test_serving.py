"""The dashboard's files are in the package, it can be left out, and `leveret dashboard` says what is wrong in a line."""

from __future__ import annotations

import fnmatch
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from brokers import Leveret, free_port
from leveret.dashboard.files import UI

ROOT = Path(__file__).parent.parent.parent


def test_every_file_of_the_page_is_packed() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["leveret"]
    package = ROOT / "src" / "leveret"
    files = [
        file.relative_to(package).as_posix() for file in (package / "dashboard" / "ui").rglob("*") if file.is_file()
    ]
    assert files
    for file in files:
        assert any(fnmatch.fnmatch(file, one) and file.count("/") == one.count("/") for one in patterns), file


def test_what_others_wrote_comes_with_its_licence() -> None:
    vendor = Path(str(UI)) / "vendor"
    about = (vendor / "README").read_text()
    for file in vendor.iterdir():
        assert file.name == "README" or file.name in about, file.name


@pytest.mark.parametrize(
    "file", [*Path(str(UI)).rglob("*.js"), *Path(str(UI)).rglob("*.html")], ids=lambda file: file.name
)
def test_nothing_is_loaded_from_elsewhere_or_made_of_text(file: Path) -> None:
    if file.parent.name == "vendor":
        return
    text = file.read_text()
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "dangerouslySetInnerHTML",
        "eval(",
        "document.write",
        "//cdn",
    ):
        assert word not in text
    assert "https://" not in text and "http://" not in text.replace("http://www.w3.org/", "")


class Without(Leveret):
    def command(self) -> list[str]:
        return [*super().command(), "--set", "dashboard.enabled=false"]


def test_it_can_be_left_out() -> None:
    broker = Without(management=True)
    try:
        broker.start()
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{broker.management_port}/", timeout=30)
        assert refused.value.code == 404
    finally:
        broker.remove()


@pytest.mark.parametrize(
    ("management", "words"),
    [("http://127.0.0.1:{port}", "cannot reach"), ("nonsense", "expected http://"), ("ftp://x", "expected http://")],
)
def test_a_dashboard_without_a_broker_says_so_in_a_line(management: str, words: str) -> None:
    command = [sys.executable, "-m", "leveret", "dashboard", "--port", "0", "--url", "amqp://127.0.0.1/"]
    done = subprocess.run(
        [*command, "--management", management.format(port=free_port())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode and words in done.stderr and len(done.stderr.splitlines()) == 1
