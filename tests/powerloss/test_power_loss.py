"""The power is cut below a living broker: nothing that was promised is lost, and what this finds it does find."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.store import directory
from leveret.store.batch import Statements
from powerloss.check import AT_REST, LOST, NOT_COMMITTED, NOT_REPORTED, REDELIVERED, STRUCK_OFF
from powerloss.disk import Operation
from powerloss.recorded import Gate, RecordedDatabase, Trace
from powerloss.run import Campaign, Tally, record
from powerloss.vfs import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

CUTS = 200
DEFECT_CUTS = 40


def test_nothing_is_lost_corrupt_or_doubled_and_nothing_comes_back() -> None:
    tally = Campaign(seed=4, cuts=CUTS).run()
    assert tally.failures == []
    assert tally.cuts == CUTS
    assert set(tally.states) == {AT_REST, NOT_COMMITTED, NOT_REPORTED, REDELIVERED, STRUCK_OFF}


def test_a_seed_and_a_number_are_the_same_cut_again() -> None:
    assert seen(record("1")) == seen(record("1"))
    once, again = Campaign(seed=4, cuts=0, only=7).run(), Campaign(seed=4, cuts=0, only=7).run()
    assert (once.cuts, once.images, once.states) == (again.cuts, again.images, again.states)


def seen(trace: Trace) -> tuple[list[tuple[type[Operation], str]], object]:
    return [(type(operation), operation.path) for operation in trace.recorder.operations], trace.copies


# ---- defects that are planted, and found


def with_defect(kind: type[RecordedDatabase]) -> Tally:
    def opens(path: Path, trace: Trace, gate: Gate) -> RecordedDatabase:
        return kind(path, trace, gate)

    return Campaign(seed=4, cuts=DEFECT_CUTS, opens=opens).run()


class Unsynced(RecordedDatabase):
    """A commit is reported before it is synced: what WAL does unless told otherwise."""

    def __init__(self, path: Path, trace: Trace, gate: Gate) -> None:
        super().__init__(path, trace, gate)
        self._connection.execute("pragma synchronous = normal")


class NeverSynced(RecordedDatabase):
    def __init__(self, path: Path, trace: Trace, gate: Gate) -> None:
        super().__init__(path, trace, gate)
        self._connection.execute("pragma synchronous = off")


class InTwo(RecordedDatabase):
    """A batch is not one transaction: its rows first, then the counts of its queues."""

    def _segment(self, segment: Statements) -> None:
        super()._segment(segment)
        self._connection.execute("commit")
        self._connection.execute("begin immediate")


@pytest.mark.parametrize("defect", [Unsynced, NeverSynced])
def test_a_store_that_reports_before_it_syncs_is_found_out(defect: type[RecordedDatabase]) -> None:
    tally = with_defect(defect)
    assert tally.problems[LOST]
    assert any("should be in" in failure for failure in tally.failures), "confirmed messages are missing"


def test_a_batch_that_is_not_one_transaction_is_found_out() -> None:
    assert any("not what the last commit left" in failure for failure in with_defect(InTwo).failures)


def test_a_data_directory_that_is_not_synced_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_sync_if_possible", lambda above: None)
    assert Campaign(seed=4, cuts=DEFECT_CUTS).run().problems[LOST]
