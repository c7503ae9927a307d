"""Figures over time: rates of the newest sample, samples at any time, bounded memory, and gone with what they are of."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterator
from itertools import pairwise

import pytest

from leveret.broker.broker import Broker
from leveret.broker.queue import Queue
from leveret.management import figures
from leveret.management.details import Details, asked_times
from leveret.management.sampling import Sampling
from leveret.management.series import COARSE_MS, Series
from leveret.store.store import Store

SECOND_MS = 1_000


def add(series: Series, at_s: int, *values: int, rows: int = 100, coarse: int = 10) -> None:
    series.add(at_s * SECOND_MS, values, rows, coarse)


def test_a_figure_has_at_each_time_the_value_that_it_had_then() -> None:
    series = Series(1)
    for at_s, value in ((10, 3), (15, 3), (20, 8)):
        add(series, at_s, value)
    assert series.values(0, [1_000 * at for at in (5, 10, 14, 19, 20, 99)]) == [0, 3, 3, 3, 8, 8]


def test_only_the_newest_sample_makes_a_rate() -> None:
    series = Series(1)
    add(series, 10, 3)
    assert series.step(0, 10_000) == 0
    add(series, 15, 8)
    assert series.step(0, 15_000) == 5
    add(series, 20, 8)
    assert series.step(0, 20_000) == 0


def test_a_series_in_which_nothing_changes_takes_no_memory() -> None:
    series = Series(2)
    for at_s in range(1_000):
        add(series, at_s, 1, 1)
    assert len(series._rows) + len(series._coarse) == 6


def test_however_much_changes_a_series_is_bounded_and_looks_back_by_the_minute() -> None:
    series = Series(1)
    for at_s in range(0, 3_600, 5):
        add(series, at_s, at_s, rows=20, coarse=30)
    assert (len(series._rows), len(series._coarse)) == (40, 60)
    minute = COARSE_MS // SECOND_MS
    (then,) = series.values(0, [2_400 * SECOND_MS])
    assert 2_400 - minute <= then <= 2_400
    assert isinstance(series._rows, array)


def a_broker() -> Broker:
    broker = Broker(Store(None, lambda call: call(), lambda error: None))
    broker.at(1_000_000)
    broker.add_vhost("/")
    return broker


@pytest.fixture
def broker() -> Iterator[Broker]:
    yield a_broker()


def declared(broker: Broker, name: str) -> Queue:
    return broker.vhosts["/"].declare_queue(name, False, False, False, {}, None)


def sampled(sampling: Sampling, at_s: int) -> None:
    for _ in sampling.steps(at_s * SECOND_MS):
        pass


def test_a_queue_has_rates_and_a_chart_while_it_is_there(broker: Broker) -> None:
    sampling = Sampling(broker, lambda: (0,), 5.0)
    queue = declared(broker, "q")
    sampled(sampling, 5)
    queue.published += 50
    sampled(sampling, 10)
    column = figures.QUEUE.index("publish")
    assert sampling.rate(sampling.of(queue), column) == 10.0
    assert sampling.chart(queue, 10)["publish"] == [0.0, 0.0, 10.0]
    assert sampling.chart(queue, 10)["at"] == [0.0, 5.0, 10.0]
    broker.vhosts["/"].delete_queue(queue)
    sampled(sampling, 15)
    assert sampling.of(queue) is None
    assert sampling.chart(queue, 5)["publish"] == [0.0, 0.0]


def test_others_have_their_turns_while_very_many_are_sampled(broker: Broker) -> None:
    for number in range(2_000):
        declared(broker, f"q{number}")
    sampling = Sampling(broker, lambda: (0,), 5.0)

    async def turns() -> int:
        task = asyncio.ensure_future(sampling.sample(5_000))
        count = 0
        while not task.done():
            await asyncio.sleep(0)
            count += 1
        return count

    assert asyncio.run(turns()) > 2
    assert sampling.at_ms == 5_000


def test_what_a_deleted_queue_counted_stays_in_the_sums(broker: Broker) -> None:
    sampling = Sampling(broker, lambda: (0,), 5.0)
    queue = declared(broker, "q")
    queue.counts.written = 7
    broker.vhosts["/"].delete_queue(queue)
    sampled(sampling, 5)
    assert sampling.total.last[figures.TOTAL.index("disk_writes")] == 7


def test_samples_come_as_rabbitmq_writes_them(broker: Broker) -> None:
    sampling = Sampling(broker, lambda: (0,), 5.0)
    details = Details(sampling, {"msg_rates_age": "10", "msg_rates_incr": "5"})
    times = details._times["msg_rates"]
    assert times is not None and [b - a for a, b in pairwise(times)] == [5_000, 5_000]
    series = Series(1)
    series.add(times[1], (4,), 10, 10)
    series.add(times[2], (9,), 10, 10)
    shown = details.shown(("publish",), (9,), series)["publish_details"]
    assert [one["sample"] for one in shown["samples"]] == [9, 4, 0]
    assert (shown["rate"], shown["avg_rate"], shown["avg"]) == (1.0, 0.9, 13 / 3)


@pytest.mark.parametrize("query", [("x", "5"), ("60", "0"), ("-1", "5"), ("99999999", "1"), ("60", "٥")])
def test_more_samples_than_there_can_be_are_refused(query: tuple[str, str]) -> None:
    with pytest.raises(ValueError):
        asked_times({"lengths_age": query[0], "lengths_incr": query[1]}, "lengths")
