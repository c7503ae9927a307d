"""What a worker needs beside the running of tasks, each on the connection where it belongs. Made by worker, used by runner."""

from __future__ import annotations

from typing import Self

import msgspec

from leveret.client import Connection
from leveret.tasks import WorkQueue
from leveret.tasks.lanes import Lanes
from leveret.tasks.locks import Locks
from leveret.tasks.outbox import Outbox
from leveret.worker.announcer import Announcer
from leveret.worker.answers import Answers
from leveret.worker.claims import Claims
from leveret.worker.control import Control
from leveret.worker.following import Following
from leveret.worker.gates import Gates
from leveret.worker.groups import Groups
from leveret.worker.keeping import Keeper
from leveret.worker.permits import Permits
from leveret.worker.rates import Rates
from leveret.worker.settle import Settler
from leveret.worker.waiting import Waiting


class Services(msgspec.Struct, frozen=True):
    settler: Settler
    answers: Answers
    control: Control
    following: Following
    announcer: Announcer
    gates: Gates
    waiting: Waiting
    locks: Locks
    keeper: Keeper | None = None

    @classmethod
    def over(
        cls, taking: Connection, moving: Connection, outbox: Outbox, announcer: Announcer, work: WorkQueue
    ) -> Self:
        """`taking` takes and acknowledges. What is published goes over `moving`, as `outbox` does: a broker that is short of
        memory or disk does not read from publishers, and would not see what is acknowledged. So does what may cost the
        connection (groups): whatever runs on `taking` would run again."""
        answers, control, locks = Answers(moving), Control(taking), Locks(taking)
        permits, rates = Permits(taking), Rates(moving)
        return cls(
            Settler(outbox),
            answers,
            control,
            Following(outbox, Groups(moving), answers, work.following),
            announcer,
            Gates(control, Claims(taking), locks, permits, rates),
            Waiting(Lanes(taking, outbox), outbox, permits, rates, work.limits),
            locks,
            None if work.results_store is None else Keeper(work.results_store),
        )
