"""One seed from beginning to end, and what came of it. Used by the driver and the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from leveret.server.config import Config
from leveret.server.server import Server
from leveret.store.database import Database
from simulation import deeds
from simulation.disk import Disk, Gate, SimulatedDatabase
from simulation.world import SimulatedServer, World


@dataclass
class Outcome:
    """`broken` says which promise was, or is empty; `trace` is all that happened, a line each."""

    seed: int
    seconds: float = 0.0
    sent: int = 0
    confirmed: int = 0
    repeated: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    broken: str = ""
    trace: list[str] = field(default_factory=list)


def play(
    seed: int,
    steps: int,
    make_database: Callable[[Path, Gate], Database] = SimulatedDatabase,
    make_server: Callable[[Config, Disk], Server] = SimulatedServer,
) -> Outcome:
    outcome = Outcome(seed)
    world = World(seed, make_database, make_server)
    try:
        deeds.live(world, Random(f"{seed} deeds"), steps)
        world.finish()
    except Exception as error:  # whatever it is, it is what the simulation was made to find
        outcome.broken = f"{type(error).__name__}: {error}"
    finally:
        outcome.seconds = world.loop.time()
        outcome.sent, outcome.confirmed = len(world.model.fates), world.model.confirmed_count
        outcome.repeated, outcome.counts, outcome.trace = world.model.repeated, world.counts, world.trace
        world.close()
    return outcome
