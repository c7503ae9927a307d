"""Which publisher confirms are told when: settled out of order, by several queues, refused by some."""

from __future__ import annotations

import pytest

from broker.support import World
from leveret.broker.confirms import Confirms


@pytest.fixture
def confirms(world: World) -> Confirms:
    found = world.client().channel(confirms=True).confirms
    assert found is not None
    return found


def test_a_gap_holds_the_multiple_ack_back(confirms: Confirms) -> None:
    for _ in range(3):
        confirms.next()
    confirms.settle(1)
    confirms.settle(3)
    assert confirms.take() == ([], 1, [3])
    confirms.settle(2)
    assert confirms.take() == ([], 3, [])


def test_a_message_for_two_queues_is_confirmed_when_both_have_it(confirms: Confirms) -> None:
    confirms.expect(confirms.next(), 2)
    confirms.settle(1)
    assert confirms.take() == ([], 0, [])
    confirms.settle(1)
    assert confirms.take() == ([], 1, [])


@pytest.mark.parametrize("refused_first", [True, False])
def test_a_message_that_one_of_two_queues_refused_is_nacked_once(confirms: Confirms, refused_first: bool) -> None:
    confirms.expect(confirms.next(), 2)
    (confirms.refuse if refused_first else confirms.settle)(1)
    (confirms.settle if refused_first else confirms.refuse)(1)
    assert confirms.take() == ([1], 0, [])
    assert confirms.take() == ([], 0, [])
    assert confirms.outstanding == 0


def test_what_was_accepted_beside_a_refused_one_is_acked_by_itself(confirms: Confirms) -> None:
    for _ in range(3):
        confirms.next()
    confirms.settle(1)
    confirms.refuse(2)
    confirms.settle(3)
    assert confirms.take() == ([2], 0, [1, 3])
