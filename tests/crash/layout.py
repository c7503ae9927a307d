"""The queues of a run and who works at them, the same on every broker.

`work` has several workers, `ordered` one at a time (x-single-active-consumer: another waits to take over), and what is
sent to `delayed` expires there and becomes a dead letter in `late`. Declared by crash/driver.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pika.adapters.blocking_connection import BlockingChannel

TTL_MS: Final = 100
PREFETCH: Final = 10
SENT_TO: Final = ("work", "ordered", "delayed")
TAKEN_FROM: Final = ("work", "ordered", "late")
ENDS: Final = "ends"
END: Final = b"end"
"""The last message to each queue; who gets it tells the driver by a message to ENDS."""
LAST: Final = b"last"
"""As END, when there are no workers any more: the driver's own."""


class Place(NamedTuple):
    """One process of a run; when it is killed another takes its place."""

    name: str
    role: str
    client: str
    queue: str = ""


PLACES: Final = (
    Place("p0", "publish", "leveret"),
    Place("p1", "publish", "leveret"),
    Place("p2", "publish", "pika"),
    Place("w0", "work", "leveret", "work"),
    Place("w1", "work", "pika", "work"),
    Place("w2", "work", "leveret", "ordered"),
    Place("w3", "work", "pika", "ordered"),
    Place("w4", "work", "leveret", "late"),
)


def marks_of(worker: str) -> str:
    """The queue to which the process `worker` (place and number) sends its marks: nobody else does, nobody reads it."""
    return f"marks.{worker.partition('-')[0]}"


def declare(channel: BlockingChannel, queue_type: str) -> None:
    """Everything a run needs. A delivery limit far away: how often a message comes is for the checker to judge."""
    kind: dict[str, Any] = {"x-queue-type": queue_type}
    safe: dict[str, Any] = {}
    if queue_type == "quorum":
        kind["x-delivery-limit"] = 10_000
        safe = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    later = {"x-message-ttl": TTL_MS, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "late", **safe}
    for queue, extra in {
        "work": {},
        "ordered": {"x-single-active-consumer": True},
        "late": {},
        "delayed": later,
    }.items():
        channel.queue_declare(queue, durable=True, arguments={**kind, **extra})
    channel.queue_declare(ENDS, durable=True)
    for place in PLACES:
        if place.role == "work":
            channel.queue_declare(marks_of(place.name), durable=True, arguments={"x-max-length": 1})
