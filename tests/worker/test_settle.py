"""What cannot be moved is held and moved later: nothing is run again for it, nothing is lost."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from leveret.client import Backoff, BasicProperties, Delivery
from leveret.errors import ConnectionLost, LeveretError, Nacked, ProtocolMisuse, WaitTimeout
from leveret.tasks import Failed, Failure, Message, Parked
from leveret.tasks.outbox import Outbox, Parcel
from leveret.worker.settle import Settler

FAILURE = Failure("ValueError", "no good", "Traceback …")
FAILED, PARKED = Failed(FAILURE, 0.1), Parked("attempts", FAILURE, 0.1)


class Held:
    """A delivery that remembers what became of it."""

    def __init__(self) -> None:
        self.lost = False
        self.became: list[str] = []

    def ack(self) -> None:
        self.became.append("acknowledged")

    def nack(self, requeue: bool) -> None:
        self.became.append("given back")


class Moves:
    """An outbox that fails with each of `errors` in turn, and then takes what comes."""

    def __init__(self, held: Held, *errors: LeveretError, lost_after: int = 100) -> None:
        self.held, self.errors, self.lost_after = held, list(errors), lost_after
        self.put_to: list[tuple[str, BasicProperties]] = []

    async def put(self, parcel: Parcel, timeout_s: float) -> None:
        assert self.held.became == [], "settled before it was moved"
        self.put_to.append((parcel.queue, parcel.properties))
        self.held.lost = len(self.put_to) >= self.lost_after
        if self.errors:
            raise self.errors.pop(0)


def settled(outcome: Failed | Parked, *errors: LeveretError, lost_after: int = 100) -> tuple[Held, Moves]:
    held = Held()
    moves = Moves(held, *errors, lost_after=lost_after)
    settler = Settler(cast(Outbox, moves), backoff=Backoff(first_s=0.001, max_s=0.001))
    message = Message("q", b"x", BasicProperties(), 1, False)
    asyncio.run(settler.settle(cast(Delivery, held), message, outcome))
    return held, moves


@pytest.mark.parametrize(("outcome", "queue"), [(FAILED, "q"), (PARKED, "q.dead")])
def test_it_is_acknowledged_once_it_was_moved(outcome: Any, queue: str) -> None:
    held, moves = settled(outcome)
    assert (held.became, [name for name, _ in moves.put_to]) == (["acknowledged"], [queue])


def test_it_is_held_until_it_can_be_moved() -> None:
    held, moves = settled(PARKED, Nacked("no"), WaitTimeout("late"), ConnectionLost("gone"))
    assert (held.became, len(moves.put_to)) == (["acknowledged"], 4)


def test_it_is_let_go_when_its_connection_is_lost() -> None:
    held, moves = settled(PARKED, Nacked("no"), Nacked("no"), lost_after=2)
    assert (held.became, len(moves.put_to)) == ([], 2)


def test_headers_that_do_not_fit_into_a_frame_go_without_the_traceback() -> None:
    held, moves = settled(PARKED, ProtocolMisuse("too large"))
    (_, first), (_, second) = moves.put_to
    assert first.headers is not None and "x-leveret-traceback" in first.headers
    assert second.headers is not None and "x-leveret-traceback" not in second.headers
    assert second.headers["x-leveret-reason"] == "attempts" and held.became == ["acknowledged"]


def test_a_dead_letter_queue_of_a_dead_letter_queue_is_another_one() -> None:
    held = Held()
    moves = Moves(held)
    message = Message("q.dead", b"x", BasicProperties(), 1, False)
    asyncio.run(Settler(cast(Outbox, moves)).settle(cast(Delivery, held), message, PARKED))
    assert [queue for queue, _ in moves.put_to] == ["q.dead.dead"]
