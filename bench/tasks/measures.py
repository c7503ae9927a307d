"""The measures: each is one session of one contestant, and returns its figures by metric (results tells what they are).

A task is done when its worker said so through the pipe. RoundFailed: tasks are missing, or something ended too soon.
Called by `bench.tasks.run`.
"""

from collections.abc import Callable
from statistics import median
from threading import Thread
from time import monotonic

from bench import RoundFailed
from bench.tasks.peers import SLOTS, Contestant
from bench.tasks.processes import settle
from bench.tasks.results import Figures
from bench.tasks.session import Place, Session

DRAIN_S = 180.0
WAIT_S = 30.0
SETTLE_S = 1.0
ONE_BY_ONE, WARM = 200, 20
SLEEPS, SLEEP_MS = 1_000, 100
KILL_TASKS, KILL_MS, KILL_PROCESSES = 200, 50, 2
KILL_WAIT_S = 90.0
"""Longer than any peer's timeout in its reliable configuration."""
LOOK_S, TRICKLE_S = 0.2, 2.0


def wait(session: Session, numbers: range, timeout_s: float) -> None:
    if not session.effects.wait_done(numbers, timeout_s):
        done = session.effects.among(numbers)
        raise RoundFailed(
            f"{done:,} of {len(numbers):,} tasks were done within {timeout_s:.0f} s; the worker said: {session.worker_said()}"
        )


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def throughput(contestant: Contestant, place: Place, tasks: int) -> Figures:
    """No-op tasks: sent one at a time, then a worker that starts on the full queue. A second time with `send_many`."""
    count = min(tasks, contestant.peer.tasks_max)
    with Session(contestant, place) as session:
        figures = {"enqueue": count / session.client.ask("send", 0, count, 0)["took_s"]}
        figures |= drain(session, range(count))
        session.stop_workers()
        many = session.client.ask("many", count, count)
        if "missing" not in many:
            figures["many"] = count / many["took_s"]
            drain(session, range(count, 2 * count))
    return figures


def drain(session: Session, numbers: range) -> Figures:
    began = session.start_workers().began
    wait(session, numbers, DRAIN_S)
    done = session.effects.of(numbers)
    first, last = done[0].at, done[-1].at
    return {"drain": (len(numbers) - 1) / (last - first), "drain-start": len(numbers) / (last - began)}


def running(contestant: Contestant, place: Place, tasks: int) -> Figures:
    """One worker: from its start to its first task, one task at a time, sleeping tasks on all slots, memory afterwards."""
    with Session(contestant, place) as session:
        session.client.ask("one", 0)
        worker = session.start_workers()
        wait(session, range(1), WAIT_S)
        figures = {"start": session.effects.done[0].at - worker.began}
        settle(SETTLE_S)
        figures |= effects(session, 1)
        figures |= sleeps(session, 1 + WARM + ONE_BY_ONE)
        settle(SETTLE_S)
        return figures | {"memory": sum(worker.memory_mb() for worker in session.workers)}


def effects(session: Session, first: int) -> Figures:
    """From before the send to the task's effect, the next one sent when that is seen."""
    took_ms = []
    for number in range(first, first + WARM + ONE_BY_ONE):
        began = session.client.ask("one", number)["began"]
        wait(session, range(number, number + 1), WAIT_S)
        took_ms.append((session.effects.done[-1].at - began) * 1e3)
    return {"effect-p50": median(took_ms[WARM:]), "effect-p99": p99(took_ms[WARM:])}


def sleeps(session: Session, first: int) -> Figures:
    """From the first one's begin to the last one's end; 100 % is no time between two tasks on any slot."""
    numbers = range(first, first + SLEEPS)
    session.client.ask("send", first, SLEEPS, SLEEP_MS)
    wait(session, numbers, DRAIN_S)
    took_s = session.effects.of(numbers)[-1].at - session.effects.begun(numbers)[0].at
    return {"sleep": 100 * (SLEEPS * SLEEP_MS / 1e3 / SLOTS) / took_s}


def results(contestant: Contestant, place: Place, tasks: int) -> Figures:
    """From before the send until the sender has the task's value, one at a time. Nothing for a peer without results."""
    with Session(contestant, place, results=True) as session:
        session.client.ask("one", 0)
        session.start_workers()
        wait(session, range(1), WAIT_S)
        settle(SETTLE_S)
        answer = session.client.ask("results", 1, WARM + ONE_BY_ONE)
    if "missing" in answer:
        return {}
    took_ms = [took_s * 1e3 for took_s in answer["took_s"][WARM:]]
    return {"result-p50": median(took_ms), "result-p99": p99(took_ms)}


def kill(contestant: Contestant, place: Place, tasks: int) -> Figures:
    """One process that runs tasks is killed -9 half way, in the middle of a task; what ends altogether is started again.

    How many slots die with it is the peer's design: one of ten (Celery, RQ) or five of ten.
    """
    with Session(contestant, place, processes=KILL_PROCESSES) as session:
        warm, numbers = range(2 * SLOTS), range(2 * SLOTS, 2 * SLOTS + KILL_TASKS)
        session.client.ask("send", warm[0], len(warm), KILL_MS)
        session.start_workers()
        wait(session, warm, WAIT_S)
        settle(SETTLE_S)
        # Not waited for: where sending is slow, half of them are done before all are sent.
        sending = Thread(target=session.client.ask, args=("send", numbers[0], len(numbers), KILL_MS))
        sending.start()
        if not session.effects.wait_count(KILL_TASKS // 2, numbers, WAIT_S):
            raise RoundFailed("half of the tasks of the kill test were not done in time")
        killed = kill_one(session, numbers)
        sending.join()
        complete = wait_replacing(session, numbers)
        settle(SETTLE_S)
        return losses(session, numbers, complete, killed)


def kill_one(session: Session, numbers: range) -> int:
    """The process that began a task last, and has not ended it. Where all slots end together, the next begin is awaited."""
    deadline = monotonic() + WAIT_S
    while monotonic() < deadline:
        under_way = [effect for effect in session.effects.begun(numbers) if effect.number not in session.effects.times]
        if under_way:
            session.kill_member(under_way[-1].pid)
            return under_way[-1].pid
    raise RoundFailed("no task was under way when a worker was to be killed")


def wait_replacing(session: Session, numbers: range) -> bool:
    """Meanwhile a task now and then, as in life: some brokers give back what a dead worker held only when there is traffic."""
    began, trickled = monotonic(), 0
    while monotonic() - began < KILL_WAIT_S:
        if session.effects.wait_done(numbers, LOOK_S):
            return True
        session.replace_ended_workers()
        if monotonic() - began > trickled * TRICKLE_S:
            session.client.ask("one", numbers[-1] + 1 + trickled)
            trickled += 1
    return False


def losses(session: Session, numbers: range, complete: bool, killed: int) -> Figures:
    """A task that was running when its process was killed is done again. One that had ended, and another had begun in its slot, is not to be."""
    done = session.effects.of(numbers)
    distinct = len({effect.number for effect in done})
    begun = [effect.number for effect in session.effects.begun(numbers) if effect.pid == killed]
    running = begun[-SLOTS // KILL_PROCESSES :]
    ended = [number for number in numbers if session.effects.times[number] > 1 and number not in running]
    figures: Figures = {
        "kill-lost": len(numbers) - distinct,
        "kill-again": len(done) - distinct,
        "kill-ended": len(ended),
    }
    if complete:
        ideal_s = KILL_TASKS * KILL_MS / 1e3 / SLOTS
        took_s = max(first_done(session, numbers)) - session.effects.begun(numbers)[0].at
        figures["kill-beyond"] = took_s - ideal_s
    return figures


def first_done(session: Session, numbers: range) -> list[float]:
    """When each was done for the first time."""
    return list({effect.number: effect.at for effect in reversed(session.effects.of(numbers))}.values())


Measure = Callable[[Contestant, Place, int], Figures]
MEASURES: dict[str, Measure] = {"throughput": throughput, "running": running, "results": results, "kill": kill}
