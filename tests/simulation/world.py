"""A broker, its disk and network, publishers and workers, all from one seed; and the misfortunes that befall them.

Whoever drives it calls the verbs below and `run`, and at the end `finish`, which heals everything, has all that is left
done, and looks whether every promise was kept. Violation is raised by `run` and `finish`.
"""

from __future__ import annotations

import asyncio
import contextvars
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

from leveret.broker import audit
from leveret.client import connect
from leveret.server.config import Config, Limits, Management
from leveret.server.gauges import Gauges
from leveret.server.server import Server
from leveret.store.archive import Archive
from leveret.store.database import Database
from leveret.store.store import FILE_NAME
from simulation.actors import PORT, URL, Publisher
from simulation.disk import Condition, Disk, Gate, SimulatedDatabase, on_virtual_time
from simulation.loop import OWNER, Stalled, VirtualLoop
from simulation.model import DEAD, Model, Violation
from simulation.network import Link, Network
from simulation.workers import DILIGENT, MARKS, Habits, Pool, Worker

EPOCH_MS = 1_700_000_000_000
NO_GAUGES = Gauges(lambda: 0, lambda: 0, lambda directory: 0, lambda: None)

ORDERED = "ordered"
QUEUES: dict[str, dict[str, Any]] = {
    "work": {},
    "other": {},
    ORDERED: {"x-single-active-consumer": True},
    "counted": {
        "x-queue-type": "quorum",
        "x-delivery-limit": 5,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": DEAD,
    },
    "ranked": {"x-max-priority": 15},
    "short": {"x-message-ttl": 3_000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD},
    "failing": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD},
    DEAD: {},
}
"""Each kind has its own way through broker and store; `ranked` reads from the disk after a megabyte of one priority."""

PLAIN = ["work", "other"]

DRAIN_S = 900.0
QUIET_S = 1.0


class SimulatedServer(Server):
    """On the loop's time, and on a disk that obeys."""

    def __init__(self, config: Config, disk: Disk) -> None:
        self._disk = disk
        super().__init__(config, gauges=NO_GAUGES, open_database=disk.open_database)
        disk.attach(self.store)

    def now_ms(self) -> int:
        return EPOCH_MS + round(self.loop.time() * 1000)


class World:
    """`make_database` and `make_server` put in others, with a defect for example. `trace` is all that happened."""

    def __init__(
        self,
        seed: int,
        make_database: Callable[[Path, Gate], Database] = SimulatedDatabase,
        make_server: Callable[[Config, Disk], Server] = SimulatedServer,
    ) -> None:
        self.random = Random(f"{seed} world")
        self.trace: list[str] = []
        self.model = Model(ORDERED)
        self.condition = Condition()
        self.publishers: list[Publisher] = []
        self.workers: list[Worker | Pool] = []
        self.server: Server | None = None
        self.counts: dict[str, int] = {}
        self._seed = seed
        self._make_database = make_database
        self._make_server = make_server
        self._broken: BaseException | None = None
        self._process: object = None
        self._names = 0
        self._closing = ExitStack()
        self._closing.enter_context(on_virtual_time())
        self.loop = VirtualLoop()
        self._closing.callback(self._close)
        self.loop.set_exception_handler(self._on_exception)
        self.network = Network(self.loop, Random(f"{seed} network"))
        self.network.on_over = self._on_over
        directory = tempfile.mkdtemp(prefix="leveret-simulation-")
        self._closing.callback(shutil.rmtree, directory, ignore_errors=True)
        limits = Limits(consumer_timeout_s=0)
        self._config = Config(port=PORT, data=Path(directory), limits=limits, management=Management(enabled=False))
        self.start()
        self.do(self._declare())

    # ---- what happened

    def say(self, what: str) -> None:
        self.trace.append(f"{self.loop.time():.6f} {what}")

    def broken(self, error: BaseException | None) -> None:
        """A promise, or a program; the first is raised by `run`."""
        if self._broken is None and error is not None:
            self.say(f"broken: {error!r}")
            self._broken = error

    def _count(self, what: str, said: str = "") -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        self.say(said or what)

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.broken(context.get("exception") or RuntimeError(context["message"]))

    def _on_over(self, link: Link) -> None:
        self.model.troubles += 1
        self.say(f"{link} is over")

    # ---- the broker

    def start(self) -> None:
        """A new life, on what is on disk."""
        if self.server is not None:
            return
        self.network.life += 1
        self.model.troubles += 1
        self._process = process = f"broker {self.network.life}"
        self._count("starts", f"{process} starts")
        self._gone: asyncio.Future[None] = self.loop.create_future()
        context = contextvars.copy_context()
        context.run(OWNER.set, process)
        self.loop.run_until_complete(self.loop.create_task(self._serve(), context=context))

    async def _serve(self) -> None:
        self._disk = Disk(self.loop, Random(f"{self._seed} {self._process}"), self.condition, self._make_database)
        self.server = server = self._make_server(self._config, self._disk)
        await server.start()
        self._watching = self.loop.create_task(self._await_failure(server))

    async def _await_failure(self, server: Server) -> None:
        await server.stopped.wait()
        if server.failure is not None:
            self.loop.call_soon(self._failed, server)  # where an error of ours is seen

    def _failed(self, server: Server) -> None:
        """Its store has failed, and the process ends by itself."""
        if self.server is server:
            self._count(
                "store failures", f"{self._process} gives up: {server.failure}".replace(str(self._config.data), "data")
            )
            self._bury(server)

    def crash(self) -> None:
        """kill -9."""
        if self.server is not None:
            self._count("crashes", f"{self._process} is killed")
            self._bury(self.server)

    def _bury(self, server: Server) -> None:
        self.server = None
        self._gone.set_result(None)
        self.model.troubles += 1
        self.loop.forget(self._process)
        self.network.kill(self._process)
        self._disk.kill()
        server.store.close()

    def stop(self) -> None:
        """SIGTERM. With a full disk, what waits for it is given up."""
        server = self.server
        if server is None:
            return
        self._count("clean stops", f"{self._process} stops")
        self.model.troubles += 1
        context = contextvars.copy_context()
        context.run(OWNER.set, self._process)
        stopping = self.loop.create_task(server.stop(), context=context)
        self.do(asyncio.wait((stopping, self._gone), return_when=asyncio.FIRST_COMPLETED))
        if self.server is server:
            self.server = None
            self.loop.forget(self._process)
            self.network.kill(self._process)
        self._check()

    async def _declare(self) -> None:
        connection = await connect(URL, reconnect=False)
        channel = await connection.channel()
        for name, arguments in QUEUES.items():
            await channel.queue_declare(name, durable=True, arguments=arguments)
        await channel.queue_declare(MARKS, durable=True)
        await connection.close()

    # ---- publishers and workers

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}{self._names}"

    def publish(self, queue: str, count: int, size: int = 100) -> None:
        """By any publisher."""
        if not self.publishers:
            self.publishers.append(Publisher(self, self._name("p")))
        publisher = self.random.choice(self.publishers)
        self.say(f"{publisher} is to send {count} to {queue}")
        publisher.send(queue, count, size)

    def hire(self, queue: str, prefetch: int, habits: Habits) -> None:
        self.workers.append(Worker(self, self._name("w"), queue, prefetch, habits))
        self.say(f"{self.workers[-1]} works on {queue}")

    def hire_pool(self, slots: int, work_s: float) -> None:
        """For all the plain queues."""
        self.workers.append(Pool(self, self._name("pool"), PLAIN, slots, work_s))
        self.say(f"{self.workers[-1]} works on {', '.join(PLAIN)}")

    def add_publisher(self) -> None:
        self.publishers.append(Publisher(self, self._name("p")))

    def kill(self, process: Publisher | Worker | Pool) -> None:
        """kill -9."""
        self._count("processes killed", f"{process} is killed")
        self.loop.forget(process)
        self.network.kill(process)
        if isinstance(process, Publisher):
            self.publishers.remove(process)
        else:
            self.workers.remove(process)

    def dismiss(self, worker: Worker | Pool) -> None:
        """It gives back what it has, and goes. One of the ordered queue does not cancel its consumer first: what was on
        its way to it would come after what the next one got meanwhile, with RabbitMQ as well.
        """
        self._count("workers dismissed", f"{worker} goes")
        self.workers.remove(worker)
        worker.quit(cancels=ORDERED not in worker.queues)

    # ---- the network and the disk

    def cut(self, link: Link) -> None:
        self._count("links cut", f"{link} is cut")
        self.network.cut(link)

    def silence(self, link: Link) -> None:
        self._count("links silenced", f"{link} falls silent")
        self.network.silence(link)

    def fill_disk(self, full: bool) -> None:
        if full != self.condition.full:
            self._count("full disks" if full else "disks with room again")
            self.condition.full = full

    def break_disk(self) -> None:
        """From now on writing fails; a broker that is started afresh finds it mended."""
        self._count("broken disks")
        self.condition.failing = True

    def restart(self) -> None:
        self.condition.failing = False
        self.start()

    # ---- time

    def run(self, seconds: float) -> None:
        """Let it go on for so long."""
        self.do(asyncio.sleep(seconds))
        self._check()

    def do(self, what: Awaitable[Any]) -> None:
        """Let it go on until that is done."""
        try:
            self.loop.run_until_complete(what)
        except Stalled as stalled:
            self.broken(stalled)
        self._check()

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken

    # ---- the end

    def finish(self) -> None:
        """Everything is mended, and all that is left is done; then nothing may be missing, and the store be in order."""
        self.say("all is well from now on")
        self.fill_disk(False)
        self.restart()
        self.run(QUIET_S)
        for worker in list(self.workers):
            self.kill(worker)
        for queue in QUEUES:
            self.hire(queue, 50, DILIGENT)
        end_s = self.loop.time() + DRAIN_S
        while any(self._left()) or not self._idle():
            self.run(QUIET_S)
            if self.loop.time() > end_s:
                raise Violation(f"{DRAIN_S:g} s later there are still {self._left()} messages in {list(QUEUES)}")
        self.model.check_done()
        self.stop()
        self._check_store()

    def _left(self) -> list[int]:
        assert self.server is not None
        queues = self.server.broker.vhosts["/"].queues
        return [queues[name].ready + queues[name].unacked for name in QUEUES]

    def _idle(self) -> bool:
        """Publishers have nothing more to send, and links that fell silent have been noticed."""
        return not any(link.silent for link in self.network.links) and all(one.idle for one in self.publishers)

    def _check_store(self) -> None:
        archive = Archive(self._config.data / FILE_NAME)
        try:
            problems = list(audit.problems(archive, True, lambda what: None))
            left = {row.name: row.messages for row in archive.queues() if row.messages and row.name != MARKS}
        finally:
            archive.close()
        if problems or left:
            raise Violation(f"the store is not in order: {problems[:5]}, left {left}")

    def close(self) -> None:
        self._closing.close()

    def _close(self) -> None:
        if self.server is not None:
            self._bury(self.server)
        self.loop.end()
