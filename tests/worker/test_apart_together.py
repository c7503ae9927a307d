"""Tasks in processes of their own together with what else a task can be: a step of a workflow, given what it needs, limited, kept,
of a newer version, heard of. On both brokers, real processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydantic
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.errors import TaskExpired, TaskFailed
from leveret.tasks import Concurrency, Task, Unique, WorkQueue, chain, group
from leveret.tasks.events import Beat, Failed, Progressed, Retried, Started, Succeeded, TaskEvent
from leveret.tasks.result_file import ResultFile
from worker.support import WITHIN_S, Lines, Program, declare, until_ready

TOGETHER = """
import asyncio, signal, threading
from decimal import Decimal
import pydantic
from leveret.tasks import Concurrency, Message, Middleware, TaskContext, Unique, current_task, inject
from leveret.tasks.result_file import ResultFile

work.results_store = ResultFile(os.path.join(HERE, "results.sqlite"))

def crash():
    os.kill(os.getpid(), signal.SIGKILL)

@work.task(process=True)
def add(a: int, b: int) -> int:
    return a + b

@work.task(process=True)
async def total(numbers: list[int]) -> int:
    return sum(numbers)

@work.task
def label(number: int) -> str:
    return f"in all {number}"

@work.task(process=True)
def unwritable(number: int) -> object:
    return object()

@work.task(process=True, retry=Retries(1))
def refuses(number: int) -> int:
    raise ValueError(f"{number} is no good")

@work.task(process=True, retry=Retries(first_s=0))
def crashes_once(number: int) -> int:
    if not current_message().crashes:
        crash()
    return number

# ---- what is injected

def settings():
    tell("settings", os.getpid())
    yield "settings"
    tell("settings gone", os.getpid())

async def client():
    await asyncio.sleep(0)
    yield asyncio.get_running_loop()
    await asyncio.sleep(0)
    tell("client gone", os.getpid())

def session(settings: str = inject(settings, scope="process"), context: TaskContext = inject()):
    try:
        yield f"session of {context.name} with {settings}"
    except BaseException as error:
        tell("rolled back", type(error).__name__)
        raise
    tell("committed", os.getpid())

@work.task(process=True, result=True)
def given(number: int, session: str = inject(session), message: Message = inject()) -> str:
    return f"{number}: {session}, {message.queue}"

@work.task(process=True, result=True)
async def given_async(
    loop: asyncio.AbstractEventLoop = inject(client, scope="process"), session: str = inject(session)
) -> int:
    assert loop is asyncio.get_running_loop()
    return os.getpid()

@work.task(process=True, result=True, retry=Retries(1))
def given_and_fails(session: str = inject(session)) -> None:
    raise ValueError(session)

def tidy():
    yield
    tell("tidying", os.getpid())
    wait_at_gate()
    tell("tidied", os.getpid())

@work.task(process=True, result=True)
def leaves_something(tidy: None = inject(tidy, scope="process")) -> None: ...

# ---- what is kept, limited, of some version

@work.task(process=True, keep_result=3600)
def kept(a: int) -> int:
    return a

@work.task(process=True, keep_result=3600, retry=Retries(1, first_s=0))
def kept_crash() -> None:
    crash()

@work.task(process=True, result=True, expires=3600)
def fresh() -> int:
    tell("fresh")
    return 1

@work.task(process=True, retry=Retries(first_s=0), concurrency=Concurrency(1))
def single(name: str) -> None:
    tell("single", name, current_message().crashes)
    wait_at_gate()
    if not current_message().crashes:
        crash()
    tell("single done", name)

@work.task(process=True, result=True, unique=Unique("key", until_done=True), fair="key", retry=Retries(first_s=0))
def once(key: str) -> int:
    wait_at_gate()
    if not current_message().crashes:
        crash()
    return current_message().crashes

class Hare(pydantic.BaseModel):
    name: str
    ears: int = pydantic.Field(2, ge=0)

@work.task(process=True, result=True, version=2)
def hare(hare: Hare) -> Hare:
    return hare.model_copy(update={"ears": hare.ears + 1})

@hare.accepts(version=1)
def _(name: str) -> object:
    return hare.call(Hare(name=name))

# ---- who hears of it

@work.task(process=True, result=True, retry=Retries(first_s=0))
def heard() -> int:
    if not current_message().crashes:
        crash()
    current_task().progress(1, 2, "half")
    return 1

@work.task(process=True, result=True, retry=Retries(1))
def counts(context: TaskContext = inject()) -> int:
    def count():
        for number in range(50):
            context.progress(Decimal(number), 50, "x" * 50_000)
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 4

class Hooks(Middleware):
    def before(self, message):
        if message.task == "hooked":
            tell("before", os.getpid())
    def raised(self, message, error, outcome):
        if message.task == "hooked":
            local = error.__traceback__.tb_next.tb_frame.f_locals["local"]
            tell("raised", os.getpid(), type(outcome).__name__, local)
    def after(self, message, outcome):
        if message.task == "hooked":
            tell("after", os.getpid(), type(outcome).__name__)
    def ended(self, message, outcome):
        if message.task == "hooked":
            tell("ended", os.getpid(), type(outcome).__name__)

work.middleware = (Hooks(),)

@work.task(process=True, result=True, retry=Retries(2, first_s=0))
def hooked() -> int:
    local = f"alive-{os.getpid()}"
    if current_task().attempt == 1:
        raise ValueError("once")
    return os.getpid()

@work.consumer(work.default_queue + ".plain")
def plain(body, message):
    tell("plain", body.decode(), message.queue, os.getpid())
"""


class Hare(pydantic.BaseModel):
    name: str
    ears: int = 2


@pytest.fixture
def program(broker: Broker, name: str, tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, broker.url, f"together.{name}", TOGETHER)
    made.work.results_store = ResultFile(tmp_path / "results.sqlite")
    yield made
    made.close()


def task(
    program: Program, name: str, function: Callable[..., Any] = lambda: None, **options: Any
) -> Task[..., Any, Any]:
    return program.work.task(name=name, result=True, **options)(function)


def end(supervisor: subprocess.Popen[bytes], log: Lines) -> list[str]:
    """Nothing that a worker cannot settle is left, and none has died."""
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    lines = log.to_the_end()
    assert not [line for line in lines if "could not be settled" in line or ("worker pid=" in line and "died" in line)]
    return lines


def told(program: Program, *expected: str) -> dict[str, int]:
    """Lines of a word or two and the number of a process, in whatever order; by word."""
    found = dict((program.told.next() or "").rsplit(" ", 1) for _ in expected)
    assert found.keys() == set(expected)
    return {word: int(pid) for word, pid in found.items()}


@pytest.mark.parametrize("every", [False, True])
def test_their_values_go_on_in_chains_and_groups(program: Program, every: bool) -> None:
    """Also where every task has a process."""
    supervisor, log = program.worker(process_per_task=every)
    add = task(program, "add", lambda a, b: 0)
    total, label = task(program, "total", lambda numbers: 0), task(program, "label", lambda number: "")
    crashes_once = task(program, "crashes_once", lambda number: 0)
    first = chain(add.call(1, 2), add.partial(10), crashes_once.partial())
    members = group([first, *(add.call(number, 1) for number in range(3))])
    assert members.then(chain(total.partial(), label.partial())).send().result(WITHIN_S) == "in all 19"
    end(supervisor, log)


def test_a_workflow_ends_with_the_failure_of_its_task(program: Program, channel: BlockingChannel) -> None:
    declare(channel, f"{program.queue}.dead")
    supervisor, log = program.worker()
    add, label = task(program, "add", lambda a, b: 0), task(program, "label", lambda number: "")
    refuses = task(program, "refuses", lambda number: 0)
    unwritable = task(program, "unwritable", lambda number: 0)
    with pytest.raises(TaskFailed, match=r"ValueError: 3 is no good") as raised:
        chain(add.call(1, 2), refuses.partial(), label.partial()).send().result(WITHIN_S)
    assert "in refuses" in raised.value.traceback
    with pytest.raises(TaskFailed, match=r"\(workflow\).*object cannot be written as JSON"):
        chain(add.call(1, 2), unwritable.partial(), label.partial()).send().result(WITHIN_S)
    until_ready(channel, f"{program.queue}.dead", 2)
    end(supervisor, log)


def test_what_is_injected_is_there_and_is_cleaned_up_behind_each(program: Program) -> None:
    supervisor, log = program.worker()
    given = task(program, "given", lambda number: "")
    processes = set()
    for number in range(2):
        value = given.send(number).result(WITHIN_S)
        assert value == f"{number}: session of given with settings, {program.queue}"
        lines = told(program, "settings", "committed", "settings gone")
        assert len(set(lines.values())) == 1
        processes |= set(lines.values())
    assert len(processes) == 2
    process = task(program, "given_async").send().result(WITHIN_S)
    lines = told(program, "settings", "committed", "client gone", "settings gone")
    assert set(lines.values()) == {process}
    end(supervisor, log)


def test_what_is_injected_hears_of_a_failure(program: Program) -> None:
    supervisor, log = program.worker()
    with pytest.raises(TaskFailed, match="ValueError: session of given_and_fails with settings"):
        task(program, "given_and_fails").send().result(WITHIN_S)
    program.told.until("rolled back ValueError")
    program.told.until("settings gone")
    end(supervisor, log)


def test_a_worker_that_stops_lets_it_clean_up_what_belongs_to_its_process(program: Program) -> None:
    supervisor, log = program.worker()
    task(program, "leaves_something").send().result(WITHIN_S)
    process = program.told.until("tidying").split()[1]
    supervisor.send_signal(signal.SIGTERM)
    log.until("worker stopping running=0")
    program.open_gate()
    program.told.until(f"tidied {process}")
    end(supervisor, log)


def test_its_result_is_kept_and_so_is_its_crash(program: Program, channel: BlockingChannel) -> None:
    declare(channel, f"{program.queue}.dead")
    supervisor, log = program.worker()
    kept = program.work.task(name="kept", keep_result=3600)(lambda a: 0)
    crash = program.work.task(name="kept_crash", keep_result=3600)(lambda: None)
    sent = kept.send(5)
    assert program.work.sent(sent.id, kept).result(WITHIN_S) == 5
    with pytest.raises(TaskFailed, match=r"\(crashes\).*killed by SIGKILL"):
        crash.send().result(WITHIN_S)
    until_ready(channel, f"{program.queue}.dead", 1)
    lines = end(supervisor, log)
    assert sum("crashed task=kept_crash" in line for line in lines) == 5


def test_one_that_expired_is_not_begun(program: Program, channel: BlockingChannel) -> None:
    declare(channel, program.queue)
    fresh = task(program, "fresh")
    late = fresh.options(expires=datetime.now(UTC)).send()
    supervisor, log = program.worker()
    with pytest.raises(TaskExpired):
        late.result(WITHIN_S)
    assert fresh.send().result(WITHIN_S) == 1
    assert program.told.next() == "fresh"
    end(supervisor, log)


def test_one_that_crashes_leaves_its_place_to_the_next(program: Program) -> None:
    supervisor, log = program.worker()
    single = task(program, "single", lambda name: None, concurrency=Concurrency(1))
    single.send("a")
    single.send("b")
    done = []
    for _ in range(4):  # each crashes once
        _, name, crashes = program.told.until("single").split()
        program.open_gate()
        if crashes == "1":
            assert program.told.next() == f"single done {name}"
            done.append(name)
    assert sorted(done) == ["a", "b"]
    end(supervisor, log)


def test_a_unique_one_that_crashes_keeps_its_key_until_it_is_done(program: Program) -> None:
    supervisor, log = program.worker()
    once = task(program, "once", lambda key: 0, unique=Unique("key", until_done=True), fair="key")
    key = f"{program.queue}-{os.getpid()}"
    sent = once.send(key)
    assert once.send(key).id == sent.id
    program.open_gate()
    log.until("crashed task=once")
    assert once.send(key).duplicate
    program.open_gate()
    assert sent.result(WITHIN_S) == 1
    end(supervisor, log)


def test_models_and_older_versions_are_read_there(program: Program) -> None:
    supervisor, log = program.worker()

    def today(hare: Hare) -> Hare:
        return hare

    of_today = task(program, "hare", today, version=2)
    assert of_today.send(Hare(name="Ann")).result(WITHIN_S) == Hare(name="Ann", ears=3)
    yesterday = WorkQueue(program.work.url, default_queue=program.queue)
    try:
        of_yesterday = yesterday.task(name="hare", result=True)(lambda name: None)
        assert of_yesterday.send("Bob").result(WITHIN_S) == {"name": "Bob", "ears": 3}
    finally:
        yesterday.close()
    end(supervisor, log)


def test_who_listens_hears_of_beginning_crash_progress_and_end(program: Program) -> None:
    with program.work.events(timeout_s=WITHIN_S) as listener:
        supervisor, log = program.worker()
        events = iter(listener)
        for _ in range(2):  # behind the second it knows that somebody listens
            next(event for event in events if isinstance(event, Beat) and program.queue in event.queues)
        sent = task(program, "heard").send()
        kinds: list[str] = []
        while "Succeeded" not in kinds:
            event = next(event for event in events if isinstance(event, TaskEvent) and event.id == sent.id)
            kinds.append(type(event).__name__)
    wanted = (Started, Failed, Retried, Started, Progressed, Succeeded)
    assert sorted(kinds) == sorted(kind.__name__ for kind in wanted)
    end(supervisor, log)


def test_several_of_its_threads_can_say_how_far_it_is_in_any_kind_of_number(program: Program) -> None:
    supervisor, log = program.worker()
    sent = task(program, "counts").send()
    assert sent.result(WITHIN_S) == 4
    assert sent.progress is not None
    assert (sent.progress.done, sent.progress.total) == (49, 50)
    end(supervisor, log)


def test_hooks_around_it_run_in_its_process_with_the_live_exception_and_ended_in_the_worker(program: Program) -> None:
    supervisor, log = program.worker()
    last = task(program, "hooked").send().result(WITHIN_S)
    lines = [(program.told.next() or "").split() for _ in range(7)]
    words = [(line[0], *line[2:]) for line in lines]
    first, worker = lines[0][1], lines[3][1]
    assert words == [
        ("before",),
        ("raised", "Failed", f"alive-{first}"),
        ("after", "Failed"),
        ("ended", "Failed"),
        ("before",),
        ("after", "Done"),
        ("ended", "Done"),
    ]
    assert [line[1] for line in lines] == [first] * 3 + [worker] + [str(last)] * 2 + [worker]
    assert len({first, worker, str(last)}) == 3
    end(supervisor, log)


def test_consumer_functions_have_processes_where_every_task_has(program: Program, channel: BlockingChannel) -> None:
    queue = f"{program.queue}.plain"
    channel.queue_declare(queue, durable=True)
    supervisor, log = program.worker(process_per_task=True)
    for body in (b"a", b"b"):
        channel.basic_publish("", queue, body)
    found = [program.told.until("plain").split() for _ in range(2)]
    assert sorted(line[:3] for line in found) == [["plain", "a", queue], ["plain", "b", queue]]
    assert found[0][3] != found[1][3]
    end(supervisor, log)
    until_ready(channel, queue, 0)
