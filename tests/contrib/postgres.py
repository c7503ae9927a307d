"""A PostgreSQL of the tests' own, on a Unix socket in a temporary directory; where there is none, or no driver, tests are skipped."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_S = 30.0
USER = "test"
DATABASE = "postgres"


def missing() -> str:
    if shutil.which("postgres") is None or shutil.which("initdb") is None:
        return "PostgreSQL is not installed"
    return "" if importlib.util.find_spec("psycopg") else "psycopg is not installed"


@contextmanager
def postgres() -> Iterator[str]:
    """Its URL for SQLAlchemy."""
    place = Path(tempfile.mkdtemp(prefix="leveret-pg-"))
    account: dict[str, Any] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        nobody = pwd.getpwnam("nobody")
        os.chown(place, nobody.pw_uid, nobody.pw_gid)
        account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": place, **account}
    server = None
    try:
        subprocess.run(["initdb", "-D", "data", "-U", USER, "--auth=trust", "-N"], check=True, **quiet)
        server = subprocess.Popen(["postgres", "-D", "data", "-k", str(place), "-h", "", "-F"], **quiet)
        _await(server, place)
        yield f"postgresql+psycopg://{USER}@/{DATABASE}?host={place}"
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)
            server.wait(START_S)
        shutil.rmtree(place, ignore_errors=True)


def _await(server: subprocess.Popen[Any], place: Path) -> None:
    """Its own file says when it is ready."""
    state, deadline_s = place / "data" / "postmaster.pid", time.monotonic() + START_S
    while not (state.exists() and state.read_text().rstrip().endswith("ready")):
        assert server.poll() is None and time.monotonic() < deadline_s, "PostgreSQL does not start"
        time.sleep(0.05)
