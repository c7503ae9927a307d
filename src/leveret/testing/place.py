"""Where a test's messages are: what the harness asks of a broker, whichever it is.

Two kinds: embedded, in this process and on virtual time, and foreign, one that runs already and lives by the real clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from leveret.client import BasicProperties
from leveret.tasks.ladder import RUNGS, UNIT_MS, WAIT, rung
from leveret.tasks.message import TICKET
from leveret.tasks.topology import dead_queue

RUNG_NAMES: Final = tuple(rung(number) for number in range(RUNGS))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that nobody works on: ready in `queue`, or there in `due_in_ms`."""

    queue: str
    body: bytes
    properties: BasicProperties
    due_in_ms: int = 0


class Place(ABC):
    """Called by the test's thread. `queues` are always those that the program reads."""

    url: str

    @abstractmethod
    def now_ms(self) -> int:
        """The broker's time, in ms since the epoch."""

    @abstractmethod
    def empty(self, queues: Sequence[str]) -> None:
        """Nothing is left in them, in their dead letters, nor on the way to them."""

    @abstractmethod
    def busy(self, queues: Sequence[str]) -> bool:
        """Whether any message is ready, or being worked on as far as the broker tells."""

    @abstractmethod
    def idle(self, queues: Sequence[str], working: Callable[[], bool]) -> Future[None]:
        """Done once nothing is ready and nothing is worked on. `working` is what the worker itself says of that."""

    @abstractmethod
    def regain(self, queues: Sequence[str]) -> None:
        """A worker was killed: returns when the broker counts what it had among what is there."""

    @abstractmethod
    def reach(self, until_ms: int) -> None:
        """SkipTest if nobody would wait so long."""

    @abstractmethod
    def advance(self, until_ms: int, queues: Sequence[str]) -> bool:
        """Let time pass until then, or until something becomes ready: True. SkipTest as `reach`."""

    @abstractmethod
    def waiting(self, queues: Sequence[str]) -> list[Waiting]:
        """Those that are ready, by queue and in their order; then those to come, the next first."""

    @abstractmethod
    def close(self) -> None: ...


def due(number: int, routing_key: str, expires_in_ms: int, wait_ms: int) -> tuple[str, int]:
    """Of a message on rung `number`: which queue it is for, and in how many ms it is there (see tasks/ladder)."""
    *digits, word = routing_key.split(".")
    below = digits[RUNGS - number :]
    rest_ms = sum(UNIT_MS << (number - 1 - place) for place, digit in enumerate(below) if digit == "1")
    return unquote(word), expires_in_ms + rest_ms + wait_ms


def wait_ms(properties: BasicProperties) -> int:
    """What is left of a delay longer than the ladder."""
    left = (properties.headers or {}).get(WAIT, 0)
    return left if isinstance(left, int) else 0


def is_ticket(properties: BasicProperties) -> bool:
    """No task, but a call to one that is in a lane."""
    return TICKET in (properties.headers or {})


def lanes_of(messages: Iterable[Waiting]) -> dict[str, str]:
    """Those that are called by the tickets among them, and the queue that each belongs to."""
    return {str((one.properties.headers or {})[TICKET]): one.queue for one in messages if is_ticket(one.properties)}


def with_dead(queues: Sequence[str]) -> list[str]:
    return [name for queue in queues for name in (queue, dead_queue(queue))]
