"""Tasks in processes of their own: what they return, how they end, whom they harm (nobody). On both brokers, real processes."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.errors import TaskCancelled, TaskError, TaskFailed
from leveret.tasks import Progress, Task, WorkQueue
from leveret.worker.options import Options
from leveret.worker.worker import Worker
from worker.support import WITHIN_S, Lines, Program, declare

AT_WORK = """
import asyncio, ctypes, signal, subprocess, time
from leveret.tasks import Middleware, current_task

class Watch(Middleware):
    def before(self, message):
        self.pid = os.getpid()
    def after(self, message, outcome):
        if message.task == "relay":
            tell("after", type(outcome).__name__, self.pid, current_task().id)

work.middleware = (Watch(),)

@work.task(process=True)
def relay() -> None:
    tell("relay", os.getpid(), current_task().id)
    note.send("sent on")

@work.task
def note(text: str) -> None:
    tell("note", text)

@work.task(process=True, result=True)
def add(a: int, b: int) -> int:
    return a + b

@work.task(process=True, result=True)
async def add_async(a: int, b: int) -> int:
    await asyncio.to_thread(time.sleep, 0)
    return a + b

@work.task(process=True, result=True)
def size(text: str) -> str:
    return text + str(len(text))

@work.task(process=True, result=True)
def unwritable() -> object:
    return object()

@work.task(process=True, result=True, retry=Retries(2, first_s=0))
def fails() -> None:
    tell("attempt", current_task().attempt)
    raise ValueError("no good")

@work.task(process=True, result=True)
def steps() -> int:
    for number in range(3):
        current_task().progress(number + 1, 3)
        tell("step")
        wait_at_gate()
    return 3

@work.task(process=True, result=True, time_limit=0.3, retry=Retries(1))
def sleepy() -> None:
    time.sleep(3600)

@work.task(process=True, result=True, time_limit=0.3, retry=Retries(1))
async def sleepy_async() -> None:
    await asyncio.Event().wait()

@work.task(process=True, result=True, hard_time_limit=0.5, retry=Retries(1))
def stuck() -> None:
    tell("stuck", os.getpid())
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    while True:
        time.sleep(3600)

@work.task(process=True, result=True)
def long() -> None:
    child = subprocess.Popen(["sleep", "3600"])
    tell("long", os.getpid(), child.pid)
    time.sleep(3600)

@work.task(process=True, retry=Retries(first_s=0))
def crash(how: str) -> None:
    tell("crash", os.getpid())
    if how == "segv":
        ctypes.string_at(0)
    elif how == "exit":
        os._exit(3)
    elif how == "lie":
        for number in range(3, 64):
            try:
                os.write(number, b"\\x00\\x00\\x00\\x03abc")
            except OSError:
                pass
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)

@work.task(process=True)
def apart(name: str) -> None:
    tell("started", name, os.getpid(), current_message().redelivered)
    tell("parent", os.getppid())
    wait_at_gate()
    tell("done", name, os.getpid())

@work.task(process=True, result=True, memory_mb=200, retry=Retries(1))
def greedy() -> int:
    return len(bytearray(2_000_000_000))

@work.task(process=True, result=True)
def sockets() -> int:
    links = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]
    return sum(link.startswith("socket:") for link in links)

@work.task(result=True)
def pid() -> int:
    return os.getpid()

@work.task
def patient(name: str) -> None:
    tell("begun", name, os.getpid(), current_message().crashes)
    wait_at_gate()
    tell("done", name, os.getpid(), current_message().crashes)

@work.task(retry=Retries(first_s=0))
def poison() -> None:
    tell("poison", os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def program(broker: Broker, name: str, tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, broker.url, f"apart.{name}", AT_WORK)
    yield made
    made.close()


def task(program: Program, name: str, function: Callable[..., Any] = lambda: None) -> Task[..., Any, Any]:
    return program.work.task(name=name, result=True)(function)


def end(supervisor: Any, log: Lines) -> list[str]:
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    return log.to_the_end()


def wait_until_gone(pid: int) -> None:
    try:
        number = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([number], [], [], WITHIN_S)[0], f"process {pid} lives on"
    finally:
        os.close(number)


def left(channel: BlockingChannel, queue: str) -> list[tuple[bool, dict[str, Any]]]:
    """Of each message in the queue, whether it was delivered before, and its headers."""
    found = []
    while True:
        method, properties, _ = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return found
        found.append((method.redelivered, properties.headers or {}))


def died(lines: list[str]) -> list[str]:
    return [line for line in lines if "worker pid=" in line and "died" in line]


def test_its_value_comes_back_from_plain_and_async_functions(program: Program) -> None:
    supervisor, log = program.worker()
    assert task(program, "add", lambda a, b: 0).send(1, 2).result(WITHIN_S) == 3
    assert task(program, "add_async", lambda a, b: 0).send(3, 4).result(WITHIN_S) == 7
    text = "hare" * 1_000_000
    assert task(program, "size", lambda text: "").send(text).result(WITHIN_S) == text + "4000000"
    end(supervisor, log)


def test_a_value_that_is_no_json_is_told_as_such(program: Program) -> None:
    supervisor, log = program.worker()
    with pytest.raises(TaskFailed, match=r"\(result\).*object.*cannot be written as JSON"):
        task(program, "unwritable").send().result(WITHIN_S)
    end(supervisor, log)


def test_what_it_raises_is_tried_again_and_told(program: Program) -> None:
    supervisor, log = program.worker()
    with pytest.raises(TaskFailed, match=r"ValueError: no good") as raised:
        task(program, "fails").send().result(WITHIN_S)
    assert "in fails" in raised.value.traceback
    assert [program.told.next(), program.told.next()] == ["attempt 1", "attempt 2"]
    end(supervisor, log)


def test_its_progress_is_heard(program: Program) -> None:
    supervisor, log = program.worker()
    sent = task(program, "steps").send()
    for _ in range(3):
        program.told.until("step")
        program.open_gate()
    assert sent.result(WITHIN_S) == 3
    assert sent.progress == Progress(3, 3)
    end(supervisor, log)


@pytest.mark.parametrize("name", ["sleepy", "sleepy_async"])
def test_a_time_limit_wakes_it_even_where_it_sleeps(program: Program, name: str) -> None:
    supervisor, log = program.worker()
    with pytest.raises(TaskFailed, match="longer than its time limit") as raised:
        task(program, name).send().result(WITHIN_S)
    assert f"in {name}" in raised.value.traceback
    end(supervisor, log)


def test_beyond_its_hard_limit_it_is_killed_and_charged_and_its_worker_goes_on(program: Program) -> None:
    supervisor, log = program.worker(threads=2)
    program.slow.send("other")
    worker, _ = program.started("other")
    sent = task(program, "stuck").send()
    process = int(program.told.until("stuck").split()[1])
    with pytest.raises(TaskFailed, match=r"\(attempts\).*hard time limit of 0.5 s, and was killed"):
        sent.result(WITHIN_S)
    wait_until_gone(process)
    program.open_gate()
    program.told.until(f"done other {worker}")
    lines = end(supervisor, log)
    assert not died(lines)
    assert not any("is replaced" in line for line in lines)


def test_cancelling_kills_it_and_what_it_started(program: Program) -> None:
    supervisor, log = program.worker()
    sent = task(program, "long").send()
    _, process, subprocess = program.told.until("long").split()
    sent.cancel()
    with pytest.raises(TaskCancelled):
        sent.result(WITHIN_S)
    wait_until_gone(int(process))
    wait_until_gone(int(subprocess))
    end(supervisor, log)


@pytest.mark.parametrize(
    ("how", "text"),
    [("segv", "killed by SIGSEGV"), ("exit", "exit code 3"), ("kill", "killed by SIGKILL"), ("lie", "exit code 0")],
)
def test_a_crash_is_charged_to_its_task_alone(program: Program, channel: BlockingChannel, how: str, text: str) -> None:
    declare(channel, f"{program.queue}.dead")
    supervisor, log = program.worker(threads=3)
    program.slow.send("thread")
    _, redelivered = program.started("thread")
    assert not redelivered
    task(program, "apart", lambda name: None).send("process")
    program.started("process")
    task(program, "crash", lambda how: None).send(how)
    for _ in range(6):
        program.told.until("crash")
    parked = next(channel.consume(f"{program.queue}.dead", auto_ack=True, inactivity_timeout=WITHIN_S))
    channel.cancel()
    assert parked[1] is not None
    assert parked[1].headers["x-leveret-reason"] == "crashes"
    assert text in parked[1].headers["x-leveret-error"]
    program.open_gate(2)
    done = {program.told.until("done").split()[1] for _ in range(2)}
    assert done == {"thread", "process"}
    lines = end(supervisor, log)
    assert not died(lines)
    assert sum("crashed task=crash" in line for line in lines) == 5
    assert sum("worker pid=" in line and "started" in line for line in lines) == 1
    assert left(channel, program.queue) == []


def test_a_zygote_that_dies_is_replaced_and_its_tasks_run_again(program: Program, channel: BlockingChannel) -> None:
    supervisor, log = program.worker()
    apart = task(program, "apart", lambda name: None)
    apart.send("a")
    process, redelivered = program.started("a")
    assert not redelivered
    zygote = int(program.told.until("parent").split()[1])
    os.kill(zygote, signal.SIGKILL)
    again, redelivered = program.started("a")
    wait_until_gone(process)
    assert redelivered, "it may have been the task that killed it"
    assert again != process
    assert int(program.told.until("parent").split()[1]) != zygote
    program.open_gate()
    program.told.until(f"done a {again}")
    assert task(program, "add", lambda a, b: 0).send(1, 2).result(WITHIN_S) == 3
    assert not died(end(supervisor, log))
    assert left(channel, program.queue) == []


def test_with_a_killed_worker_its_processes_die_and_their_tasks_run_again(program: Program) -> None:
    supervisor, log = program.worker()
    worker = task(program, "pid").send().result(WITHIN_S)
    task(program, "apart", lambda name: None).send("a")
    process, _ = program.started("a")
    zygote = int(program.told.until("parent").split()[1])
    os.kill(worker, signal.SIGKILL)
    wait_until_gone(process)
    wait_until_gone(zygote)
    again, redelivered = program.started("a")
    assert redelivered
    program.open_gate()
    program.told.until(f"done a {again}")
    end(supervisor, log)


def test_sigterm_lets_it_finish_also_if_every_process_gets_it(program: Program, channel: BlockingChannel) -> None:
    supervisor, log = program.worker()
    task(program, "apart", lambda name: None).send("a")
    process, _ = program.started("a")
    zygote = int(program.told.until("parent").split()[1])
    for pid in (process, zygote, supervisor.pid):
        os.kill(pid, signal.SIGTERM)
    log.until("worker stopping running=1")
    program.open_gate()
    program.told.until(f"done a {process}")
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()
    wait_until_gone(zygote)
    assert left(channel, program.queue) == []


@pytest.mark.parametrize("signals", [1, 2])
def test_one_that_does_not_end_is_killed_and_given_back_uncharged(
    program: Program, channel: BlockingChannel, signals: int
) -> None:
    """Its grace is over, or a second signal says that there is none."""
    supervisor, log = program.worker(shutdown_timeout_s=0 if signals == 1 else 3600)
    task(program, "apart", lambda name: None).send("a")
    process, _ = program.started("a")
    supervisor.send_signal(signal.SIGTERM)
    log.until("worker stopping running=1")
    if signals == 2:
        supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    wait_until_gone(process)
    assert any("gives back running=1" in line for line in log.to_the_end())
    [(redelivered, headers)] = left(channel, program.queue)
    assert not redelivered
    assert "x-leveret-crashes" not in headers


def test_a_worker_may_give_every_task_a_process(program: Program) -> None:
    supervisor, log = program.worker(process_per_task=True)
    pid = task(program, "pid")
    one, other = (pid.send().result(WITHIN_S) for _ in range(2))
    assert one != other
    end(supervisor, log)


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
def test_memory_beyond_its_limit_is_a_failure_and_no_crash(program: Program) -> None:
    supervisor, log = program.worker()
    with pytest.raises(TaskFailed, match="MemoryError"):
        task(program, "greedy").send().result(WITHIN_S)
    assert not any("crashed" in line for line in end(supervisor, log))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_it_has_none_of_its_workers_connections(program: Program) -> None:
    supervisor, log = program.worker()
    assert task(program, "sockets").send().result(WITHIN_S) == 1, "more than the one to its worker"
    end(supervisor, log)


def test_middleware_runs_in_its_process_and_it_sends_tasks_itself(program: Program) -> None:
    supervisor, log = program.worker()
    sent = task(program, "relay").send()
    _, process, id = program.told.until("relay").split()
    assert id == sent.id
    told = {program.told.until(""), program.told.until("")}
    assert told == {f"after Done {process} {id}", "note sent on"}
    end(supervisor, log)


def test_of_several_that_ran_when_their_worker_died_the_guilty_one_alone_is_parked(
    program: Program, channel: BlockingChannel
) -> None:
    declare(channel, f"{program.queue}.dead")
    supervisor, log = program.worker(threads=4)
    patient = task(program, "patient", lambda name: None)
    for name in "ab":
        patient.send(name)
        program.told.until(f"begun {name}")
    task(program, "poison").send()
    parked = next(channel.consume(f"{program.queue}.dead", auto_ack=True, inactivity_timeout=WITHIN_S))
    channel.cancel()
    assert parked[1] is not None
    assert (parked[1].type, parked[1].headers["x-leveret-reason"]) == ("poison", "crashes")
    assert "SIGKILL" in parked[1].headers["x-leveret-error"]
    program.open_gate(2)
    done = dict(program.told.until("done").split()[1::2] for _ in range(2))
    assert done.keys() == {"a", "b"}
    # Each death of their worker, and one more for a copy that was only on its way when it died.
    assert all(int(crashes) <= 3 for crashes in done.values()), "charged with what another one did alone"
    lines = end(supervisor, log)
    assert len(died(lines)) == 2
    assert left(channel, program.queue) == []


def test_a_suspect_runs_on_a_thread_where_there_can_be_no_process(
    broker: Broker, name: str, tmp_path: Path, channel: BlockingChannel
) -> None:
    """As of a program that can be imported once only."""
    once = """
if os.path.exists(os.path.join(HERE, "imported")):
    raise RuntimeError("once only")
open(os.path.join(HERE, "imported"), "w").close()
"""
    program = Program(tmp_path, broker.url, f"apart.{name}", once)
    declare(channel, program.queue)
    try:
        supervisor, log = program.worker()
        body = b'{"args": ["a"]}'
        properties = pika.BasicProperties(type="slow", message_id="1", headers={"x-leveret-crashes": 3})
        channel.basic_publish("", program.queue, body, properties)
        program.started("a")
        program.open_gate()
        program.told.until("done a")
        assert any("once only" in line for line in end(supervisor, log))
    finally:
        program.close()


@pytest.mark.parametrize(("one", "every"), [(True, False), (False, True)])
def test_a_program_that_cannot_be_loaded_again_cannot_have_such_tasks(one: bool, every: bool) -> None:
    work = WorkQueue("amqp://localhost")
    work.task(name="t", process=one)(lambda: None)
    with pytest.raises(TaskError, match="top level"):
        Worker(work, "amqp://localhost", Options(process_per_task=every))
