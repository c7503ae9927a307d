"""`make cluster`: a RabbitMQ of three nodes on this machine, tasks flowing, and one node after another killed.

Three nodes with quorum queues, a sender and two worker processes that know all three addresses. After a quarter of the tasks one
node is killed with -9 and started again, after three quarters another. At the end it is counted what was confirmed and not
done (none may be), and what was done twice. Loopback only; everything it starts is ended, and its data deleted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.brokers import RabbitMQ, free_port

from bench.run import interrupted
from leveret.errors import LeveretError
from leveret.tasks import WorkQueue

COOKIE = "LEVERETCLUSTER"
FORM_S = 90.0
DONE_S = 180.0
PROGRAM = """
import os
from leveret.tasks import WorkQueue

work = WorkQueue(os.environ["LEVERET_URL"], default_queue="flow")
file = os.open(os.environ["DONE_FILE"], os.O_WRONLY | os.O_APPEND)

@work.task
def flow(number: int) -> None:
    os.write(file, b"%d\\n" % number)
"""


def flow(number: int) -> None:
    """As the sender knows it."""


class Node(RabbitMQ):
    """One of a cluster: the others' names stand in its configuration, and all share one epmd and one cookie."""

    def __init__(self, epmd_port: int) -> None:
        super().__init__(management=False)
        self.epmd_port = epmd_port
        self._leans = False

    @property
    def name(self) -> str:
        return f"leveret-{self.port}@localhost"

    def join(self, nodes: list[Node]) -> None:
        """Before the start."""
        lines = ["cluster_formation.peer_discovery_backend = classic_config"]
        lines += [
            f"cluster_formation.classic_config.nodes.{place} = {node.name}" for place, node in enumerate(nodes, 1)
        ]
        config = self.directory / "rabbitmq.conf"
        config.write_text(config.read_text() + "\n".join(lines) + "\n")
        cookie = self.directory / ".erlang.cookie"
        cookie.write_text(COOKIE)
        cookie.chmod(0o400)
        if os.geteuid() == 0:
            shutil.chown(cookie, self.user)

    def lean_on(self, first: Node) -> None:
        """Use its epmd; it is removed last."""
        self._leans = first is not self
        self._epmd = first._epmd

    def remove(self) -> None:
        self._epmd = None if self._leans else self._epmd
        super().remove()

    def members(self) -> int:
        return sum(
            line.startswith("leveret-") for line in self.control("cluster_status").split("Running Nodes")[1].split()
        )


class Cluster:
    """Three nodes; the first one started has the epmd of all."""

    def __init__(self, stack: ExitStack) -> None:
        epmd_port = free_port()
        self.nodes = [Node(epmd_port) for _ in range(3)]
        for node in self.nodes:
            stack.callback(node.remove)
            node.join(self.nodes)
        for node in self.nodes:
            node.lean_on(self.nodes[0])
            node.start()
        until = time.monotonic() + FORM_S
        while self.nodes[0].members() < 3:
            if time.monotonic() > until:
                raise SystemExit("the nodes do not find each other")
            time.sleep(0.5)

    def await_copies(self) -> None:
        """Until each of the three has the queue, and follows its leader: a node may be lost then, and not before."""
        until = time.monotonic() + FORM_S
        while not self._copied():
            if time.monotonic() > until:
                raise SystemExit(f"the queue is not on all nodes after {FORM_S:.0f} s")
            time.sleep(0.5)

    def _copied(self) -> bool:
        alive = next(node for node in self.nodes if node.process is not None)
        rows = [line.split("\t") for line in alive.control("list_queues", "-q", "name", "online").splitlines()]
        return any(name == "flow" and online.count("leveret-") == len(self.nodes) for name, online in rows)

    @property
    def url(self) -> str:
        return "amqp://guest:guest@" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes) + "/"


class Flow:
    """The tasks: sent one by one, each until the broker has confirmed it, while workers note what they did."""

    def __init__(self, url: str, folder: Path, stack: ExitStack) -> None:
        self.url = url
        self.file = folder / "done"
        self.file.touch()
        (folder / "program.py").write_text(PROGRAM)
        self.work = WorkQueue(url, default_queue="flow", send_timeout_s=10)
        self.task = self.work.task(flow)
        stack.callback(self.work.close)
        self.longest_s = 0.0
        self.again = 0
        environment = os.environ | {"LEVERET_URL": url, "DONE_FILE": str(self.file)}
        for _ in range(2):
            command = [sys.executable, "-m", "leveret", "worker", "program.py", "--threads", "4"]
            worker = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(end, worker)

    def send(self, number: int) -> None:
        begun = time.monotonic()
        while True:
            try:
                self.task.send(number)
                break
            except LeveretError as error:  # it may have arrived, or not: so it is sent again
                self.again += 1
                print(f"task {number} is sent again: {error}", flush=True)
        self.longest_s = max(self.longest_s, time.monotonic() - begun)

    def done(self) -> list[int]:
        return [int(line) for line in self.file.read_text().split()]


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(count: int) -> int:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leveret-cluster-")))
        cluster = Cluster(stack)
        print(f"three nodes: {', '.join(node.name for node in cluster.nodes)}", flush=True)
        flow = Flow(cluster.url, folder, stack)
        first, second, _ = cluster.nodes  # everybody is connected to the first, and to the second when that is gone
        kills = {count // 4: first, 3 * count // 4: second}
        back = {count // 2: first, count - count // 8: second}
        begun = time.monotonic()
        for number in range(count):
            if number in kills:
                cluster.await_copies()
                print(f"after {number} tasks {kills[number].name} is killed", flush=True)
                kills[number].kill()
            if number in back:
                print(f"after {number} tasks {back[number].name} is started again", flush=True)
                back[number].start()
            flow.send(number)
        sent_s = time.monotonic() - begun
        until = time.monotonic() + DONE_S
        while len(set(flow.done())) < count and time.monotonic() < until:
            time.sleep(0.1)
        done = Counter(flow.done())
        lost = count - len(done)
        rows = {
            "tasks confirmed": count,
            "nodes killed": len(kills),
            "lost": lost,
            "done more than once": sum(times > 1 for times in done.values()),
            "sends tried again": flow.again,
            "longest send, s": round(flow.longest_s, 2),
            "sent per second": round(count / sent_s),
            "all done after the last send, s": round(time.monotonic() - begun - sent_s, 2),
        }
        for name, value in rows.items():
            print(f"{name:34}{value:>10}")
        return 1 if lost else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.cluster", description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="tasks (default 5000)")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)  # so that what was started is ended
    if RabbitMQ.missing():
        parser.error(RabbitMQ.missing())
    return run(chosen.count)


if __name__ == "__main__":
    raise SystemExit(main())
