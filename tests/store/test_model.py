"""Random operations on a store and on a plain model of one: after every restart both hold the same."""

import random
from pathlib import Path

import pytest

from store.support import Bench, Message

QUEUES = (1, 2, 3)


class Model:
    """`queues` holds, per queue id, position -> (message, deliveries)."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.random = random.Random(seed)
        self.bench = Bench(directory)
        self.queues: dict[int, dict[int, Message]] = {}
        self.next = dict.fromkeys(QUEUES, 0)
        for queue_id in QUEUES:
            self.bench.store.save_queue(queue_id, "/", f"q{queue_id}", "{}")
            self.queues[queue_id] = {}

    def add(self) -> None:
        queue_id = self.random.choice(QUEUES)
        for _ in range(self.random.randrange(1, 20)):
            message = Message(queue_id, self.next[queue_id], self.random.randbytes(self.random.randrange(40)))
            message.deliveries = self.random.choice((0, 0, 0, 2))
            self.queues[queue_id][self.next[queue_id]] = message
            self.next[queue_id] += 1
            self.bench.add(message)

    def remove(self) -> None:
        messages = self.queues[self.random.choice(QUEUES)]
        for position in self.random.sample(sorted(messages), len(messages) // 4):
            self.bench.store.remove(messages.pop(position))

    def touch(self) -> None:
        for message in list(self.queues[self.random.choice(QUEUES)].values())[:5]:
            message.deliveries += 1
            self.bench.store.touch(message)

    def purge(self) -> None:
        """What the broker does: messages still in its memory are removed, the range is of rows on disk."""
        self.bench.settle()
        queue_id = self.random.choice(QUEUES)
        messages = self.queues[queue_id]
        first = self.random.randrange(self.next[queue_id] + 1)
        dropped = [messages.pop(position) for position in sorted(messages) if position >= first]
        self.bench.store.purge(
            queue_id, first, self.next[queue_id], len(dropped), sum(len(message.data) for message in dropped)
        )
        self.next[queue_id] += 1

    def settle(self) -> None:
        self.bench.settle()

    def turn(self) -> None:
        self.bench.store.flush_soon(0)

    def restart(self) -> None:
        self.bench.store.close()
        self.bench = Bench(self.directory)
        found = {queue.id: (queue.messages, queue.bytes) for queue in self.bench.recovered.queues}
        for queue_id, messages in self.queues.items():
            assert found[queue_id] == (len(messages), sum(len(message.data) for message in messages.values()))
            rows = [(row.position, row.deliveries, row.data) for row in self.bench.load(queue_id)]
            expected = [(at, messages[at].deliveries, messages[at].data) for at in sorted(messages)]
            assert rows == expected


@pytest.mark.parametrize("seed", range(12))
def test_after_any_sequence_of_operations_the_store_holds_what_the_model_holds(tmp_path: Path, seed: int) -> None:
    model = Model(tmp_path, seed)
    steps = [model.add] * 4 + [model.remove] * 3 + [model.touch, model.purge, model.settle, model.turn, model.restart]
    for _ in range(120):
        model.random.choice(steps)()
    model.restart()
    model.bench.store.close()
