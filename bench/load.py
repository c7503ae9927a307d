"""The load generator, amqp_load.c: built once by gcc into a temporary directory, then run against any broker.

It is written in C so that it is never the bottleneck of what it measures. Called by `bench.rounds`,
`bench.backlog` and `bench.client_rounds`.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pika  # type: ignore[import-untyped]

from bench import CannotRun, RoundFailed

SOURCE = Path(__file__).with_name("amqp_load.c")
RUN_S_MAX = 600.0


class LoadGenerator:
    """The built program. `run` is one measurement."""

    def __init__(self, directory: Path) -> None:
        self.program = directory / "amqp_load"
        compiler = shutil.which("gcc")
        if compiler is None:
            raise CannotRun(
                "gcc, which builds the load generator, is missing. Install it: apt-get install gcc libc6-dev"
            )
        built = subprocess.run(
            [compiler, "-O2", "-o", str(self.program), str(SOURCE), "-lpthread"], capture_output=True, text=True
        )
        if built.returncode:
            raise CannotRun(f"gcc cannot build {SOURCE.name} (are the C headers, libc6-dev, there?):\n{built.stderr}")

    def run(self, port: int, queue: str, count: int, options: tuple[str, ...]) -> float:
        """Publish, consume or both, `count` messages; returns messages per second, connecting included."""
        command = [str(self.program), "--port", str(port), "--queue", queue, "--count", str(count), *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S_MAX)
        except subprocess.TimeoutExpired:
            raise RoundFailed(f"no end after {RUN_S_MAX:.0f} s: {' '.join(command[1:])}") from None
        rate = re.search(r" rate=(\d+)", done.stdout)
        if done.returncode or rate is None:
            raise RoundFailed(done.stderr.strip() or f"amqp_load ended with exit code {done.returncode}")
        return float(rate[1])


def messages_ready(port: int, queue: str) -> int:
    """How many messages wait in a queue that exists."""
    with connect(port) as connection:
        return int(connection.channel().queue_declare(queue, passive=True).method.message_count)


def delete_queue(port: int, queue: str, expected: int) -> None:
    """Delete a queue and void the round if the broker says it held another number of messages than expected."""
    with connect(port) as connection:
        left = int(connection.channel().queue_delete(queue).method.message_count)
    if left != expected:
        raise RoundFailed(f"queue {queue} held {left} messages at the end, expected {expected}")


def connect(port: int) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))
