"""The two brokers the suite runs against, behind the same doors: Leveret's own and RabbitMQ.

Each lives in a fresh directory on free loopback ports, is started as a real process and can be stopped,
killed and started again over the same data. tests/conftest.py makes fixtures of them; nothing here asserts.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

import pika
from pika.adapters.blocking_connection import BlockingConnection

if TYPE_CHECKING:  # bench/ and compat/ import this as tests.brokers
    from certificates import ServerTls

START_S = 60.0
STOP_S = 60.0
PROCESSES = 16
"""So many may run parts of the suite at once."""
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


class BrokerFailed(Exception):
    """The broker's process did not start or stop as it should; the message holds its last output."""


def _ports() -> Iterator[int]:
    """In no order, each once before any comes again.

    No connection on its way out is given one of these, as those from 32768 on are; nor does another process that
    runs a part of this suite (pytest-xdist numbers them) look for its own among them.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = range(10_240 + number % PROCESSES, 32_000, PROCESSES)
    while True:
        yield from random.SystemRandom().sample(mine, len(mine))


_next_port = _ports()


def free_port() -> int:
    """One that nobody listens on."""
    for port in _next_port:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports never end")


def answers(port: int, hello: bytes = PROTOCOL_HEADER) -> bool:
    """Whether something on `port` accepts a connection and, given `hello`, says something back."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(hello)
            return not hello or connection.recv(1) != b""
    except OSError:
        return False


class Broker(ABC):
    """One broker: its process, its ports and its data, which outlive the process until `remove`."""

    kind: ClassVar[str]
    consumer_timeout_ms: int | None = None
    """To be set before `start`: how long it waits for an acknowledgement; None: its own default."""

    history = True
    """To be set before `start`: whether it remembers tasks, or has a dashboard, and so listens to what workers say. RabbitMQ never does."""

    def __init__(self, management: bool = True, tls: ServerTls | None = None, metrics: bool = False) -> None:
        """`metrics`: with what Prometheus reads on `metrics_port`, and figures that are no older than half a second."""
        self.management = management
        self.tls = tls
        self.metrics = metrics
        self.metrics_port = free_port()
        self.port = free_port()
        self.tls_port = free_port()
        self.management_port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"leveret-{self.kind}-"))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def management_url(self) -> str:
        return f"http://guest:guest@127.0.0.1:{self.management_port}"

    def parameters(self, **overrides: Any) -> pika.ConnectionParameters:
        """How pika reaches this broker; a dead broker fails a test within seconds instead of hanging it."""
        settings: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "credentials": pika.PlainCredentials("guest", "guest"),
            "blocked_connection_timeout": 30,
            "socket_timeout": 10,
        }
        return pika.ConnectionParameters(**{**settings, **overrides})

    def connect(self, **overrides: Any) -> BlockingConnection:
        return BlockingConnection(self.parameters(**overrides))

    @abstractmethod
    def start(self) -> None:
        """Start the process and return when it accepts connections. BrokerFailed if it does not."""

    def stop(self) -> None:
        """End it in good order (SIGTERM) and wait for the end. BrokerFailed if it has to be killed."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does (SIGKILL to the process that holds the data)."""
        self._end(signal.SIGKILL)

    def keep_declared(self) -> None:  # noqa: B027 - nothing to be done is the rule
        """What was declared is on disk now: RabbitMQ answers before it is, and writes it within some seconds."""

    def restart(self) -> None:
        self.stop()
        self.start()

    def remove(self) -> None:
        """Kill what still runs and delete the data; the broker cannot be started again."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self, number: int) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise BrokerFailed(f"{self.kind} did not stop within {STOP_S:.0f} s\n{self.output()}") from None

    def output(self) -> str:
        """The last lines the process wrote, for error messages."""
        log = self.directory / "output"
        return log.read_text(errors="replace")[-4000:] if log.exists() else ""


class Leveret(Broker):
    """Leveret's broker as its users start it: `python -m leveret broker`."""

    kind = "leveret"
    more: tuple[str, ...] = ()
    """Further arguments, to be set before `start`."""

    @staticmethod
    def missing() -> str:
        """Why this broker cannot be run here; empty if it can."""
        return ""

    def command(self) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--data", str(self.directory / "data")]
        management = ["--management-port", str(self.management_port)] if self.management else ["--no-management"]
        secure = self.tls.options(self.tls_port) if self.tls is not None else []
        timeout_ms = self.consumer_timeout_ms
        patience = ["--set", f"limits.consumer_timeout_s={timeout_ms / 1000:g}"] if timeout_ms else []
        metrics = ["--set", f"prometheus.port={self.metrics_port}", "--set", "management.sample_s=0.5"]
        deaf = [] if self.history else ["--set", "history.enabled=false", "--set", "dashboard.enabled=false"]
        return [
            *(sys.executable, "-m", "leveret", "broker", *where, *management, *secure, *patience, *deaf),
            *(metrics if self.metrics else ()),
            *self.more,
        ]

    def start(self) -> None:
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                self.command(), stdout=subprocess.PIPE, stderr=output, stdin=subprocess.DEVNULL
            )
        ready = threading.Event()
        said: list[bytes] = []
        assert self.process.stdout is not None
        threading.Thread(target=self._read, args=(self.process.stdout, said, ready), daemon=True).start()
        if not ready.wait(START_S) or not said:
            self.kill()
            raise BrokerFailed(f"leveret printed no line starting with 'ready'\n{self.output()}")

    @staticmethod
    def _read(stdout: IO[bytes], said: list[bytes], ready: threading.Event) -> None:
        """Read to the end, so that the broker never blocks on a full pipe; the end is an answer too."""
        with stdout:
            for line in stdout:
                if line.startswith(b"ready"):
                    said.append(line)
                    ready.set()
        ready.set()


class RabbitMQ(Broker):
    """A RabbitMQ node of its own: node name, cookie, epmd, configuration, data, all in its directory."""

    kind = "rabbitmq"
    user: ClassVar[str] = "rabbitmq"
    statistics_ms: ClassVar[int] = 5_000
    """So often its management gets new figures; RabbitMQ's own default, which benchmarks keep."""
    script: ClassVar[Path] = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

    def __init__(self, management: bool = True, tls: ServerTls | None = None, metrics: bool = False) -> None:
        super().__init__(management, tls, metrics)
        self.distribution_port = free_port()
        self.epmd_port = free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        self._write_files()

    @classmethod
    def missing(cls) -> str:
        if not cls.script.exists():
            return "rabbitmq-server is not installed"
        return "" if shutil.which("epmd") else "epmd (Erlang) is not installed"

    def _write_files(self) -> None:
        settings = [
            f"listeners.tcp.default = 127.0.0.1:{self.port}",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {self.management_port}",
            "log.file.level = warning",
            f"collect_statistics_interval = {self.statistics_ms}",
        ]
        plugins = ["rabbitmq_consistent_hash_exchange", *(["rabbitmq_management"] if self.management else [])]
        if self.metrics:
            settings += ["prometheus.tcp.ip = 127.0.0.1", f"prometheus.tcp.port = {self.metrics_port}"]
            settings.append("collect_statistics_interval = 500")
            plugins.append("rabbitmq_prometheus")
        if self.tls is not None:
            settings += self.tls.rabbitmq(self.tls_port)
            plugins.append("rabbitmq_auth_mechanism_ssl")
        (self.directory / "rabbitmq.conf").write_text("\n".join(settings) + "\n")
        (self.directory / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
        if os.geteuid() == 0:
            account = pwd.getpwnam(self.user)
            for path in (self.directory, *self.directory.iterdir()):
                os.chown(path, account.pw_uid, account.pw_gid)

    def environment(self) -> dict[str, str]:
        place = self.directory
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "HOME": str(place),
            "LANG": "C.UTF-8",
            # Without it the script stays as a shell around the node, and a signal would reach the shell.
            "RUNNING_UNDER_SYSTEMD": "1",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_MNESIA_BASE": str(place / "mnesia"),
            "RABBITMQ_LOG_BASE": str(place / "log"),
            "RABBITMQ_PID_FILE": str(place / "pid"),
            "RABBITMQ_CONF_ENV_FILE": str(place / "no-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(place / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S 2:2 +sbwt none {loopback}",
        }

    def control(self, *arguments: str) -> str:
        """What `rabbitmqctl` answers; BrokerFailed if it refuses."""
        return self._ask([str(self.script.with_name("rabbitmqctl")), "-n", self._node, *arguments])

    def evaluate(self, expression: str) -> str:
        """The value of an Erlang expression in the node, at a hundredth of what rabbitmqctl takes. BrokerFailed if it fails."""
        command = ["erl_call", "-address", f"127.0.0.1:{self.distribution_port}", "-r", "-e"]
        answer = self._ask(command, f"{expression}.\n")
        if not answer.startswith("{ok,"):
            raise BrokerFailed(f"{expression}\n{answer}")
        return answer

    def _ask(self, command: list[str], said: str = "") -> str:
        environment = {name: value for name, value in self.environment().items() if name != "RABBITMQ_DIST_PORT"}
        answer = subprocess.run(
            command,
            input=said,
            env=environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            **self._account(),
        )
        if answer.returncode:
            raise BrokerFailed(f"{command!r}\n{answer.stdout}{answer.stderr}")
        return answer.stdout

    def _account(self) -> dict[str, Any]:
        return {"user": self.user, "group": self.user, "extra_groups": []} if os.geteuid() == 0 else {}

    @property
    def _node(self) -> str:
        return f"leveret-{self.port}@localhost"

    def keep_declared(self) -> None:
        self.evaluate("mnesia:sync_log()")

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.directory / "output").open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                env=self.environment(),
                start_new_session=True,
                **self._account(),
            )

    def _write_advanced(self) -> None:
        """What rabbitmq.conf has no words for; channels look for late acknowledgements each half second then."""
        if self.consumer_timeout_ms:
            settings = (
                f"[{{rabbit, [{{consumer_timeout, {self.consumer_timeout_ms}}}, {{channel_tick_interval, 500}}]}}]."
            )
            (self.directory / "advanced.config").write_text(settings)

    def start(self) -> None:
        self._write_advanced()
        # An epmd of our own child is ended with its node; one that Erlang starts itself outlives it.
        if self._epmd is None:
            self._epmd = self._spawn(["epmd", "-port", str(self.epmd_port), "-address", "127.0.0.1"])
            self._await(self._epmd, self.epmd_port, b"")
        self.process = self._spawn([str(self.script)])
        self._await(self.process, self.port)

    def _await(self, process: subprocess.Popen[bytes], port: int, hello: bytes = PROTOCOL_HEADER) -> None:
        """RabbitMQ opens its AMQP listener last, after plugins and recovery: that it answers is the event."""
        deadline = time.monotonic() + START_S
        pause = threading.Event()
        while not answers(port, hello):
            if process.poll() is not None or time.monotonic() > deadline:
                self.remove()
                raise BrokerFailed(f"{process.args!r} does not answer on port {port}\n{self.output()}")
            pause.wait(0.05)

    def remove(self) -> None:
        epmd, self._epmd = self._epmd, None
        self.kill()
        if epmd is not None:
            epmd.kill()
            epmd.wait()
        super().remove()


KINDS: dict[str, type[Leveret] | type[RabbitMQ]] = {"leveret": Leveret, "rabbitmq": RabbitMQ}


class SharedBrokers:
    """One broker of each kind, with management and without, started when it is first asked for, kept to the end."""

    def __init__(self) -> None:
        self._brokers: dict[tuple[str, bool], Broker] = {}

    def get(self, kind: type[Broker], management: bool = False) -> Broker:
        key = kind.kind, management
        if key not in self._brokers:
            started = kind(management=management)
            try:
                started.start()
            except BaseException:
                started.remove()
                raise
            self._brokers[key] = started
        return self._brokers[key]

    def stop(self) -> None:
        """In good order. BrokerFailed if one has to be killed."""
        for broker in self._brokers.values():
            broker.stop()

    def remove(self) -> None:
        for broker in self._brokers.values():
            broker.remove()
