"""Chains, groups and what comes after them, run by workers on both brokers: results are passed on, groups completed once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.errors import PartlySent, TaskCancelled, TaskExpired, TaskFailed
from leveret.tasks import Reject, Retries, Retry, WorkQueue, chain, current_message, current_task, group
from worker.support import WITHIN_S, declare_filled, working


class Tasks:
    """Of one program; `seen` are the runs of `seen_by`, and of everything else the arguments."""

    def __init__(self, url: str, queue: str) -> None:
        self.work = WorkQueue(url, default_queue=queue, retry=Retries(2, first_s=0))
        self.seen: SimpleQueue[Any] = SimpleQueue()
        self.broken = True
        self.add = self.work.task(name="add")(self._add)
        self.total = self.work.task(name="total")(self._total)
        self.note = self.work.task(name="note")(self._note)
        self.mend = self.work.task(name="mend")(self._mend)

    def _add(self, a: int, b: int) -> int:
        return a + b

    def _total(self, numbers: list[int], more: int = 0) -> int:
        return sum(numbers) + more

    def _note(self, value: Any) -> Any:
        self.seen.put(value)
        return value

    def _mend(self, value: int) -> int:
        """Fails for good until it is mended."""
        if self.broken:
            raise Reject(f"{value} is no good")
        return value


@pytest.fixture
def tasks(broker: Broker, name: str) -> Tasks:
    return Tasks(broker.url, f"flows.{name}")


def test_the_ids_of_a_workflow_are_those_of_its_messages(tasks: Tasks) -> None:
    tell = tasks.work.task(name="tell")(lambda *_: tasks.seen.put(current_task().id))
    with working(tasks.work, threads=1):
        sent = chain(tell.call(), tell.partial(), group([tell.partial()])).send()
        sent.result(WITHIN_S)
    assert sent.ids == tuple(tasks.seen.get(timeout=WITHIN_S) for _ in range(3))


def test_a_step_that_comes_too_late_ends_its_workflow_and_whoever_waits_is_told(tasks: Tasks) -> None:
    late = tasks.note.options(expires=datetime(2026, 1, 1, tzinfo=UTC))
    with working(tasks.work), pytest.raises(TaskExpired):
        chain(tasks.add.call(1, 2), late.partial()).send().result(WITHIN_S)
    assert tasks.seen.empty()


def test_what_was_sent_of_a_group_in_part_is_cancelled(tasks: Tasks, channel: BlockingChannel) -> None:
    """A queue of one of its tasks is somebody else's, which the broker refuses."""
    channel.queue_declare(f"{tasks.work.default_queue}.other")  # not durable
    other = tasks.work.task(name="other", queue=f"{tasks.work.default_queue}.other")(lambda: None)
    with pytest.raises(PartlySent) as raised:
        group([tasks.note.call("ran"), other.call()]).send()
    assert "the workflow was cancelled" in raised.value.__notes__[0]
    last = tasks.work.task(name="last")(lambda: tasks.seen.put("last"))
    last.send()
    with working(tasks.work, threads=1, queues=[tasks.work.default_queue]):
        assert tasks.seen.get(timeout=WITHIN_S) == "last"


def test_each_task_of_a_chain_gets_the_result_of_the_one_before_as_its_first_argument(tasks: Tasks) -> None:
    with working(tasks.work):
        sent = chain(tasks.add.call(1, 2), tasks.add.partial(10), tasks.add.partial(b=100)).send()
        assert sent.result(WITHIN_S) == 113
        assert sent.done and len(set(sent.ids)) == 3


def test_a_task_that_is_called_in_full_takes_nothing_from_the_one_before(tasks: Tasks) -> None:
    with working(tasks.work):
        assert chain(tasks.add.call(1, 2), tasks.add.call(3, 4)).send().result(WITHIN_S) == 7


def test_a_group_has_the_list_of_results_in_the_order_of_its_members(tasks: Tasks) -> None:
    with working(tasks.work):
        sent = group(tasks.add.call(number, 1) for number in range(30)).send()
        assert sent.result(WITHIN_S) == list(range(1, 31))


def test_what_comes_after_a_group_is_called_once_with_all_results(tasks: Tasks) -> None:
    with working(tasks.work):
        flow = group([tasks.add.call(number, 0) for number in range(20)]).then(tasks.note.partial())
        assert flow.send().result(WITHIN_S) == list(range(20))
    assert all_of(tasks.seen) == [list(range(20))]


def all_of(queue: SimpleQueue[Any]) -> list[Any]:
    found = []
    while True:
        try:
            found.append(queue.get_nowait())
        except Empty:
            return found


def test_a_chain_may_contain_groups_and_a_group_chains_and_groups(tasks: Tasks) -> None:
    add, total = tasks.add, tasks.total
    flow = chain(
        add.call(1, 1),  # 2
        group(
            [
                add.partial(10),  # 12
                chain(add.partial(20), add.partial(30)),  # 52
                group([add.partial(1), add.partial(2)]).then(total.partial()),  # 3 + 4
                chain(add.call(0, 1), group([add.partial(0), add.partial(1)]), total.partial(5)),  # 1 + 2 + 5
            ]
        ),
        total.partial(1000),
        group([add.partial(1), group([add.partial(2), add.partial(3)])]),
    )
    with working(tasks.work):
        end = 12 + 52 + 7 + 8 + 1000
        assert flow.send().result(WITHIN_S) == [end + 1, [end + 2, end + 3]]


def test_a_coroutine_sends_and_awaits_and_async_tasks_take_part(tasks: Tasks) -> None:
    @tasks.work.task
    async def double(number: int) -> int:
        return 2 * number

    async def both() -> int:
        sent = await group([double.call(1), double.call(2)]).then(tasks.total.partial()).send_async()
        return await sent.result_async(WITHIN_S)

    with working(tasks.work):
        assert asyncio.run(both()) == 6


def test_an_empty_group_is_complete_at_once(tasks: Tasks) -> None:
    with working(tasks.work):
        assert group([]).send().result(0) == []
        assert group([]).then(tasks.note.partial()).send().result(WITHIN_S) == []
        flow = chain(tasks.add.call(1, 2), group([]), tasks.note.partial(), group([group([]), group([])]))
        assert flow.send().result(WITHIN_S) == [[], []]
        assert group([tasks.add.call(1, 2), group([])]).send().result(WITHIN_S) == [3, []]


def test_results_are_read_in_the_annotated_types_of_the_last_tasks(tasks: Tasks) -> None:
    @tasks.work.task
    def later(span: timedelta) -> timedelta:
        return span * 2

    with working(tasks.work):
        minute = timedelta(minutes=1)
        assert group([later.call(minute), chain(later.call(minute), later.partial())]).send().result(WITHIN_S) == [
            2 * minute,
            4 * minute,
        ]


def test_a_task_that_fails_for_good_is_named_to_whoever_waits_and_the_workflow_goes_on_when_it_is_requeued(
    tasks: Tasks, channel: BlockingChannel
) -> None:
    flow = chain(tasks.add.call(1, 2), tasks.mend.partial(), tasks.note.partial())
    with working(tasks.work):
        with pytest.raises(TaskFailed, match=r"task 'mend' failed \(rejected\): .*3 is no good"):
            flow.send().result(WITHIN_S)
        tasks.broken = False
        requeue(channel, tasks.work.default_queue)
        assert tasks.seen.get(timeout=WITHIN_S) == 3


def requeue(channel: BlockingChannel, queue: str) -> None:
    """The first of its dead letters, once it is there, as any tool moves it."""
    declare_filled(channel, f"{queue}.dead")
    for method, properties, body in channel.consume(f"{queue}.dead", inactivity_timeout=WITHIN_S):
        assert method is not None, "nothing was parked"
        channel.basic_publish("", queue, body, properties)
        channel.basic_ack(method.delivery_tag)
        channel.cancel()
        return


def test_a_group_is_completed_by_a_member_that_was_parked_and_requeued(tasks: Tasks, channel: BlockingChannel) -> None:
    members = [tasks.add.call(1, 1), chain(tasks.mend.call(7), tasks.add.partial(1)), tasks.add.call(3, 3)]
    with working(tasks.work):
        sent = group(members).then(tasks.note.partial()).send()
        with pytest.raises(TaskFailed, match="'mend'"):
            sent.result(WITHIN_S)
        tasks.broken = False
        requeue(channel, tasks.work.default_queue)
        assert tasks.seen.get(timeout=WITHIN_S) == [2, 8, 6]


def test_attempts_are_made_within_a_workflow_as_ever(tasks: Tasks) -> None:
    @tasks.work.task
    def second_time(number: int) -> int:
        if current_task().attempt == 1:
            raise Retry(after=0)
        return number + 1

    with working(tasks.work):
        flow = chain(second_time.call(1), group([second_time.partial(), second_time.partial()]))
        assert flow.send().result(WITHIN_S) == [3, 3]


def test_options_hold_for_a_task_when_its_turn_comes(tasks: Tasks, name: str) -> None:
    @tasks.work.task(queue=f"flows.{name}.other")
    def where(_: int) -> str:
        return current_task().queue

    @tasks.work.task
    def when(place: str) -> tuple[str, float | None]:
        message = current_message()
        return place, message.properties.priority if message else None

    tasks.work.queue(f"flows.{name}.urgent", priorities=3)
    first = when.options(queue=f"flows.{name}.urgent", priority=2, delay=0.2)
    tasks.work.task(name="reads", queue=f"flows.{name}.urgent")(lambda: None)
    with working(tasks.work):
        flow = chain(tasks.add.call(1, 2), where.partial(), first.partial())
        assert flow.send().result(WITHIN_S) == (f"flows.{name}.other", 2)


def test_what_is_cancelled_is_told_to_whoever_waits_and_what_has_not_begun_does_not_run(tasks: Tasks) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    @tasks.work.task
    def slow(number: int) -> int:
        begun.set()
        assert goes_on.wait(WITHIN_S)
        return number

    with working(tasks.work):
        sent = chain(slow.call(1), tasks.note.partial()).send()
        assert begun.wait(WITHIN_S)
        sent.cancel()
        goes_on.set()
        with pytest.raises(TaskCancelled, match="'note'"):
            sent.result(WITHIN_S)
        one = group([tasks.note.call(number) for number in range(5)]).then(tasks.note.partial())
        assert one.send().result(WITHIN_S) == list(range(5))
    assert all_of(tasks.seen)[-1:] == [list(range(5))]


def test_a_group_that_is_cancelled_before_a_worker_is_there_does_not_run(tasks: Tasks) -> None:
    sent = group([tasks.note.call(number) for number in range(5)]).then(tasks.note.partial()).send()
    sent.cancel()
    with working(tasks.work):
        with pytest.raises(TaskCancelled):
            sent.result(WITHIN_S)
        assert tasks.add.options(result=True).send(1, 2).result(WITHIN_S) == 3
    assert all_of(tasks.seen) == []


def test_a_thousand_members_are_gathered(tasks: Tasks) -> None:
    flow = group([tasks.add.call(number, 0) for number in range(1000)]).then(tasks.total.partial())
    with working(tasks.work, threads=8):
        assert flow.send().result(2 * WITHIN_S) == sum(range(1000))


def test_results_that_are_too_large_together_park_the_last_member_with_the_reason(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leveret.worker.groups.BODY_BYTES_MAX", 1000)

    @tasks.work.task
    def long() -> str:
        return "x" * 300

    with working(tasks.work), pytest.raises(TaskFailed, match=r"'long' failed \(workflow\).*more than 1000 octets"):
        group([long.call()] * 4).send().result(WITHIN_S)


def test_a_result_without_a_form_in_json_parks_the_task_that_returned_it(tasks: Tasks) -> None:
    @tasks.work.task
    def lock() -> Any:
        return threading.Lock()

    with working(tasks.work), pytest.raises(TaskFailed, match=r"'lock' failed \(workflow\).*cannot be written as JSON"):
        chain(lock.call(), tasks.note.partial()).send().result(WITHIN_S)


def test_a_member_that_was_sent_twice_is_counted_once(tasks: Tasks, channel: BlockingChannel) -> None:
    """Before any of its group is run."""
    sent = group([tasks.add.call(number, 0) for number in range(5)]).then(tasks.note.partial()).send()
    method, properties, body = channel.basic_get(tasks.work.default_queue)
    assert method is not None
    for _ in range(3):
        channel.basic_publish("", tasks.work.default_queue, body, properties)
    channel.basic_reject(method.delivery_tag)
    with working(tasks.work):
        assert sent.result(WITHIN_S) == list(range(5))
        assert tasks.add.options(result=True).send(1, 2).result(WITHIN_S) == 3
    assert Counter(map(str, all_of(tasks.seen))) == {"[0, 1, 2, 3, 4]": 1}
