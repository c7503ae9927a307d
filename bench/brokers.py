"""The brokers that are measured: those of the test suite, set up for speed rather than for tests.

Both keep their data under Python's temporary directory (TMPDIR), hence on the same file system. `bench.run`
starts them and removes them through an ExitStack, on Ctrl-C as well.
"""

import re
import socket
import subprocess
from typing import Protocol

from tests import brokers
from tests.brokers import BrokerFailed

from bench import ROOT, CannotRun

__all__ = ["Broker", "BrokerFailed", "Leveret", "RabbitMQ", "build_of", "product", "pure_python"]


class Broker(Protocol):
    """What the rounds need to know of a broker that runs."""

    @property
    def name(self) -> str: ...
    @property
    def port(self) -> int: ...


class Leveret(brokers.Leveret):
    """`leveret broker`, run by the Python that is given: the compiled build, or the pure one."""

    def __init__(self, python: str, name: str = "Leveret") -> None:
        super().__init__(management=False)
        self.python = python
        self.name = name

    def command(self) -> list[str]:
        return [self.python, *super().command()[1:]]


class RabbitMQ(brokers.RabbitMQ):
    """RabbitMQ as it comes: the tests hold it to two schedulers, which would slow it on a larger machine."""

    name = "RabbitMQ"

    def __init__(self) -> None:
        reason = self.missing()
        if reason:
            raise CannotRun(f"{reason}. Install it: apt-get install rabbitmq-server")
        super().__init__(management=False)

    def environment(self) -> dict[str, str]:
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {**super().environment(), "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": loopback}


def build_of(python: str) -> str:
    """Which Leveret that Python imports, in Leveret's own words: `compiled (mypyc)` or `pure Python`."""
    look = "from leveret.build import describe; print(describe())"
    found = subprocess.run([python, "-c", look], capture_output=True, text=True, cwd=ROOT)
    if found.returncode:
        raise CannotRun(f"{python} cannot import leveret. Run `make bench`, which installs it.\n{found.stderr.strip()}")
    return found.stdout.strip()


def pure_python() -> str | None:
    """The interpreter that has the pure build (`make test-pure` creates it), if there is one."""
    python = ROOT / ".venv-pure" / "bin" / "python"
    return str(python) if python.exists() else None


def product(port: int) -> str:
    """What the broker calls itself in connection.start, such as `RabbitMQ 3.10.8`."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        start = connection.recv(65_536)
    found = [re.search(key + rb"S\x00\x00\x00(.)", start, re.DOTALL) for key in (b"\x07product", b"\x07version")]
    words = [start[match.end() : match.end() + match[1][0]] for match in found if match]
    return " ".join(word.decode(errors="replace") for word in words) or "unknown"
