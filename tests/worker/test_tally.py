"""What became of tasks is counted by queue and task."""

from __future__ import annotations

from leveret.tasks import Crashed, Failure, Parked
from leveret.tasks.outcome import CRASHES
from leveret.worker.tally import Tally


def test_a_crash_that_is_the_last_is_counted_like_the_others() -> None:
    failure, tally = Failure("leveret.errors.TaskCrashed", "killed", ""), Tally()
    tally.add("q", "t", Crashed(failure, 0.1))
    tally.add("q", "t", Parked(CRASHES, failure, 0.1))
    tally.add("q", "t", Parked(CRASHES, Failure("leveret.errors.TaskError", "refused", "", tried=False)))
    [count] = tally.counts
    assert (count.failed, count.crashed, count.retried, count.parked) == (2, 2, 1, 2)
