"""Workers that die while workflows run, on both brokers: whatever moment it is, each is completed, and goes on once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.client import Connection, Delivery
from leveret.errors import ConnectionLost
from leveret.tasks import Done, Message, Parked, Retries, WorkQueue, chain, current_message, group
from leveret.tasks.continuation import Join
from leveret.testing.life import _cut
from leveret.worker.following import Following
from leveret.worker.groups import Groups, Held
from leveret.worker.services import Services
from worker.support import WITHIN_S, Program, declare, working

MEMBERS = 4


class Tasks:
    """`runs` are those of all tasks, by name and argument, `copies` the copies of the last one that ran."""

    def __init__(self, url: str, queue: str) -> None:
        self.work = WorkQueue(url, default_queue=queue, retry=Retries(2, first_s=0))
        self.runs: SimpleQueue[str] = SimpleQueue()
        self.copies: SimpleQueue[object] = SimpleQueue()
        self.one = self.work.task(name="one")(self._one)
        self.last = self.work.task(name="last")(self._last)
        self.marker = self.work.task(name="marker", result=True)(lambda: 1)

    def _one(self, number: int) -> int:
        self.runs.put(f"one {number}")
        return number

    def _last(self, value: Any) -> Any:
        message = current_message()
        assert message is not None
        self.copies.put(message.headers["x-leveret-once"])
        return value

    def group(self) -> Any:
        return group([self.one.call(number) for number in range(MEMBERS)]).then(self.last.partial())


@pytest.fixture
def tasks(broker: Broker, name: str) -> Tasks:
    return Tasks(broker.url, f"crashing.{name}")


Die = Callable[[], Awaitable[None]]


@pytest.fixture
def die(monkeypatch: pytest.MonkeyPatch) -> Die:
    """What a broker sees of a worker's death; this worker lives, and connects again."""
    connections: list[Connection] = []

    def kept(cls: type[Services], taking: Connection, moving: Connection, *others: Any) -> Services:
        connections[:] = taking, moving
        return over(cls, taking, moving, *others)

    async def die() -> None:
        for connection in connections:
            await lose(connection)

    over = Services.over.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(Services, "over", classmethod(kept))
    return die


async def lose(connection: Connection) -> None:
    lost = asyncio.Event()
    before, connection.on_lost = connection.on_lost, lambda error: lost.set()
    _cut(connection.fileno())
    await lost.wait()
    connection.on_lost = before


def once(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, other: Callable[..., Any]) -> None:
    """In place of the first call of a method: `other(original, self, …)`."""
    original = getattr(owner, method)

    async def replaced(self: Any, *args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(owner, method, original)
        return await other(original, self, *args, **kwargs)

    monkeypatch.setattr(owner, method, replaced)


def die_behind_what_follows(die: Die, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the task itself is acknowledged."""

    async def die_behind(
        original: Any, self: Following, delivery: Delivery, message: Message, done: Done
    ) -> Parked | None:
        parked: Parked | None = await original(self, delivery, message, done)
        await die()
        return parked

    once(monkeypatch, Following, "follow", die_behind)


def drained(queue: SimpleQueue[Any]) -> list[Any]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


def test_a_result_whose_task_was_not_acknowledged_is_put_again_and_counted_once(
    tasks: Tasks, die: Die, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_behind_what_follows(die, monkeypatch)
    with working(tasks.work, threads=1):
        assert tasks.group().send().result(WITHIN_S) == list(range(MEMBERS))
        assert tasks.marker.send().result(WITHIN_S) == 1
    runs = Counter(drained(tasks.runs))
    assert sum(runs.values()) > MEMBERS == len(runs)
    assert len(drained(tasks.copies)) == 1


def test_a_group_is_gathered_again_if_the_worker_dies_that_holds_its_results(
    tasks: Tasks, die: Die, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die_holding(original: Any, self: Groups, join: Join, value: msgspec.Raw, repeated: bool) -> Held | None:
        held: Held | None = await original(self, join, value, repeated)
        if held is None:
            once(monkeypatch, Groups, "join", die_holding)
            return None
        deaths.append(len(held.collected.results))
        await die()
        await held.close()  # as death does; the connection lives on, and would take them again
        raise ConnectionLost("its worker died")

    deaths: list[int] = []
    once(monkeypatch, Groups, "join", die_holding)
    with working(tasks.work, threads=1):
        assert tasks.group().send().result(WITHIN_S) == list(range(MEMBERS))
    assert deaths == [MEMBERS]
    assert len(drained(tasks.copies)) == 1


def test_what_comes_after_a_group_runs_once_if_the_worker_dies_that_sent_it(
    tasks: Tasks, die: Die, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent again by the one that repeats the last member: the group's queue is still there."""

    async def die_before(original: Any, self: Groups, group: str) -> None:
        await die()

    once(monkeypatch, Groups, "delete", die_before)
    with working(tasks.work, threads=1):
        assert tasks.group().send().result(WITHIN_S) == list(range(MEMBERS))
        assert tasks.marker.send().result(WITHIN_S) == 1
        assert tasks.marker.send().result(WITHIN_S) == 1
    assert len(drained(tasks.copies)) == 1
    assert sum(Counter(drained(tasks.runs)).values()) > MEMBERS


def test_the_next_task_of_a_chain_runs_once_if_the_worker_dies_that_sent_it(
    tasks: Tasks, die: Die, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_behind_what_follows(die, monkeypatch)
    with working(tasks.work, threads=1):
        assert chain(tasks.one.call(1), tasks.last.partial()).send().result(WITHIN_S) == 1
        assert tasks.marker.send().result(WITHIN_S) == 1
        assert tasks.marker.send().result(WITHIN_S) == 1
    assert drained(tasks.runs) == ["one 1", "one 1"]
    assert len(drained(tasks.copies)) == 1


# ---- real processes, killed at any moment

GROUPS = 12
KILLS = 4
PROGRAM = """
import time
from leveret.tasks import chain, group

@work.task
def member(number: int) -> int:
    time.sleep(0.002)
    return number

@work.task
def collect(numbers: list[int], of: int) -> int:
    tell("collected", of, current_message().headers["x-leveret-once"], sum(numbers))
    return of
"""


@pytest.fixture
def program(broker: Broker, name: str, tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, broker.url, f"crashing.{name}", PROGRAM)
    yield made
    made.close()


def test_each_group_goes_on_once_whenever_its_workers_are_killed(program: Program, channel: BlockingChannel) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    work = program.work
    member, collect = work.task(name="member")(_member), work.task(name="collect")(_collect)
    workers = [program.worker(threads=4) for _ in range(2)]
    for _, log in workers:
        log.until("worker ready")
    sent = [
        group([chain(member.call(n), member.partial()) if n % 5 == 0 else member.call(n) for n in range(30)])
        .then(collect.partial(number))
        .send()
        for number in range(GROUPS)
    ]
    for _ in range(KILLS):
        process, _ = workers.pop(chance.randrange(len(workers)))
        work_for(chance.uniform(0.0, 0.3))
        kill(process.pid)
        workers.append(program.worker(threads=4))
        workers[-1][1].until("worker ready")
    assert [one.result(4 * WITHIN_S) for one in sent] == list(range(GROUPS))
    declare(channel, program.queue)
    until_empty(channel, program.queue)
    for process, _ in workers:
        process.send_signal(signal.SIGTERM)
    for process, log in workers:
        log.to_the_end()
        process.wait(WITHIN_S)
    copies = defaultdict(set)
    for line in collected(program):
        _, number, copy, total = line.split()
        copies[int(number)].add(copy)
        assert int(total) == sum(range(30))
    assert {number: len(found) for number, found in copies.items()} == dict.fromkeys(range(GROUPS), 1)


def until_empty(channel: BlockingChannel, queue: str) -> None:
    """What was sent twice has begun, too."""
    until_s = time.monotonic() + WITHIN_S
    while channel.queue_declare(queue, passive=True).method.message_count:
        assert time.monotonic() < until_s, "the queue does not get empty"
        channel.connection.process_data_events(0.02)


def work_for(seconds: float) -> None:
    """The moment of a death is to be any."""
    time.sleep(seconds)


def kill(pid: int) -> None:
    """The supervisor first, which would replace its child."""
    child = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)


def collected(program: Program) -> list[str]:
    """All that its workers, which have ended, told."""
    os.set_blocking(program._told, False)
    text = b""
    try:
        while data := os.read(program._told, 1 << 16):
            text += data
    except BlockingIOError:
        pass
    return [line for line in text.decode().splitlines() if line.startswith("collected")]


def _member(number: int) -> int:
    raise AssertionError("runs in workers only")


def _collect(numbers: list[int], of: int) -> int:
    raise AssertionError("runs in workers only")
