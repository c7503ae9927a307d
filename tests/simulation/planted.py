"""Brokers with a defect, each of a kind that was made somewhere before: a simulation that does not find them is worth nothing."""

from __future__ import annotations

from pathlib import Path

from leveret.server.session import Session
from leveret.store.batch import Statements
from leveret.store.database import Work
from leveret.wire.methods import BasicNack, Method
from simulation.disk import Gate, SimulatedDatabase
from simulation.world import SimulatedServer

OFTEN = 7


class Forgetful(SimulatedDatabase):
    """Says now and then that it has written what it has not."""

    commits = 0

    def write(self, work: Work) -> None:
        self.commits += 1
        if self.commits % OFTEN or work.others:
            super().write(work)
        else:
            for load in work.loads:
                self.load(load)


class Late(SimulatedDatabase):
    """Writes a commit when the next one comes: fast, until the process is killed."""

    def __init__(self, path: Path, gate: Gate) -> None:
        super().__init__(path, gate)
        self._owed: Work | None = None

    def write(self, work: Work) -> None:
        if self._owed is not None:
            owed, self._owed = self._owed, None
            super().write(Work(owed.segments, owed.others, owed.accounts, []))
        if work.others or work.loads:
            super().write(work)
        else:
            self._owed = work

    def close(self) -> None:
        self._owed = None
        super().close()


class Hoarding(SimulatedDatabase):
    """Deletes nothing that was acknowledged."""

    def _segment(self, segment: Statements) -> None:
        super()._segment(
            Statements(segment.rows, segment.blob, segment.plain, segment.full, segment.touched, removed="")
        )


class Careless(SimulatedDatabase):
    """Keeps no counts of deliveries."""

    def _segment(self, segment: Statements) -> None:
        super()._segment(
            Statements(segment.rows, segment.blob, segment.plain, segment.full, touched="", removed=segment.removed)
        )


class Misheard(SimulatedServer):
    """Takes a task that is given back for one that is done."""

    def on_method(self, session: Session, channel: int, method: Method) -> None:
        if isinstance(method, BasicNack) and method.requeue:
            session.channels[channel].ack(method.delivery_tag, method.multiple)
        else:
            super().on_method(session, channel, method)
