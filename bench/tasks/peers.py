"""Who is measured, as data: each peer's application, its broker, its configurations and its worker's command line.

Plain values, read by `bench.tasks.run` (whom to measure) and `bench.tasks.session` (how to start it).
"""

from dataclasses import dataclass, replace

SLOTS = 10
"""Tasks at a time, whatever they are made of: processes, threads or coroutines."""


@dataclass(frozen=True)
class Peer:
    """`worker` is what follows the Python; {processes}, {threads}, {slots}, {queue} and {url} are filled in."""

    name: str
    app: str
    server: str
    worker: str
    modes: tuple[str, ...] = ("default", "reliable")
    supervised: bool = False
    """It starts several worker processes itself; of others, the driver starts two where two are wanted."""
    tasks_max: int = 1_000_000
    """No-op tasks in one go, for a peer with which the full number would take all day."""

    @property
    def ours(self) -> bool:
        return self.app == "on_leveret"


CELERY = Peer("Celery", "on_celery", "rabbitmq", "-m celery -A on_celery worker -c {slots}", supervised=True)
DRAMATIQ = Peer(
    "Dramatiq", "on_dramatiq", "rabbitmq", "-m dramatiq on_dramatiq -p {processes} -t {threads}", supervised=True
)
TASKIQ = Peer(
    "taskiq",
    "on_taskiq",
    "rabbitmq",
    "-m taskiq worker on_taskiq:broker --workers {processes} --max-async-tasks {threads} --log-level WARNING",
    supervised=True,
    modes=("reliable",),
)
LEVERET = Peer(
    "Leveret",
    "on_leveret",
    "leveret",
    "-m leveret worker on_leveret.py --processes {processes} --threads {threads}",
    supervised=True,
    modes=("reliable",),
)

PEERS = {
    "leveret": LEVERET,
    "leveret-rabbitmq": replace(LEVERET, server="rabbitmq"),
    "celery-rabbitmq": CELERY,
    "celery-redis": replace(CELERY, server="redis"),
    "dramatiq-rabbitmq": DRAMATIQ,
    "dramatiq-redis": replace(DRAMATIQ, server="redis"),
    "taskiq-rabbitmq": TASKIQ,
    "taskiq-redis": replace(TASKIQ, server="redis", modes=("default", "reliable")),
    "faststream-rabbitmq": Peer("FastStream", "on_faststream", "rabbitmq", "on_faststream.py"),
    "huey-redis": Peer("Huey", "on_huey", "redis", "-m huey.bin.huey_consumer on_huey.huey -q -w {threads}"),
    "rq-redis": Peer(
        "RQ",
        "on_rq",
        "redis",
        "-m rq.cli worker-pool {queue} -n {slots} -q -u {url} -P .",
        supervised=True,
        tasks_max=1_000,
    ),
}


@dataclass(frozen=True)
class Contestant:
    """A peer in one of its configurations: a row of the table."""

    key: str
    peer: Peer
    mode: str

    @property
    def title(self) -> str:
        names = {"rabbitmq": "RabbitMQ", "redis": "Redis", "leveret": "its own broker"}
        only = "" if len(self.peer.modes) == 1 else f", {self.mode}"
        return f"{self.peer.name} on {names[self.peer.server]}{only}"

    @property
    def server(self) -> str:
        """Redis comes in two: as it is, and with every write synced to disk."""
        return "redis-synced" if (self.peer.server, self.mode) == ("redis", "reliable") else self.peer.server


def contestants(keys: list[str], modes: list[str]) -> list[Contestant]:
    """Each peer in those of its configurations that are asked for; one that has a single one is always in."""
    found = []
    for key in keys:
        peer = PEERS[key]
        chosen = peer.modes if len(peer.modes) == 1 else [mode for mode in peer.modes if mode in modes]
        found += [Contestant(key, peer, mode) for mode in chosen]
    return found
