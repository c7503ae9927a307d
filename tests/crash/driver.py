"""One run: starts everything, kills at random moments, lets the queues run empty, and has the lines checked.

Whom it kills, and when, follows from the seed; what that meets does not, for the processes run as they like.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pika.exceptions

from brokers import KINDS, Broker, Leveret
from crash import with_pika
from crash.checker import Verdict, check
from crash.layout import END, ENDS, PLACES, SENT_TO, Place, declare
from crash.records import Sheet, read

UNDER_WAY_S = 3.0
"""Before the first kill. Quorum queues of RabbitMQ 3.10 whose broker dies within their first second take nothing any more."""
PAUSE_S = (0.05, 0.7)
BROKER_DOWN_S = (0.0, 0.2)
BROKER_SHARE = 0.3
KILLED_AT_START_SHARE = 0.2
"""Of the broker's restarts, those at which it is killed again before it is ready."""
AT_START_S = (0.0, 0.6)
DRAIN_S = 120.0
TESTS = Path(__file__).parent.parent


@dataclass(frozen=True)
class Plan:
    """What a run does. `kills` is how many processes are killed, the broker among them."""

    broker: str
    queue_type: str
    kills: int
    seed: int


class Run:
    """`progress` is called after each kill with their number so far. The directory is kept if a promise was broken."""

    def __init__(
        self, plan: Plan, progress: Callable[[int], None] = lambda number: None, broker: Broker | None = None
    ) -> None:
        self.plan = plan
        self.progress = progress
        self.directory = Path(tempfile.mkdtemp(prefix=f"crash-{plan.broker}-{plan.queue_type}-"))
        self.broker: Broker = broker or KINDS[plan.broker](management=False)
        self._random = Random(plan.seed)
        self._sheet = Sheet(self.directory, "driver")
        self._running: dict[Place, tuple[str, subprocess.Popen[bytes]]] = {}
        self._numbers = dict.fromkeys(PLACES, 0)
        self._kills = 0
        self._pause = threading.Event()

    def perform(self) -> Verdict:
        try:
            self._start_broker()
            with self.broker.connect() as connection:
                declare(connection.channel(), self.plan.queue_type)
            for place in PLACES:
                self._start(place)
            self._pause.wait(UNDER_WAY_S)
            while self._kills < self.plan.kills:
                self._wait(PAUSE_S)
                self._kill_somebody()
            self._wait(PAUSE_S)
            left = self._drain()
            verdict = check(read(self.directory), marks_last=isinstance(self.broker, Leveret))
            verdict.left += left + self._store_problems()
        finally:
            self._end()
        if not verdict.broken:
            shutil.rmtree(self.directory)
        return verdict

    def _end(self) -> None:
        for place in list(self._running):
            self._stop(place)
        if isinstance(self.broker, Leveret) and (self.broker.directory / "data").exists():
            self.broker.kill()
            shutil.copytree(self.broker.directory / "data", self.directory / "data", dirs_exist_ok=True)
        (self.directory / "output").write_text(self.broker.output())
        self.broker.remove()

    # ---- killing

    def _kill_somebody(self) -> None:
        if self._random.random() < BROKER_SHARE:
            self._kill_broker()
        else:
            place = self._random.choice(PLACES)
            self._stop(place, "kill")
            self._start(place)
            self._killed()

    def _killed(self) -> None:
        self._kills += 1
        self.progress(self._kills)

    def _kill_broker(self) -> None:
        self._sheet.write("kill", "broker")
        self.broker.kill()
        self._killed()
        self._wait(BROKER_DOWN_S)
        again = isinstance(self.broker, Leveret) and self._random.random() < KILLED_AT_START_SHARE
        if again and self._kills < self.plan.kills:
            self._kill_at_start(self.broker)
        self._start_broker()

    def _kill_at_start(self, broker: Broker) -> None:
        """It dies at some moment of its recovery."""
        assert isinstance(broker, Leveret)
        with (broker.directory / "output").open("ab") as output:
            process = subprocess.Popen(broker.command(), stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        self._wait(AT_START_S)
        self._sheet.write("kill", "broker")
        process.kill()
        process.wait()
        self._killed()

    def _wait(self, between_s: tuple[float, float]) -> None:
        self._pause.wait(self._random.uniform(*between_s))

    # ---- processes

    def _start_broker(self) -> None:
        self._sheet.write("start", "broker")
        self.broker.start()
        self._sheet.write("ready", "broker")

    def _start(self, place: Place) -> None:
        self._numbers[place] += 1
        name = f"{place.name}-{self._numbers[place]}"
        words = [self.directory, name, place.role, place.client, self.broker.port, self.plan.seed]
        command = [sys.executable, "-m", "crash.child", *map(str, words), *([place.queue] if place.queue else [])]
        path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        with (self.directory / "children").open("ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": path}
            )
        self._running[place] = (name, process)

    def _stop(self, place: Place, why: str = "stop") -> None:
        name, process = self._running.pop(place)
        self._sheet.write(why, name)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdin is not None
        process.stdin.close()

    # ---- the end

    def _drain(self) -> list[str]:
        """Nobody publishes any more: the workers take what is there, then the driver what they held. What went wrong."""
        for place in PLACES:
            if place.role == "publish":
                self._stop(place)
        problems = self._run_empty()
        if problems:  # a quorum queue of RabbitMQ's that takes nothing any more may do so after one more start
            self.broker.stop()
            self._start_broker()
            problems += self._run_empty()
        for place in list(self._running):
            self._stop(place)
        try:
            with_pika.drain(self.broker.port, Sheet(self.directory, "drain-1"))
        except pika.exceptions.AMQPError as error:
            problems.append(f"what was left could not be taken: {error!r}")
        return problems

    def _run_empty(self) -> list[str]:
        """A last message goes to each queue; the workers say when it came."""
        with self.broker.connect() as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            refusing = [queue for queue in SENT_TO if not self._send_end(channel, queue)]
            if refusing:
                return [f"{', '.join(refusing)} refused every message for {DRAIN_S:.0f} s"]
            came: set[bytes] = set()
            for method, _, body in channel.consume(ENDS, auto_ack=True, inactivity_timeout=DRAIN_S):
                if method is None:
                    return [f"the queues did not run empty within {DRAIN_S:.0f} s: only {sorted(came)} did"]
                came.add(body)
                if len(came) == len(SENT_TO):
                    break
            channel.cancel()
        return []

    def _send_end(self, channel: Any, queue: str) -> bool:
        """Whether the queue took it. RabbitMQ's quorum queues refuse messages for a while after a restart."""
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline:
            try:
                channel.basic_publish("", queue, END, with_pika.PERSISTENT)
                return True
            except pika.exceptions.NackError:
                self._pause.wait(0.1)
        return False

    def _store_problems(self) -> list[str]:
        """Leveret's file, checked by the command that its operators have."""
        if not isinstance(self.broker, Leveret):
            return []
        self.broker.stop()
        command: list[Any] = [sys.executable, "-m", "leveret", "store", "check", self.broker.directory / "data"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        return [f"leveret store check: {answer.stdout}{answer.stderr}"] if answer.returncode else []
