"""`leveret top` against real workers on both brokers: told once, as JSON, and live on a terminal that is left as it was."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from brokers import Broker
from leveret.cli.main import application
from leveret.tasks import Retries, WorkQueue, current_task
from worker.support import WITHIN_S, working

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Shop:
    """A worker with a task that says how far it is and goes on when it is let, and one that fails."""

    def __init__(self, url: str, name: str) -> None:
        self.work = WorkQueue(url, name=name, default_queue=f"top.{name}", retry=Retries(1))
        self.goes_on = threading.Event()
        self.begun = threading.Event()
        self.slow = self.work.task(name="slow")(self._slow)
        self.fail = self.work.task(name="fail")(self._fail)

    def _slow(self) -> None:
        current_task().progress(1, 4, "first")
        self.begun.set()
        assert self.goes_on.wait(3 * WITHIN_S)

    def _fail(self) -> None:
        raise ValueError("no good")


@pytest.fixture
def shop(broker: Broker, name: str) -> Iterator[Shop]:
    shop = Shop(broker.url, name)
    with working(shop.work, threads=3):
        shop.slow.send()
        assert shop.begun.wait(WITHIN_S)
        try:
            yield shop
        finally:
            shop.goes_on.set()


def top(broker: Broker, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(application(), ["top", "--url", broker.url, *arguments])
    assert result.exit_code == code, result.output
    return result.output


def told(broker: Broker, wanted: str, *arguments: str) -> str:
    """What it tells once it has heard of the worker: on a busy machine a beat may come late."""
    for _ in range(10):
        text = top(broker, *arguments)
        if wanted in text:
            return text
    raise AssertionError(text)


def test_what_runs_is_told_once_where_no_terminal_is(broker: Broker, shop: Shop) -> None:
    text = told(broker, "workers 1 ", "--queues", shop.work.default_queue)
    assert "1/3" in text
    assert re.search(rf"{re.escape(shop.work.default_queue)} +0 +0 +1 ", text)
    assert re.search(rf"slow +{re.escape(shop.work.default_queue)} +1 .*25% first", text)


def test_it_is_told_as_json_too(broker: Broker, shop: Shop) -> None:
    queues = f"{shop.work.default_queue},top.nobody"
    known = json.loads(told(broker, '"pid"', "--once", "--formatter", "json", "--queues", queues))
    (worker,) = known["workers"]
    assert (worker["pid"], worker["slots"], worker["busy"], worker["state"]) == (os.getpid(), 3, 1, "running")
    (running,) = known["running"]
    assert (running["task"], running["done"], running["total"], running["text"]) == ("slow", 1, 4, "first")
    assert [(queue["name"], queue["ready"]) for queue in known["queues"]] == [
        (shop.work.default_queue, 0),
        ("top.nobody", None),
    ]


def test_without_workers_it_says_so(broker: Broker, name: str) -> None:
    assert "no worker is heard of" in top(broker, "--once", "--queues", f"nobody.{name}")


def test_without_a_broker_it_ends_with_one_line() -> None:
    result = CliRunner().invoke(application(), ["top", "--url", "amqp://127.0.0.1:1/"])
    assert result.exit_code == 1 and "cannot connect" in result.output
    assert "no table" in CliRunner().invoke(application(), ["top", "--formatter", "csv"]).output


class Terminal:
    """A terminal of 80 by 24, and `leveret top` on it."""

    def __init__(self, broker: Broker, *arguments: str) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        command = [sys.executable, "-m", "leveret", "top", "--url", broker.url, *arguments]
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        self.process = subprocess.Popen(
            command, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=environment, start_new_session=True
        )
        self.raw = ""

    def until(self, wanted: str) -> None:
        """Something that fits is drawn from here on."""
        seen, deadline = "", time.monotonic() + 2 * WITHIN_S
        while not re.search(wanted, ESCAPES.sub("", seen)):
            left_s = max(0.0, deadline - time.monotonic())
            if not select.select([self.master], [], [], left_s)[0]:
                raise AssertionError(f"{wanted} was never drawn, but:\n" + ESCAPES.sub("", seen)[-4000:])
            seen += self._read()

    def _read(self) -> str:
        text = os.read(self.master, 65536).decode(errors="replace")
        self.raw += text
        return text

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        """Its exit code; all that it wrote is read then."""
        deadline = time.monotonic() + WITHIN_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            if select.select([self.master], [], [], 0.05)[0]:
                self._read()
        while select.select([self.master], [], [], 0)[0]:
            self._read()
        assert self.process.returncode is not None
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


@pytest.mark.parametrize("leave", ["q", signal.SIGINT, signal.SIGTERM])
def test_it_is_live_on_a_terminal_and_leaves_it_as_it_was(
    broker: Broker, shop: Shop, terminals: list[Terminal], leave: Any
) -> None:
    terminal = Terminal(broker, "--queues", shop.work.default_queue)
    terminals.append(terminal)
    terminal.until(r"1/3[\s\S]*slow [\s\S]*25% first")
    if leave == "q":
        shop.fail.send()
        terminal.until(r"parked: attempts +ValueError: no good")
        terminal.press("?")
        terminal.until("any key goes back")
        terminal.press("x")
        terminal.press("/nothing of the kind\r")
        terminal.until("nothing contains 'nothing of the kind'")
        terminal.press("q")
    else:
        terminal.process.send_signal(leave)
    assert terminal.end() == 0
    assert "\x1b[?1049h" in terminal.raw
    assert terminal.raw.rindex("\x1b[?1049l") > terminal.raw.rindex("\x1b[?1049h")
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l")
    assert "Traceback" not in terminal.raw
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_it_says_that_the_broker_is_away_and_goes_on_when_it_is_back(
    own_broker: Broker, name: str, terminals: list[Terminal]
) -> None:
    shop = Shop(own_broker.url, name)
    with working(shop.work, threads=2):
        terminal = Terminal(own_broker)
        terminals.append(terminal)
        terminal.until("workers 1 ")
        own_broker.stop()
        terminal.until("reconnecting")
        own_broker.start()
        while True:
            terminal.until(r"leveret top [^\n]*\d\d:\d\d:\d\d")
            if "reconnecting" not in ESCAPES.sub("", terminal.raw[terminal.raw.rindex("leveret top") :]):
                break
        terminal.until("workers 1 ")
        terminal.press("q")
        assert terminal.end() == 0
        assert "Traceback" not in terminal.raw and "lost:" not in terminal.raw
