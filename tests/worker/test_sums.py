"""What ended since the last beat, from what is counted anyway."""

from __future__ import annotations

from leveret.tasks import Cancelled, Done, Failed, Parked
from leveret.tasks.events import Ended, Endings
from leveret.tasks.outcome import Failure
from leveret.worker.sums import Sums
from leveret.worker.tally import Tally


def opened() -> tuple[Tally, Sums]:
    tally, sums = Tally(), Sums()
    sums.open(lambda: tally.counts)
    return tally, sums


def take(sums: Sums) -> list[Ended]:
    mark = sums.mark()
    ended = sums.since(mark)
    sums.passed(mark)
    return ended


def test_what_ended_is_told_once_with_what_was_not_told_one_by_one() -> None:
    tally, sums = opened()
    for _ in range(3):
        tally.add("q", "t", Done(None, 0.5))
    sums.told("q", "t", "succeeded")
    assert take(sums) == [Ended(queue="q", task="t", all=Endings(succeeded=3), untold=Endings(succeeded=2), took_s=1.5)]
    assert take(sums) == []
    tally.add("q", "t", Done(None, 0.25))
    assert take(sums) == [
        Ended(queue="q", task="t", all=Endings(succeeded=1), untold=Endings(succeeded=1), took_s=0.25)
    ]


def test_every_ending_is_counted_and_a_failure_with_what_followed() -> None:
    tally, sums = opened()
    failure = Failure("ValueError", "no good", "")
    tally.add("q", "t", Failed(failure, 1.0))
    tally.add("q", "t", Parked("attempts", failure, 2.0))
    tally.add("q", "t", Parked("arguments", Failure("", "none", "", tried=False)))
    tally.add("q", "t", Cancelled(0.5))
    (ended,) = take(sums)
    assert ended.all == ended.untold == Endings(failed=2, retried=1, parked=2, cancelled=1)
    assert ended.took_s == 3.5


def test_what_a_beat_could_not_say_the_next_one_says() -> None:
    tally, sums = opened()
    tally.add("q", "t", Done(None, 1.0))
    assert len(sums.since(sums.mark())) == 1
    tally.add("q", "t", Done(None, 1.0))
    (ended,) = take(sums)
    assert ended.all.succeeded == 2


def test_what_ends_while_a_beat_is_on_its_way_is_in_the_next() -> None:
    tally, sums = opened()
    tally.add("q", "t", Done(None, 1.0))
    mark = sums.mark()
    tally.add("q", "t", Done(None, 1.0))
    sums.told("q", "t", "succeeded")
    assert sums.since(mark)[0].all.succeeded == 1
    sums.passed(mark)
    assert take(sums) == [Ended(queue="q", task="t", all=Endings(succeeded=1), took_s=1.0)]
