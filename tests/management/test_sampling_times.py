"""Samples are not taken twice in a moment, between which nothing can be a rate."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from leveret.management import sampling
from leveret.management.sampling import Sampling


def test_a_sleep_that_ends_too_early_makes_no_second_sample_of_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    clock = iter([99.9, 99.999_9, 99.999_9, 100.000_1, 100.000_2, 105.0])
    now = 0.0

    def time() -> float:
        nonlocal now
        now = next(clock)
        return now

    async def run() -> None:
        one = Sampling(SimpleNamespace(), lambda: (), 5.0)  # type: ignore[arg-type]  # it is not looked at

        async def sample(at_ms: int) -> None:
            taken.append(at_ms)
            one.at_ms = at_ms

        async def sleep(seconds: float) -> None:
            """The clock's next value is when it ends."""

        monkeypatch.setattr(one, "sample", sample)
        monkeypatch.setattr(sampling.asyncio, "sleep", sleep)
        fake: Any = SimpleNamespace(time=time, time_ns=lambda: int(time() * 1e9))
        monkeypatch.setattr(sampling, "time", fake)
        with pytest.raises(RuntimeError):  # the clock's values are over
            await one._run()

    asyncio.run(run())
    assert taken == [99_999, 105_000]
