"""What has to be known of a foreign test suite to run it; plain values. The suites themselves stand in `compat.suites`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compat import ROOT, CannotRun


@dataclass(frozen=True)
class Certificates:
    """Where a suite keeps what its TLS tests expect of the broker, relative to its folder."""

    authority: str
    certificate: str
    key: str
    dockerfile: str = ""
    """If given, the three are not files but written by `echo '…' > PATH` in this one; they are PATHs there."""


@dataclass(frozen=True)
class Suite:
    """One foreign suite: where it is, what it needs, how it finds the broker."""

    name: str
    """Its row in docs/compatibility.md, and its folder in SRC."""
    sdist: str
    """How its source distribution's folder begins, before the version."""
    module: str
    """What is tested; its version is named in the report. Empty if it is no package."""
    tests: tuple[str, ...]
    install: tuple[str, ...]
    """Requirements of its virtual environment. The package itself is imported from SRC."""
    arguments: tuple[str, ...] = ()
    """For pytest."""
    conftest_arguments: tuple[str, ...] = ()
    """Options of the conftest.py at its root, which distributions may lack."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables it reads; {folder} is filled in."""
    docker: bool = False
    """It asks Docker for its broker and is told of ours, see `compat.docker`."""
    tls: bool = False
    """It has tests over TLS."""
    certificates: Certificates | None = None
    """None: whichever; the broker gets some."""
    deselect: Mapping[str, str] = field(default_factory=dict)
    """Tests that are run on neither broker (pytest's ids, or their beginning), and why."""
    test_s_max: int = 60
    suite_s_max: int = 1800

    def folder(self, sources: Path) -> Path:
        """Its checkout, or else its newest source distribution, in `sources`. CannotRun if there is none."""
        checkout = sources / self.name
        if checkout.is_dir():
            return checkout
        found = [path for path in sources.glob(f"{self.sdist}-[0-9]*") if path.is_dir()]
        if not found:
            raise CannotRun(f"no {self.name} in {sources}: check it out there, or unpack its source distribution")
        return max(found, key=_version)

    def paths(self, folder: Path) -> list[str]:
        """The tests to give to pytest: the suite's own, or ours that drive its programs."""
        found = [str(ROOT / test) if test.startswith("compat/") else test for test in self.tests]
        missing = [path for path in found if not (folder / path).exists()]
        if missing:
            raise CannotRun(f"{folder} has no {missing[0]}: its source distribution may be without tests")
        return found


def _version(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder.name.rpartition("-")[2])]
