"""Where a task is and why it has not run, told in one plain sentence from all that is known of it. Pure. Used by tasks/why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import unquote

from leveret.tasks.clues import due_at, home, lane_of, moment, number, span
from leveret.tasks.events import Beat, Running
from leveret.tasks.finding import Found, Search
from leveret.tasks.ladder import LANE, RUNG, UNDELIVERED
from leveret.tasks.lane import FAIR, RATE
from leveret.tasks.message import ATTEMPT, CANCELLABLE, ERROR, EXCEPTION, EXPIRES, LAST_FAILURE, REASON, TRACEBACK
from leveret.tasks.topology import DEAD

State = Literal[
    "waiting",
    "delayed",
    "retrying",
    "limited",
    "held",
    "running",
    "done",
    "parked",
    "expired",
    "cancelled",
    "stranded",
    "unknown",
]
ENDS: Final[dict[str, tuple[State, str]]] = {
    "succeeded": ("done", "It is done."),
    "cancelled": ("cancelled", "It was cancelled, or came too late to be begun."),
    "expired": ("expired", "It expired before it was begun."),
    "parked": ("parked", "It was parked, and is among the dead letters no more: somebody requeued or discarded it."),
}
"""What a history's last word means of a message that is in no queue."""

FINDERS: Final = 3
"""So many queues are named where nobody could look; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Why:
    """`since` and `until` are seconds since 1970, None where nobody knows. `facts`: what the sentence is made of, for programs."""

    state: State
    reason: str
    advice: str = ""
    since: float | None = None
    until: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a history has of the task: its last `state`, as events call it, and since when."""

    state: str
    at: float
    queue: str = ""
    task: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """`queue` is the one that it belongs to; so many messages of that are unacknowledged."""

    id: str
    now: float
    search: Search
    queue: str = ""
    beats: Sequence[Beat] = ()
    cancelled: bool = False
    held_in_queue: int | None = None
    paused: bool = False
    remembered: Remembered | None = None


def judge(known: Known) -> Why:
    run = running(known.id, known.beats)
    if run is not None:
        return _running(*run, known.now)
    if not known.search.found:
        return _unfound(known)
    found = known.search.found[0]
    if found.queue == UNDELIVERED:
        return _stranded(found)
    if found.queue.endswith(DEAD) and REASON in found.headers:
        return _parked(found)
    if known.cancelled:
        reason = f"It was cancelled. It is still {_where(found)}, and is dropped when a worker comes to it."
        return Why("cancelled", reason, facts=_facts(found))
    if found.held:
        return _held(found, known)
    if found.queue.startswith(RUNG):
        return _delayed(found, known.now)
    if found.queue.startswith(LANE):
        return _limited(found)
    return _expired(found, known.now) or _waiting(found, known)


def running(id: str, beats: Sequence[Beat]) -> tuple[Beat, Running] | None:
    """The worker that says that it runs it."""
    for beat in beats:
        for one in beat.running:
            if one.id == id:
                return beat, one
    return None


# ---- each of the places where it may be


def _running(beat: Beat, run: Running, now: float) -> Why:
    who = f"process {beat.pid} on {beat.host}"
    text = f"It runs in {who}{_attempt(run.attempt)}, for {span(now - run.since)}{_progress(run)}."
    facts = {"task": run.task, "queue": run.queue, "attempt": run.attempt, "worker": beat.worker}
    return Why("running", text, since=run.since, facts={**facts, "host": beat.host, "pid": beat.pid})


def _progress(run: Running) -> str:
    if run.done is None:
        return ""
    share = f"{run.done:g} of {run.total:g}" if run.total else f"{run.done:g}"
    return f", {share}{' ' + run.text if run.text else ''}"


def _stranded(found: Found) -> Why:
    name = unquote(found.routing_key.rpartition(".")[2])
    text = f'It came down from its delay, and its queue "{name}" is not there: it is kept in {UNDELIVERED}.'
    return Why("stranded", text, "Start a worker for that queue, and move it there.", facts=_facts(found))


def _parked(found: Found) -> Why:
    headers = found.headers
    error = ": ".join(str(headers[name]) for name in (EXCEPTION, ERROR) if headers.get(name))
    text = f"It was given up ({headers[REASON]})" + (f": {error}" if error else ".")
    queue = home(found)
    advice = f"leveret dead show {queue} ID tells more, leveret dead requeue {queue} ID runs it again."
    facts = {
        **_facts(found),
        "queue": queue,
        "why": headers[REASON],
        "exception": headers.get(EXCEPTION),
        "error": headers.get(ERROR),
    }
    return Why("parked", text, advice, since=moment(headers.get(LAST_FAILURE)), facts=facts)


def _held(found: Found, known: Known) -> Why:
    holder = found.holder
    name = holder.get("client") or holder.get("connection")
    text = f'It was delivered to "{name}" {span(found.held_s or 0)} ago and is not acknowledged, but no worker says that it runs it.'
    advice = "It waits for a slot there, or its consumer forgot it: closing that connection gives it to another one."
    return Why("held", text, advice, since=known.now - (found.held_s or 0), facts={**_facts(found), **holder})


def _delayed(found: Found, now: float) -> Why:
    due = due_at(found)
    facts = {**_facts(found), "queue": home(found), "due": due}
    when = "soon" if due is None or due <= now else f"in {span(due - now)}"
    attempts = number(found.headers.get(ATTEMPT))
    if attempts:
        error = ": ".join(str(found.headers[name]) for name in (EXCEPTION, ERROR) if found.headers.get(name))
        text = f"Attempt {attempts} failed ({error}); the next one is made {when}."
        facts |= {"exception": found.headers.get(EXCEPTION), "error": found.headers.get(ERROR)}
        return Why("retrying", text, since=moment(found.headers.get(LAST_FAILURE)), until=due, facts=facts)
    return Why("delayed", f"It was sent with a delay, and is due {when}.", since=found.sent, until=due, facts=facts)


def _limited(found: Found) -> Why:
    kind, name, key = lane_of(found)
    before = _behind(found.before)
    facts = {**_facts(found), "queue": home(found), "limit": kind, "name": name, "key": key}
    of = f' of "{name}"' if name else ""
    by = f' for "{key}"' if key else ""
    if kind == FAIR:
        text = f'It waits for the turn of its tenant "{key}"{before}: each tenant has one task in turn.'
        return Why("limited", text, "More workers would bring each turn sooner.", since=found.sent, facts=facts)
    if kind == RATE:
        text = f"It waits{before} because as many{of}{by} as its rate allows have begun lately."
        return Why("limited", text, "It begins by itself when there is room again.", since=found.sent, facts=facts)
    text = f"It waits{before} because as many{of}{by} run as its concurrency limit allows."
    return Why("limited", text, "It begins when one of those has ended.", since=found.sent, facts=facts)


def _expired(found: Found, now: float) -> Why | None:
    expires_ms = number(found.headers.get(EXPIRES))
    if not expires_ms or now * 1000 < expires_ms or REASON in found.headers:
        return None
    text = f"It expired {span(now - expires_ms / 1000)} ago; it is still {_where(found)}, and is dropped when a worker comes to it."
    return Why("expired", text, until=expires_ms / 1000, facts=_facts(found))


def _waiting(found: Found, known: Known) -> Why:
    because, text, advice = _because(found, known)
    lead = f'It waits in queue "{found.queue}"{_behind(found.before)}'
    attempts = number(found.headers.get(ATTEMPT))
    facts = {**_facts(found), "because": because, "consumers": found.consumers, **_slots(known)}
    if attempts:
        facts["attempt"] = attempts + 1
    return Why("waiting", f"{lead}{text}.", advice, since=found.sent, facts=facts)


def _because(found: Found, known: Known) -> tuple[str, str, str]:
    slots = _slots(known)
    workers, busy, there = slots["workers"], slots["busy"], slots["slots"]
    some = f"{workers} worker{'s' * (workers != 1)}"
    if known.paused:
        return "paused", ", which is paused", "Resume the queue."
    if workers and all(beat.state != "running" for beat in of_queue(known.beats, found.queue)):
        return "quiet", f", whose {some} take nothing new", "Start a worker, or let one of them resume."
    if found.consumers == 0 and not workers:
        return (
            "no-consumers",
            ", and nobody takes from that queue",
            f"Start a worker: leveret worker MODULE --queues {found.queue}",
        )
    if workers and busy >= there:
        return (
            "busy",
            f": all {there} slots of {some} are busy",
            "More workers, or more threads, would begin it sooner.",
        )
    if workers:
        return "next", f": {there - busy} of {there} slots of {some} are free, so it begins in a moment", ""
    count = found.consumers
    told = "whose consumers are no workers that say what they do" if count else "and who takes from it is not known"
    return "consumers", f", {told}", "leveret unacked shows who holds what of it."


def _slots(known: Known) -> dict[str, int]:
    queue = known.search.found[0].queue if known.search.found else known.queue
    there = list(of_queue(known.beats, queue))
    return {
        "workers": len(there),
        "slots": sum(beat.slots for beat in there),
        "busy": sum(min(beat.busy, beat.slots) for beat in there),
    }


def of_queue(beats: Sequence[Beat], queue: str) -> Iterator[Beat]:
    """Those of the workers that read it."""
    return (beat for beat in beats if queue in beat.queues)


def _unfound(known: Known) -> Why:
    last = known.remembered
    if last is not None and last.state in ENDS:
        state, text = ENDS[last.state]
        if state == "parked" and not known.search.looked:
            text = "It was given up, and is among the dead letters, unless somebody requeued or discarded it."
        return Why(state, text, since=last.at, facts={"task": last.task, "queue": last.queue})
    if known.cancelled:
        return Why("cancelled", "It was cancelled; its message is in no queue that could be looked into.")
    facts: dict[str, Any] = {"queue": known.queue} if known.queue else {}
    if last is not None and last.state in ("waiting", "running"):
        return _last_heard(last, known, facts)
    if not known.search.looked:
        return Why("unknown", "No worker runs it; whether it waits in a queue has to be looked for there.", facts=facts)
    if known.search.unseen or known.search.unseen_queues:
        facts |= {"unseen": known.search.unseen, "unseen_queues": list(known.search.unseen_queues)}
        return Why("unknown", f"It was not found; {_unseen(known.search)}.", _no_history(), facts=facts)
    if known.held_in_queue:
        held = f'{known.held_in_queue} message{"s" * (known.held_in_queue != 1)} of queue "{known.queue}"'
        text = f"It is ready in no queue; {held} are held unacknowledged, and it may be one of them."
        return Why("unknown", text, "leveret unacked shows who holds how many.", facts=facts)
    return Why("unknown", "It is in no queue, and no worker runs it.", _no_history(), facts=facts)


def _last_heard(last: Remembered, known: Known, facts: Mapping[str, Any]) -> Why:
    """Nobody says any more that it runs, and it was not found, or not looked for."""
    where = "" if known.search.looked else "; where it is now has to be looked for in the queues"
    if last.state == "running":
        text = f"It was begun {span(known.now - last.at)} ago, and nothing was heard of it since{where}."
        return Why("unknown", text, "Its worker may have died: then it is delivered again.", since=last.at, facts=facts)
    text = f"It failed or came back {span(known.now - last.at)} ago, and will be tried again{where}."
    return Why("retrying", text, since=last.at, facts=facts)


def _no_history() -> str:
    return "Either it is done, or it was never confirmed to its sender, or it is in another virtual host or broker."


def _unseen(search: Search) -> str:
    names = search.unseen_queues
    some = ", ".join(names[:FINDERS]) + (f" and {len(names) - FINDERS} more" if len(names) > FINDERS else "")
    parts = [f"{search.unseen} messages are on disk alone"] if search.unseen else []
    parts += [f"not all of {some} could be looked at"] if names else []
    return ", and ".join(parts)


def _facts(found: Found) -> dict[str, Any]:
    """What is not known, or does not hold, is None."""
    return {
        "task": found.task,
        "queue": found.queue,
        "before": found.before,
        "ready": found.ready,
        "sent": found.sent,
        "on_disk": found.on_disk,
        "cancellable": True if found.headers.get(CANCELLABLE) is True else None,
        "traceback": found.headers.get(TRACEBACK),
    }


def _where(found: Found) -> str:
    return f'in queue "{found.queue}"' if not found.held else f'in the hands of a consumer of "{found.queue}"'


def _behind(before: int | None) -> str:
    if not before:
        return "" if before is None else " as the first"
    return f" behind {before} other{'s' * (before != 1)}"


def _attempt(attempt: int) -> str:
    return f" (attempt {attempt})" if attempt > 1 else ""
