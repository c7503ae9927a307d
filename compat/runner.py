"""One suite on one fresh broker: start it, run pytest in the suite's folder, read the results, remove the broker.

Called by `compat.run`. What a suite needs to be told comes from its description in `compat.suites`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.brokers import product

from compat import ROOT, CannotRun, docker, junit
from compat.brokers import Broker, broker
from compat.control import rabbitmqctl
from compat.environment import python_for
from compat.suite import Suite

REDIRECT = ROOT / "compat" / "redirect"


@dataclass(frozen=True)
class Run:
    """A suite's outcome on one broker."""

    broker: str
    """Product and version, as the broker says."""
    tests: dict[str, junit.Result]


def run(suite: Suite, kind: str, sources: Path, work: Path, chosen: str = "") -> Run:
    """All of the suite, or the tests that match `chosen` (pytest's -k). CannotRun if it does not even begin."""
    folder = suite.folder(sources)
    python = python_for(suite, work)
    log = work / f"{suite.name}-{kind}.log"
    with broker(kind, suite, folder) as own, tempfile.TemporaryDirectory(prefix="compat-") as place:
        name = product(own.port)
        report = Path(place) / "junit.xml"
        command = [str(python), "-m", "pytest", *_arguments(suite, folder, report, chosen)]
        _execute(suite, command, folder, own, Path(place), log)
        if not report.exists():
            raise CannotRun(f"{suite.name} reported nothing on {kind}, see {log}\n{_tail(log)}")
        return Run(name, junit.read(report))


def _arguments(suite: Suite, folder: Path, report: Path, chosen: str) -> list[str]:
    # -o addopts: coverage and the like that a suite asks for by itself.
    arguments = [*suite.paths(folder), f"--junitxml={report}", "-o", "addopts=", "-p", "no:cacheprovider", "-v"]
    arguments += [f"--timeout={suite.test_s_max}", *suite.arguments]
    if (folder / "conftest.py").exists():
        arguments += suite.conftest_arguments
    arguments += [f"--deselect={test}" for test in suite.deselect]
    return [*arguments, "-k", chosen] if chosen else arguments


def _execute(suite: Suite, command: list[str], folder: Path, own: Broker, place: Path, log: Path) -> None:
    ports = {5672: own.port, 5671: own.tls_port, 15672: own.management_port}
    with contextlib.ExitStack() as stack:
        tools = stack.enter_context(rabbitmqctl(own, place))
        environment = {
            **os.environ,
            "PYTHONPATH": f"{REDIRECT}{os.pathsep}{folder}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": os.pathsep.join([str(tools), str(Path(command[0]).parent), os.environ.get("PATH", "")]),
            "COMPAT_PORTS": ",".join(f"{old}={new}" for old, new in ports.items()),
            **{key: value.format(folder=folder) for key, value in suite.environment.items()},
        }
        if suite.docker:
            environment["DOCKER_HOST"] = stack.enter_context(docker.stand_in({15671: 1, **ports}))
        output = stack.enter_context(log.open("w"))
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        _wait(process, suite)


def _wait(process: subprocess.Popen[bytes], suite: Suite) -> None:
    """To its end, and then end what it may have left behind in its process group."""
    try:
        process.wait(suite.suite_s_max)
    except subprocess.TimeoutExpired:
        # pytest writes its report on an interruption; what has not run by then counts as failed.
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
