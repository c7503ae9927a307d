"""Deliveries against a dictionary: the same, whatever is done in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.support import World
from leveret.broker.deliveries import BLOCK_BITS, Deliveries
from leveret.broker.message import Message
from leveret.wire.scan import Scan

BLOCK = 1 << BLOCK_BITS
SCAN = Scan(2, 0, "", False, "", 0, False)
QUEUE = World(None).queue()


def message(tag: int) -> Message:
    made = Message(QUEUE, 1, tag, b"", b"", b"", SCAN)
    made.tag = tag
    return made


COMMAND = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 3 * BLOCK)),
    st.tuples(st.just("pop"), st.floats(0, 1.1)),
    st.tuples(st.just("pop_to"), st.floats(0, 1, exclude_max=True)),
    st.tuples(st.just("pop_to"), st.just(0.0)),
    st.tuples(st.just("back"), st.just(0.0)),
)


@given(st.lists(COMMAND, max_size=12))
def test_it_is_an_ordered_dictionary(commands: list[tuple[str, float]]) -> None:
    deliveries = Deliveries()
    model: dict[int, Message] = {}
    taken: list[Message] = []
    last = 0
    for command, amount in commands:
        if command == "put":
            for _ in range(int(amount)):
                last += 1
                model[last] = message(last)
                deliveries.put(last, model[last])
        elif command == "pop":
            tag = int(amount * last)
            found = model.pop(tag, None)
            assert deliveries.pop(tag) is found
            taken += [] if found is None else [found]
        elif command == "pop_to":
            tag = list(model)[int(amount * len(model))] if amount and model else 0
            expected = [model.pop(one) for one in list(model) if not tag or one <= tag]
            assert [one for block in deliveries.pop_to(tag) for one in block.values()] == expected
            taken += expected
        else:
            deliveries.put_back([{one.tag: one for one in taken}])
            model = dict(sorted({**model, **{one.tag: one for one in taken}}.items()))
            taken = []
        assert deliveries.count == len(model)
        assert [one for block in deliveries.blocks() for one in block] == list(model)
        assert deliveries.oldest(5) == list(model.values())[:5]
        assert all((tag in deliveries) == (tag in model) for tag in (1, last, last + 1))


def test_nothing_is_left_of_what_has_gone() -> None:
    deliveries = Deliveries()
    for tag in range(1, 10 * BLOCK):
        deliveries.put(tag, message(tag))
        assert deliveries.pop(tag) is not None
    assert len(deliveries.blocks()) == 1
