"""Short runs of the real thing: every promise holds, and a broker that breaks them is found out."""

from __future__ import annotations

import shutil

import pytest

from brokers import Leveret
from crash.driver import Plan, Run


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_nothing_is_lost_and_nothing_unexplained_when_processes_are_killed(queue_type: str) -> None:
    verdict = Run(Plan("leveret", queue_type, kills=6, seed=1)).perform()
    assert verdict.broken == []
    assert all(verdict.kills.values()), "a broker, a worker and a publisher among them"
    assert verdict.confirmed and verdict.done >= verdict.confirmed
    assert verdict.certain, "marks were confirmed"


class Forgetful(Leveret):
    """After each kill but the first it has on disk what it had at the first."""

    def kill(self) -> None:
        super().kill()
        data, before = self.directory / "data", self.directory / "before"
        if before.exists():
            shutil.rmtree(data)
            shutil.copytree(before, data)
        else:
            shutil.copytree(data, before)


def test_a_broker_that_forgets_what_it_confirmed_is_found_out() -> None:
    run = Run(Plan("leveret", "classic", kills=8, seed=1), broker=Forgetful(management=False))
    try:
        assert run.perform().lost
        assert list(run.directory.glob("*.lines")), "what was written down is kept"
    finally:
        shutil.rmtree(run.directory, ignore_errors=True)
