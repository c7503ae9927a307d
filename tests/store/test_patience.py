"""A batch waits only while that spares writing it, and never longer than its bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.store.batch import Batch
from leveret.store.patience import (
    ACKNOWLEDGED_MS,
    AHEAD_MESSAGES,
    BYTES_MAX,
    FEW_MESSAGES,
    QUEUES_MAX,
    WAIT_MS,
    Patience,
)
from store.support import Bench, Message

MANY = FEW_MESSAGES + 10


def gathered(count: int = MANY, queues: int = 1, data: bytes = b"x") -> tuple[Batch, list[Message]]:
    """A batch, of which the first message of all was just acknowledged."""
    batch = Batch()
    messages = [Message(1 + number % queues, number, data) for number in range(count + 1)]
    for message in messages:
        batch.add(message)
    batch.cancel(messages[0])
    return batch, messages[1:]


def test_it_waits_while_consumers_acknowledge_and_publishers_run_ahead() -> None:
    batch, messages = gathered()
    patience = Patience({})
    assert patience.waits(batch, 1_000)
    batch.cancel(messages[0])
    assert patience.waits(batch, 1_001)


def test_it_waits_no_longer_once_nobody_acknowledges() -> None:
    batch, _ = gathered()
    patience = Patience({})
    assert patience.waits(batch, 1_000)
    assert not patience.waits(batch, 1_001)


def test_an_acknowledgement_of_what_is_on_disk_counts_too() -> None:
    batch, _ = gathered()
    batch.acknowledged = 0
    batch.remove(Message(1, 1_000))
    assert Patience({}).waits(batch, 0)


def test_its_patience_ends_and_begins_anew_with_the_next_batch() -> None:
    batch, messages = gathered()
    patience = Patience({})
    assert patience.waits(batch, 1_000)
    batch.cancel(messages[0])
    assert patience.waits(batch, 1_000 + WAIT_MS - 1)
    batch.cancel(messages[1])
    assert not patience.waits(batch, 1_000 + WAIT_MS)
    following, _ = gathered()
    assert patience.waits(following, 1_000 + WAIT_MS)


def test_few_messages_never_wait() -> None:
    batch, _ = gathered(FEW_MESSAGES - 1)
    assert not Patience({}).waits(batch, 0)


@pytest.mark.parametrize(("ahead", "waits"), [(AHEAD_MESSAGES, True), (AHEAD_MESSAGES + 1, False)])
def test_a_backlog_on_disk_comes_first_so_nothing_is_spared(ahead: int, waits: bool) -> None:
    batch, _ = gathered()
    assert bool(Patience({1: ahead, 2: 1_000_000}).waits(batch, 0)) is waits


def test_neither_many_octets_nor_many_queues_wait() -> None:
    batch, _ = gathered(data=bytes(BYTES_MAX // MANY + 1))
    assert not Patience({}).waits(batch, 0)
    batch, _ = gathered(queues=QUEUES_MAX + 1)
    assert not Patience({}).waits(batch, 0)


def acknowledged(count: int) -> Batch:
    """A batch of nothing else."""
    batch = Batch()
    for number in range(count):
        batch.remove(Message(1, number))
    return batch


def test_a_few_acknowledgements_alone_wait_a_moment() -> None:
    patience = Patience({})
    assert patience.waits(acknowledged(FEW_MESSAGES - 1), 1_000)
    assert patience.waits(acknowledged(FEW_MESSAGES - 1), 1_000 + ACKNOWLEDGED_MS - 1)
    assert not patience.waits(acknowledged(FEW_MESSAGES - 1), 1_000 + ACKNOWLEDGED_MS)
    assert not patience.waits(acknowledged(FEW_MESSAGES), 1_000)


def test_acknowledgements_go_with_a_message_that_comes_next() -> None:
    batch = acknowledged(3)
    patience = Patience({})
    assert patience.waits(batch, 1_000)
    batch.add(Message(1, 1_000))
    assert not patience.waits(batch, 1_001)


def test_acknowledgements_that_the_store_left_for_later_are_on_disk_in_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    message = Message(1, 0)
    bench.store.save_queue(1, "/", "q", "{}")
    bench.store.add(message)
    bench.settle()
    bench.store.remove(message)
    bench.store.flush_soon(1_000)
    assert bench.store.wait_ms == ACKNOWLEDGED_MS
    commits = bench.store.commits
    bench.store.flush_soon(1_000 + ACKNOWLEDGED_MS)
    assert not bench.store.wait_ms
    bench.until(lambda: bench.store.commits > commits)
    assert not bench.positions(1)
    bench.store.close()


def test_the_store_leaves_a_batch_for_later_and_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    _, messages = gathered()
    bench.add(*messages)
    bench.store.remove(messages[0])
    bench.store.flush_soon(1_000)
    assert (bench.store.wait_ms, bench.store.commits) == (WAIT_MS, 0)
    bench.settle()  # nobody acknowledges any more
    assert not bench.store.wait_ms
    assert [message.reports for message in messages] == [1] * MANY
    bench.store.close()


def test_whoever_waits_for_the_disk_itself_does_not_wait_for_consumers(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    _, messages = gathered()
    bench.add(*messages)
    bench.store.remove(messages[0])
    told: list[bool] = []
    bench.store.after_commit(lambda: told.append(True))
    bench.store.flush_soon(1_000)
    assert not bench.store.wait_ms
    bench.until(lambda: told)
    bench.store.close()
