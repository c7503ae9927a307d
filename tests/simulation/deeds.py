"""What may happen next, drawn from a seed: mostly work, now and then a misfortune. Used by the driver of many seeds."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from simulation.model import DEAD
from simulation.workers import Habits
from simulation.world import QUEUES, World

Deed = Callable[[World, Random], None]

PUBLISHERS_MAX = 4
WORKERS_MAX = 12


def publish(world: World, random: Random) -> None:
    queue = random.choice([name for name in QUEUES if name != DEAD])
    large = queue == "ranked" and random.random() < 0.5
    if large:
        world.publish(queue, random.randint(1, 60), 100_000)
    else:
        world.publish(queue, random.randint(1, 60), random.choice((0, 100, 5_000)))


def habits(queue: str, random: Random) -> Habits:
    return Habits(
        work_s=random.choice((0.001, 0.05, 1.0)),
        gives_back=random.choice((0.0, 0.1, 0.5)),
        rejects=0.5 if queue == "failing" else 0.0,
        forgets=random.choice((0.0, 0.0, 0.05, 1.0)),
        together=random.choice((0.0, 0.3)),
        marks=random.choice((0.0, 0.2)),
    )


def hire(world: World, random: Random) -> None:
    if len(world.workers) < WORKERS_MAX:
        queue = random.choice(list(QUEUES))
        world.hire(queue, random.choice((1, 1, 3, 20, 100)), habits(queue, random))


def hire_pool(world: World, random: Random) -> None:
    if len(world.workers) < WORKERS_MAX:
        world.hire_pool(random.choice((1, 2, 10)), random.choice((0.01, 0.1, 5.0)))


def dismiss(world: World, random: Random) -> None:
    if world.workers:
        world.dismiss(random.choice(world.workers))


def kill(world: World, random: Random) -> None:
    processes = [*world.publishers, *world.workers]
    if processes:
        world.kill(random.choice(processes))


def add_publisher(world: World, random: Random) -> None:
    if len(world.publishers) < PUBLISHERS_MAX:
        world.add_publisher()


def cut(world: World, random: Random) -> None:
    if world.network.links:
        world.cut(random.choice(world.network.links))


def silence(world: World, random: Random) -> None:
    if world.network.links:
        world.silence(random.choice(world.network.links))


def crash(world: World, random: Random) -> None:
    world.crash()


def stop(world: World, random: Random) -> None:
    world.stop()


def restart(world: World, random: Random) -> None:
    world.restart()


def change_disk(world: World, random: Random) -> None:
    world.fill_disk(not world.condition.full)


def break_disk(world: World, random: Random) -> None:
    world.break_disk()


WEIGHTS: dict[Deed, int] = {
    publish: 40,
    hire: 15,
    hire_pool: 5,
    dismiss: 3,
    kill: 5,
    add_publisher: 3,
    cut: 6,
    silence: 2,
    crash: 3,
    stop: 1,
    restart: 8,
    change_disk: 3,
    break_disk: 1,
}
PAUSES_S = (0.0, 0.001, 0.01, 0.1, 1.0, 10.0)


def live(world: World, random: Random, steps: int) -> None:
    """So many deeds, with pauses between them."""
    deeds, weights = list(WEIGHTS), list(WEIGHTS.values())
    for _ in range(steps):
        random.choices(deeds, weights)[0](world, random)
        world.run(random.choice(PAUSES_S))
