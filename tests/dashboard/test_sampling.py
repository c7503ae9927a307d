"""What the samples of queues come to: rates, growth, how long and how many it takes; and what needs attention."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from leveret.dashboard.attention import in_queues, ordered
from leveret.dashboard.pages.queue import needed
from leveret.dashboard.pages.queues import drain_s
from leveret.dashboard.sampling import DEPTHS, Sampling, Track
from leveret.dashboard.source import Figures
from leveret.errors import ManagementError

NOW = 1_000_000.0


def figures(name: str = "q", **given: Any) -> Figures:
    known = {"ready": 0, "unacked": 0, "consumers": 0, "published": 0, "gone": 0}
    return Figures("/", name, **{**known, **given})


class Told:
    """A source that tells what it was given."""

    def __init__(self, *samples: list[Figures] | Exception) -> None:
        self.samples = list(samples)

    async def figures(self) -> list[Figures]:
        sample = self.samples.pop(0)
        if isinstance(sample, Exception):
            raise sample
        return sample


def sampled(*samples: list[Figures] | Exception) -> Sampling:
    at = iter(range(1_000_000, 1_100_000))
    sampling = Sampling(Told(*samples), lambda: float(next(at)))  # type: ignore[arg-type]

    async def run() -> None:
        for _ in samples:
            await sampling.sample()

    asyncio.run(run())
    return sampling


def track(*counts: tuple[int | None, int | None], ready: int = 0) -> Track:
    """One sample each two seconds."""
    one = Track(figures())
    for place, (published, gone) in enumerate(counts):
        one.take(figures(published=published, gone=gone, ready=ready), NOW + 2 * place)
    return one


def test_rates_are_what_the_counters_grew_by() -> None:
    one = track((0, 0), (20, 10), (40, 20))
    assert (one.in_rate, one.out_rate) == (10.0, 5.0)


def test_of_one_sample_nothing_is_known_yet() -> None:
    assert track((100, 100)).in_rate == 0.0


def test_a_queue_that_was_made_anew_has_no_negative_rate() -> None:
    one = track((1_000, 900), (10, 5), (30, 25))
    assert (one.in_rate, one.out_rate) == (10.0, 10.0)


def test_counters_that_a_broker_begins_to_tell_later_began_with_nothing() -> None:
    assert track((None, None), (8, None)).in_rate == 4.0


def test_it_is_empty_when_more_goes_than_comes_and_never_otherwise() -> None:
    assert drain_s(track((0, 0), (10, 30), ready=100)) == 10.0
    assert drain_s(track((0, 0), (30, 30), ready=100)) is None
    assert drain_s(track((0, 0), (30, 30), ready=0)) == 0.0


@pytest.mark.parametrize(
    ("ready", "busy", "free", "out_rate", "in_rate", "within_s", "more"),
    [
        (600, 2, 0, 2.0, 0.0, 60.0, 8),  # 10 a second wanted, one done by each slot
        (600, 2, 8, 2.0, 0.0, 60.0, 0),  # enough are there and do nothing
        (0, 2, 0, 2.0, 5.0, 60.0, 0),
        (600, 0, 0, 0.0, 5.0, 60.0, None),  # nobody knows what one gets done
    ],
)
def test_how_many_more_slots_it_takes(
    ready: int, busy: int, free: int, out_rate: float, in_rate: float, within_s: float, more: int | None
) -> None:
    row = {"ready": ready, "busy": busy, "free": free, "unacked": busy, "out_rate": out_rate, "in_rate": in_rate}
    assert needed(row, within_s) == {"within_s": within_s, "more": more}


def test_a_queue_grows_if_it_is_deeper_than_ever_and_not_by_a_little() -> None:
    growing, swaying = Track(figures()), Track(figures())
    for place in range(DEPTHS):
        growing.take(figures(ready=10 * place), NOW + 2 * place)
        swaying.take(figures(ready=100 + 10 * (place % 5)), NOW + 2 * place)
    assert growing.growing and not swaying.growing


def test_a_queue_that_is_gone_is_forgotten() -> None:
    sampling = sampled([figures("a"), figures("b")], [figures("b")])
    assert list(sampling.tracks) == [("/", "b")]


def test_a_broker_that_does_not_answer_is_told_and_asked_again() -> None:
    sampling = sampled([figures("a", ready=3)], ManagementError("cannot reach it"))
    assert sampling.trouble == "cannot reach it" and sampling.tracks["/", "a"].figures.ready == 3
    assert sampled(ManagementError("cannot reach it"), [figures("a")]).trouble == ""


def test_the_gravest_comes_first_and_what_is_well_does_not_come_at_all() -> None:
    row: dict[str, Any] = {
        "vhost": "/",
        "own": False,
        "growing": False,
        "dead": 0,
        "consumers": 1,
        "in_rate": 1.0,
        "out_rate": 0.0,
    }
    rows = [
        {**row, "name": "well", "ready": 5},
        {**row, "name": "dead", "ready": 0, "dead": 1},
        {**row, "name": "a/b", "ready": 1, "consumers": 0},
        {**row, "name": "own", "ready": 9, "consumers": 0, "own": True},
        {**row, "name": "worse", "ready": 7, "consumers": 0},
    ]
    signs = ordered(in_queues(rows))
    assert [(sign.subject, sign.text) for sign in signs] == [
        ("worse", "7 messages wait and nobody takes them"),
        ("a/b", "1 message waits and nobody takes it"),
        ("dead", "1 task failed for good"),
    ]
    assert signs[1].href == "#/queues/%2F/a%2Fb"
