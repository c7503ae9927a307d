"""What a message that was found tells of itself by its headers and its place: whose it is, when it is due, what it waits for.

Pure. Used by tasks/judging.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from urllib.parse import unquote

from leveret.tasks.finding import Found
from leveret.tasks.ladder import LANE, RUNG, RUNGS, UNIT_MS, WAIT
from leveret.tasks.lane import CONCURRENCY, FAIR, RATE
from leveret.tasks.message import ATTEMPT, CONCURRENCY_KEY, FAIR_KEY, LAST_FAILURE, QUEUE, RATE_KEY
from leveret.tasks.topology import DEAD

KEYS: Final = {CONCURRENCY: CONCURRENCY_KEY, RATE: RATE_KEY, FAIR: FAIR_KEY}


def home(found: Found) -> str:
    """The queue that it belongs to, wherever it is just now; empty if nobody can tell."""
    if found.queue.startswith(RUNG):
        return unquote(found.routing_key.rpartition(".")[2])
    if found.queue.startswith(LANE):
        return unquote(found.queue.removeprefix(LANE).partition(".")[0]) if ".=" not in found.queue else ""
    if found.queue.endswith(DEAD):
        return str(found.headers.get(QUEUE) or found.queue.removesuffix(DEAD))
    return found.queue


def due_at(found: Found) -> float | None:
    """When one on the ladder is in its queue, to the second; None if it does not tell when it went there."""
    digits = found.routing_key.split(".")[:RUNGS]
    place = found.queue.removeprefix(RUNG)
    if len(digits) < RUNGS or not set(digits) <= {"0", "1"} or not place.isdigit():
        return None
    rest = int("".join(digits), 2) & ((2 << int(place)) - 1)
    began = _entered(found)
    return None if began is None else began + (rest * UNIT_MS + number(found.headers.get(WAIT))) / 1000


def _entered(found: Found) -> float | None:
    """When it came into the rung that it is in: it fell from another, or it failed, or it was sent."""
    deaths = found.headers.get("x-death")
    falls = [
        at
        for one in (deaths if isinstance(deaths, list) else [])
        if isinstance(one, dict) and str(one.get("queue", "")).startswith(RUNG)
        if (at := moment(one.get("time"))) is not None
    ]
    if falls:
        return max(falls)
    failed = moment(found.headers.get(LAST_FAILURE)) if ATTEMPT in found.headers else None
    return found.sent if failed is None else failed


def lane_of(found: Found) -> tuple[str, str, str]:
    """Which limit, of what name, for which key; a name that was too long for a queue's is not told."""
    words = [unquote(word) for word in found.queue.removeprefix(LANE).split(".")]
    key = next((str(found.headers[header]) for header in KEYS.values() if found.headers.get(header)), "")
    if len(words) == 3 and words[1] == FAIR:
        return FAIR, "", words[2]
    if len(words) == 4 and words[1] in KEYS:
        return words[1], words[2], words[3]
    return next((kind for kind, header in KEYS.items() if header in found.headers), CONCURRENCY), "", key


def moment(value: object) -> float | None:
    """A time of AMQP, or what an API makes of one."""
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def number(value: object) -> int:
    """A count that a stranger may have written: 0 if it is none."""
    return max(0, value) if isinstance(value, int) else 0


def span(seconds: float) -> str:
    """In words: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min, 4 d 3 h."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole // 60 % 60} min"
    return f"{whole // 86400} d {whole // 3600 % 24} h"
