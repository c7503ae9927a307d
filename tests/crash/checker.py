"""Compares what the processes of a run wrote down with what is promised. A pure function of the lines.

    publisher   opening LINK · opened LINK · sent ID QUEUE · confirmed ID · refused ID · lost LINK WHY
    worker      opening LINK · opened LINK · got LINK ID QUEUE REDELIVERED COUNT · start LINK ID · done LINK ID ·
                ack LINK ID · marking LINK · marked LINK · lost LINK WHY
    driver      kill NAME · stop NAME · start broker · ready broker · left QUEUE COUNT

A link is one connection. `sent` is written before the message is handed to the client, `confirmed` after its confirm,
`ack` after the acknowledgement was handed to the client, `kill` before the signal is sent. A message is sent once.

When a message may come again. AMQP does not answer an acknowledgement, so whoever sent one does not know its fate. The
rule here, for each delivery of a message and the next one of the same message:

1. The next may come only after the earlier one's link had ended: its worker was killed, or the broker was, or the worker
   saw the connection end. A message that comes again while its holder lives is unexplained, acknowledged or not.
2. If the earlier one was acknowledged and a mark covers it, none may follow. A mark is a persistent message that the
   worker publishes on the same channel to a queue of its own which nobody reads. Its confirm (`marked`) says that the
   broker has handled all that came before on the channel, and Leveret that a commit holds both: confirms come after the
   commit, and what was acknowledged is removed in that commit or an earlier one.
3. If the earlier one was acknowledged and no mark covers it, its fate is unknown, and with its link's end the next is
   explained.
4. RabbitMQ does not promise that a mark's confirm makes earlier acknowledgements last. There (`marks_last` False) a
   message with a mark may come again only if the broker was killed meanwhile.

Where this is lenient: the time of a delivery is when the worker wrote it down, a moment after the broker decided on it;
if the earlier holder is killed in that moment, a wrong delivery passes for an explained one. A connection whose opening
was under way when the broker was killed, and that reached the next one all the same, counts as ended by that kill.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from crash.records import Line

NEVER = 1 << 63
BROKER = "broker"


@dataclass
class Delivery:
    """One delivery of a message to a worker."""

    at_ns: int
    who: str
    link: str
    message: str
    queue: str
    redelivered: bool
    count: int
    done: bool = False
    marked: bool = False


@dataclass
class Verdict:
    """The lists are what must be empty; each entry says in words what was seen."""

    sent: int = 0
    confirmed: int = 0
    refused: int = 0
    done: int = 0
    repeated: int = 0
    certain: int = 0
    lost_of: dict[str, int] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=dict)
    recovery_slowest_s: float = 0.0
    lost: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    fallen: list[str] = field(default_factory=list)
    unflagged: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Every promise that did not hold."""
        lists = ("lost", "invented", "unexplained", "disordered", "fallen", "unflagged", "cut", "left")
        return [f"{name}: {what}" for name in lists for what in getattr(self, name)]


class Ends:
    """When each link could have ended: by a kill of its process or of the broker, or as its process saw it."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.broker_kills: list[int] = []
        self._killed: dict[str, int] = {}
        self._opening: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        for line in lines:
            if line.kind in ("kill", "stop"):
                self._kill(line.fields[0], line.at_ns)
            elif line.kind == "opening":
                self._opening[line.fields[0]] = line.at_ns
            elif line.kind == "lost":
                self._lost[line.fields[0]] = line.at_ns

    def _kill(self, name: str, at_ns: int) -> None:
        if name == BROKER:
            self.broker_kills.append(at_ns)
        else:
            self._killed[name] = at_ns

    def of(self, link: str) -> int:
        who = link.rpartition("-")[0]
        return min(self.with_broker(link), self._killed.get(who, NEVER), self._lost.get(link, NEVER))

    def with_broker(self, link: str) -> int:
        """When its broker was killed. What came on the link before may be written down after that."""
        index = bisect_left(self.broker_kills, self._opening[link])
        return self.broker_kills[index] if index < len(self.broker_kills) else NEVER


def check(lines: list[Line], *, ordered: str = "ordered", marks_last: bool = True) -> Verdict:
    """`lines` by time. `ordered` is the queue that has one consumer at a time."""
    verdict = Verdict()
    ends = Ends(lines)
    deliveries = _deliveries(lines, verdict)
    by_message: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        by_message[delivery.message].append(delivery)
    _check_messages(lines, by_message, verdict)
    for history in by_message.values():
        _check_history(history, ends, marks_last, verdict)
    _check_order([d for d in deliveries if d.queue == ordered], verdict)
    _check_links(lines, ends, verdict)
    _count_kills(lines, verdict)
    verdict.recovery_slowest_s = _recovery_slowest_s(lines)
    verdict.left = [" ".join(line.fields) for line in lines if line.kind == "left"]
    return verdict


def _deliveries(lines: Iterable[Line], verdict: Verdict) -> list[Delivery]:
    """With what became of each; only the last delivery of a message on a link can have been done on it."""
    found: list[Delivery] = []
    latest: dict[tuple[str, str], Delivery] = {}
    acked: dict[str, list[Delivery]] = defaultdict(list)
    covered: dict[str, list[Delivery]] = {}
    for at_ns, who, kind, fields in lines:
        if kind == "got":
            link, message, queue, redelivered, count = fields
            delivery = Delivery(at_ns, who, link, message, queue, redelivered == "1", int(count))
            found.append(delivery)
            latest[link, message] = delivery
        elif kind == "done":
            latest[fields[0], fields[1]].done = True
        elif kind == "ack":
            acked[fields[0]].append(latest[fields[0], fields[1]])
        elif kind == "marking":
            covered[fields[0]] = acked.pop(fields[0], [])
        elif kind == "marked":
            for delivery in covered.pop(fields[0]):
                delivery.marked = True
                verdict.certain += 1
    return found


def _check_messages(lines: Iterable[Line], by_message: dict[str, list[Delivery]], verdict: Verdict) -> None:
    sent: dict[str, str] = {}
    confirmed: set[str] = set()
    for line in lines:
        if line.kind == "sent":
            sent[line.fields[0]] = line.fields[1]
        elif line.kind == "confirmed":
            confirmed.add(line.fields[0])
        elif line.kind == "refused":
            verdict.refused += 1
    times = {message: sum(d.done for d in history) for message, history in by_message.items()}
    done = {message for message, number in times.items() if number}
    verdict.sent, verdict.confirmed, verdict.done = len(sent), len(confirmed), len(done)
    verdict.repeated = sum(times.values()) - len(done)
    for message in sorted(confirmed - done):
        verdict.lost.append(f"{message} was confirmed and never done")
        verdict.lost_of[sent[message]] = verdict.lost_of.get(sent[message], 0) + 1
    verdict.invented = [f"{message} arrived and was never sent" for message in sorted(by_message.keys() - sent.keys())]


def _check_history(history: list[Delivery], ends: Ends, marks_last: bool, verdict: Verdict) -> None:
    """All deliveries of one message, by time."""
    for earlier, later in itertools.pairwise(history):
        what = f"{later.message} on {later.link} after {earlier.link}"
        if ends.of(earlier.link) > later.at_ns:
            verdict.unexplained.append(f"{what}, which held it still")
        elif earlier.marked and (marks_last or ends.with_broker(earlier.link) > later.at_ns):
            verdict.unexplained.append(f"{what}, whose acknowledgement had lasted")
        if later.count < earlier.count and earlier.queue == later.queue:
            verdict.fallen.append(f"{what}: delivery count {later.count} after {earlier.count}")
        if not later.redelivered and ends.with_broker(earlier.link) > later.at_ns:
            verdict.unflagged.append(f"{what}, not marked redelivered")


def _check_order(deliveries: Iterable[Delivery], verdict: Verdict) -> None:
    """What one publisher sent on one connection arrives for the first time in the order in which it was sent."""
    seen: set[str] = set()
    last: dict[str, int] = {}
    for delivery in deliveries:
        stream, colon, number = delivery.message.rpartition(":")
        if delivery.message in seen or not colon:
            continue
        seen.add(delivery.message)
        if int(number) < last.get(stream, 0):
            verdict.disordered.append(f"{delivery.message} arrived first after {stream}:{last[stream]}")
        last[stream] = max(int(number), last.get(stream, 0))


def _check_links(lines: Iterable[Line], ends: Ends, verdict: Verdict) -> None:
    """A connection that was open ends only with the broker (its process, if killed, writes nothing)."""
    opened: set[str] = set()
    for line in lines:
        if line.kind == "opened":
            opened.add(line.fields[0])
        elif line.kind == "lost":
            link = line.fields[0]
            if link in opened and ends.with_broker(link) > line.at_ns:
                verdict.cut.append(f"{link} ended though nobody was killed: {' '.join(line.fields[1:])}")


def _count_kills(lines: Iterable[Line], verdict: Verdict) -> None:
    roles = {"b": "broker", "w": "worker", "p": "publisher"}
    verdict.kills = dict.fromkeys(roles.values(), 0)
    for line in lines:
        if line.kind == "kill":
            verdict.kills[roles[line.fields[0][0]]] += 1


def _recovery_slowest_s(lines: Iterable[Line]) -> float:
    """From a start of the broker to the first confirm or delivery after it, the longest of the run."""
    slowest_ns, started_ns = 0, NEVER
    for line in lines:
        if line.kind == "start" and line.fields[0] == BROKER:
            started_ns = line.at_ns
        elif line.kind == "kill" and line.fields[0] == BROKER:
            started_ns = NEVER
        elif line.kind in ("confirmed", "got") and started_ns != NEVER:
            slowest_ns = max(slowest_ns, line.at_ns - started_ns)
            started_ns = NEVER
    return slowest_ns / 1e9
