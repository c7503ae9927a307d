"""The simulation in little: by hypothesis, by seeds, and on brokers with a defect. `make simulate` runs it at large."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from simulation import planted
from simulation.disk import SimulatedDatabase
from simulation.model import DEAD, Violation
from simulation.play import play
from simulation.workers import Habits
from simulation.world import QUEUES, World

SEEDS = range(1, 9)
STEPS = 60
SEEDS_TO_FIND = range(1, 21)
probabilities = st.sampled_from((0.0, 0.1, 0.5))


class Simulated(RuleBasedStateMachine):
    """Any order of anything; hypothesis finds the shortest that breaks a promise."""

    @initialize(seed=st.integers(0, 1 << 32))
    def begin(self, seed: int) -> None:
        self.world = World(seed)

    def teardown(self) -> None:
        try:
            self.world.finish()
        finally:
            self.world.close()
            del self.world

    @rule(
        queue=st.sampled_from([name for name in QUEUES if name != DEAD]),
        count=st.integers(1, 50),
        size=st.sampled_from((0, 100, 100_000)),
    )
    def publish(self, queue: str, count: int, size: int) -> None:
        self.world.publish(queue, count, size)

    @rule(
        queue=st.sampled_from(list(QUEUES)),
        prefetch=st.sampled_from((1, 3, 20)),
        work_s=st.sampled_from((0.001, 0.1, 1.0)),
        gives_back=probabilities,
        forgets=probabilities,
        marks=probabilities,
    )
    def hire(self, queue: str, prefetch: int, **habits: float) -> None:
        self.world.hire(queue, prefetch, Habits(rejects=0.5 if queue == "failing" else 0.0, **habits))

    @rule(slots=st.sampled_from((1, 3)), work_s=st.sampled_from((0.01, 3.0)))
    def hire_pool(self, slots: int, work_s: float) -> None:
        self.world.hire_pool(slots, work_s)

    @precondition(lambda self: self.world.workers)
    @rule(data=st.data(), killed=st.booleans())
    def lose_a_worker(self, data: st.DataObject, killed: bool) -> None:
        worker = data.draw(st.sampled_from(self.world.workers))
        if killed:
            self.world.kill(worker)
        else:
            self.world.dismiss(worker)

    @precondition(lambda self: self.world.network.links)
    @rule(data=st.data(), silent=st.booleans())
    def lose_a_link(self, data: st.DataObject, silent: bool) -> None:
        link = data.draw(st.sampled_from(self.world.network.links))
        if silent:
            self.world.silence(link)
        else:
            self.world.cut(link)

    @rule()
    def crash(self) -> None:
        self.world.crash()

    @rule()
    def stop(self) -> None:
        self.world.stop()

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @rule(full=st.booleans())
    def fill_disk(self, full: bool) -> None:
        self.world.fill_disk(full)

    @rule()
    def break_disk(self) -> None:
        self.world.break_disk()

    @rule(seconds=st.sampled_from((0.001, 0.01, 0.1, 1.0, 30.0)))
    def wait(self, seconds: float) -> None:
        self.world.run(seconds)


TestSimulated: Any = Simulated.TestCase
TestSimulated.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_is_kept(seed: int) -> None:
    outcome = play(seed, STEPS)
    assert not outcome.broken, "\n".join(outcome.trace[-30:])
    assert outcome.confirmed


def test_a_seed_tells_the_same_story_again() -> None:
    first, second = play(7, STEPS), play(7, STEPS)
    assert first.trace == second.trace
    assert first.trace != play(8, STEPS).trace


@pytest.mark.parametrize("defect", [planted.Forgetful, planted.Late, planted.Hoarding])
def test_a_store_with_a_defect_is_found_out(defect: type) -> None:
    assert any(play(seed, STEPS, make_database=defect).broken for seed in SEEDS_TO_FIND)


def test_a_broker_that_mishears_is_found_out() -> None:
    assert any(play(seed, STEPS, make_server=planted.Misheard).broken for seed in SEEDS_TO_FIND)


@pytest.mark.parametrize("database", [SimulatedDatabase, planted.Careless])
def test_counts_that_are_not_kept_are_found_out(database: type) -> None:
    """By chance that takes many seeds: a crash of a worker, a mark, and a crash of the broker must meet one message."""
    world = World(1, database)
    try:
        world.publish("counted", 1)
        for _ in range(2):
            world.hire("counted", 1, Habits(forgets=1.0))
            world.run(2)
            if len(world.workers) > 1:
                world.kill(world.workers[0])
                world.run(2)
        world.workers[-1].mark()
        world.run(2)
        world.crash()
        world.start()
        if database is planted.Careless:
            with pytest.raises(Violation, match="arrived with count 0, after 1"):
                world.run(30)
        else:
            world.run(30)
    finally:
        world.close()
