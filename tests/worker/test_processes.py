"""Real processes, real signals: what is killed loses nothing, what is told to stop finishes and gives back."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from worker.support import WITHIN_S, Program, declare, until_ready

MakeProgram = Callable[..., Program]


@pytest.fixture
def make_program(broker: Broker, name: str, tmp_path: Path) -> Iterator[MakeProgram]:
    made: list[Program] = []

    def make(more: str = "") -> Program:
        made.append(Program(tmp_path, broker.url, f"processes.{name}", more))
        return made[-1]

    yield make
    for program in made:
        program.close()


@pytest.fixture
def program(make_program: MakeProgram) -> Program:
    return make_program()


def left(channel: BlockingChannel, queue: str) -> list[bool]:
    """Of each message in the queue, whether it was delivered before."""
    found = []
    while True:
        method, _, _ = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return found
        found.append(method.redelivered)


def test_a_child_killed_at_work_is_replaced_and_its_task_done(program: Program, channel: BlockingChannel) -> None:
    supervisor, log = program.worker(threads=1)
    program.slow.send("a")
    killed, redelivered = program.started("a")
    assert not redelivered
    os.kill(killed, signal.SIGKILL)
    pid, redelivered = program.started("a")
    assert pid != killed
    assert redelivered
    program.open_gate()
    assert program.told.until("done a") == f"done a {pid}"
    log.until("done task=slow")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    assert any(f"pid={killed} died (SIGKILL)" in line for line in log.to_the_end())
    assert left(channel, program.queue) == []


KILLER = """
import signal

@work.task(retry=Retries(first_s=0))
def kill():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_task_that_kills_its_worker_is_parked_in_the_end_and_others_are_done(
    make_program: MakeProgram, channel: BlockingChannel
) -> None:
    program = make_program(KILLER)
    declare(channel, f"{program.queue}.dead")
    supervisor, log = program.worker(threads=1)
    program.work.task(name="kill")(print).send()
    program.slow.send("other")
    program.open_gate()
    parked = next(channel.consume(f"{program.queue}.dead", auto_ack=True, inactivity_timeout=60))
    channel.cancel()
    assert parked[1] is not None, "a task that kills its worker is run without end"
    assert parked[1].headers["x-leveret-reason"] == "crashes"
    assert program.told.until("done other")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    lines = log.to_the_end()
    assert sum("(SIGKILL)" in line for line in lines) == 2, "from the third time on it has a process to itself"
    assert sum("crashed task=kill" in line for line in lines) == 3
    assert left(channel, program.queue) == []


FATAL = """
import signal, threading
from leveret.tasks import Middleware
from leveret.worker.pool import TaskLoop, Threads

begun = threading.Semaphore(0)

def until_begun(submit):
    def submit_and_wait(*given):
        try:
            return submit(*given)
        finally:
            begun.acquire(timeout=60)
    return submit_and_wait

Threads.submit, TaskLoop.submit = until_begun(Threads.submit), until_begun(TaskLoop.submit)

class Begun(Middleware):
    def before(self, message):
        if message.task == "fatal" and not message.redelivered:
            os.kill(os.getpid(), signal.SIGKILL)
        begun.release()

work.middleware = (Begun(),)

@work.task(queue={queue!r})
{function} fatal() -> None:
    tell("survived")
"""


@pytest.mark.parametrize("function", ["def", "async def"])
def test_who_is_killed_at_the_first_step_of_a_task_had_acknowledged_the_one_before_it(
    make_program: MakeProgram, channel: BlockingChannel, name: str, function: str
) -> None:
    """The worker's loop is held up in the moment in which a thread begins the next task. It has that one already: it takes from two
    queues, and prefetch counts for each.
    """
    other = f"processes.{name}.fatal"
    program = make_program(FATAL.format(queue=other, function=function))
    declare(channel, other)
    supervisor, log = program.worker(threads=1)
    program.slow.send("a")
    program.started("a")
    program.work.task(name="fatal", queue=other)(print).send()
    until_ready(channel, other, 0)
    program.open_gate(2)
    assert program.told.until("survived")
    log.until("done task=fatal")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    assert sum("(SIGKILL)" in line for line in log.to_the_end()) == 1
    assert sum("started a" in line for line in program.told.seen) == 1, "what was done was done again"
    assert left(channel, program.queue) == []


def test_of_many_tasks_none_is_lost_when_a_worker_is_killed(program: Program, channel: BlockingChannel) -> None:
    supervisor, log = program.worker(processes=2, threads=2)
    names = [f"t{number}" for number in range(20)]
    for one in names:
        program.slow.send(one)
    running = [program.started("t")[0] for _ in range(4)]
    os.kill(running[0], signal.SIGKILL)
    program.open_gate(40)
    done: set[str] = set()
    while len(done) < len(names):
        done.add(program.told.until("done ").split()[1])
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()
    assert left(channel, program.queue) == []


def test_sigterm_lets_the_running_task_finish_and_leaves_the_rest(program: Program, channel: BlockingChannel) -> None:
    supervisor, log = program.worker(threads=1)
    for one in "abc":
        program.slow.send(one)
    program.started("a")
    supervisor.send_signal(signal.SIGTERM)
    log.until("worker stopping running=1")
    program.open_gate()
    program.told.until("done a")
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()
    assert len(left(channel, program.queue)) == 2


def test_a_task_that_outlasts_the_grace_is_given_back(program: Program, channel: BlockingChannel) -> None:
    supervisor, log = program.worker(threads=1, shutdown_timeout_s=0)
    program.slow.send("a")
    program.started("a")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    assert any("gives back running=1" in line for line in log.to_the_end())
    assert left(channel, program.queue) == [False], "it is taken for one that may have killed its worker"


def test_a_second_signal_ends_it_now(program: Program, channel: BlockingChannel) -> None:
    supervisor, log = program.worker(threads=1, shutdown_timeout_s=3600)
    program.slow.send("a")
    program.started("a")
    supervisor.send_signal(signal.SIGINT)
    log.until("worker stopping running=1")
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()
    assert left(channel, program.queue) == [False]


def test_a_signal_to_every_process_at_once_is_one_request_to_stop(program: Program, channel: BlockingChannel) -> None:
    """As service managers send it: the child hears of it twice, and still finishes."""
    supervisor, log = program.worker(threads=1)
    program.slow.send("a")
    pid, _ = program.started("a")
    os.kill(pid, signal.SIGTERM)
    supervisor.send_signal(signal.SIGTERM)
    log.until("worker stopping running=1")
    program.open_gate()
    program.told.until("done a")
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()
    assert left(channel, program.queue) == []


@pytest.mark.parametrize("processes", [1, 3])
def test_children_of_a_killed_supervisor_finish_and_end(
    program: Program, channel: BlockingChannel, processes: int
) -> None:
    supervisor, log = program.worker(processes=processes, threads=1)
    for number in range(processes + 1):
        program.slow.send(f"t{number}")
    for _ in range(processes):
        program.started("t")
    supervisor.kill()
    for _ in range(processes):
        log.until("the supervisor is gone")
    program.open_gate(processes)
    for _ in range(processes):
        program.told.until("done t")
    log.to_the_end()  # the log's pipe ends when the last of them has
    assert len(left(channel, program.queue)) == 1


def test_a_program_that_cannot_be_loaded_ends_the_worker_with_the_reason(make_program: MakeProgram) -> None:
    supervisor, log = make_program("import lvmissing\n").worker(processes=2)
    assert supervisor.wait(WITHIN_S) == 2
    assert any("No module named 'lvmissing'" in line for line in log.to_the_end())


MAIN = """
if __name__ == "__main__":
    sys.exit(work.run(processes=int(sys.argv[1]), threads=1))
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_a_program_is_its_own_worker(make_program: MakeProgram, channel: BlockingChannel, processes: int) -> None:
    program = make_program(MAIN)
    process, log = program.start("program.py", str(processes))
    program.slow.send("a")
    pid, _ = program.started("a")
    assert (pid == process.pid) == (processes == 1)
    process.send_signal(signal.SIGTERM)
    log.until("worker stopping running=1")
    program.open_gate()
    program.told.until("done a")
    assert process.wait(WITHIN_S) == 0
    log.to_the_end()
    assert left(channel, program.queue) == []


def test_a_second_signal_ends_a_program_that_is_its_own_worker(
    make_program: MakeProgram, channel: BlockingChannel
) -> None:
    program = make_program(MAIN)
    process, log = program.start("program.py", "1")
    program.slow.send("a")
    program.started("a")
    process.send_signal(signal.SIGTERM)
    log.until("worker stopping running=1")
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN_S) == 0
    log.to_the_end()
    assert left(channel, program.queue) == [False]


HELPED = """
import asyncio, threading

@work.task
async def helped() -> None:
    tell("helped")
    await asyncio.to_thread(threading.Event().wait)
"""


def test_a_thread_that_a_task_asked_to_help_does_not_keep_its_worker(
    make_program: MakeProgram, channel: BlockingChannel
) -> None:
    program = make_program(HELPED + MAIN)
    process, log = program.start("program.py", "1")
    program.work.task(name="helped")(lambda: None).send()
    program.told.until("helped")
    process.send_signal(signal.SIGTERM)
    log.until("worker stopping running=1")
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN_S) == 0
    log.to_the_end()
    assert left(channel, program.queue) == [False]


NOSY = """
import stat
@work.task
def look() -> None:
    tell("stdin", stat.S_ISCHR(os.fstat(0).st_mode), "LEVERET_WORKER_URL" in os.environ)
"""


def test_tasks_find_neither_the_lifeline_nor_the_url_of_their_worker(make_program: MakeProgram, broker: Broker) -> None:
    program = make_program(NOSY)
    supervisor, log = program.worker(url=broker.url)
    program.work.task(name="look")(lambda: None).send()
    assert program.told.next() == "stdin True False"
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()


def test_a_broker_that_refuses_ends_the_supervisor_too(program: Program, broker: Broker) -> None:
    supervisor, log = program.worker(url=broker.url.replace("guest:guest", "guest:wrong"))
    log.until("ACCESS_REFUSED")
    assert supervisor.wait(WITHIN_S) == 1


def test_a_url_that_is_none_ends_the_supervisor(program: Program) -> None:
    supervisor, _ = program.worker(url="nonsense")
    assert supervisor.wait(WITHIN_S) == 2


def test_a_programs_own_queue_py_harms_no_worker(program: Program, tmp_path: Path) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit('this is the program own')\n")
    command = "import sys; sys.path.pop(0); from leveret.worker import main; sys.exit(main('program.py'))"
    _, log = program.start("-c", command)
    log.until("worker ready")


NOTE = """
@work.task
def note(number: int) -> None:
    tell("note", number, os.getpid())
"""


def test_a_process_is_replaced_after_so_many_tasks_and_no_task_is_lost(make_program: MakeProgram) -> None:
    program = make_program(NOTE)
    note = program.work.task(name="note")(print)
    program.work.send_many([note.call(number) for number in range(10)])
    supervisor, log = program.worker(threads=1, max_tasks=4)
    told = [program.told.until("note").split() for _ in range(10)]
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    assert sorted(int(number) for _, number, _ in told) == list(range(10))
    runs = Counter(pid for _, _, pid in told)
    assert list(runs.values()) == [4, 4, 2]
    assert any("it has run 4 tasks" in line for line in log.to_the_end())


GREEDY = """
hoard = []

@work.task
def take(mib: int) -> None:
    hoard.append(b"x" * (mib * 1024 * 1024))
    tell("took", os.getpid())
"""


def test_a_process_that_holds_too_much_memory_is_replaced(make_program: MakeProgram) -> None:
    program = make_program(GREEDY)
    take = program.work.task(name="take")(print)
    supervisor, log = program.worker(threads=1, max_memory_mb=400)
    pids = []
    for _ in range(2):
        take.send(400)
        pids.append(program.told.until("took"))
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    assert pids[0] != pids[1]
    assert any("worker is replaced, for it holds" in line for line in log.to_the_end())
