"""How the running of one message can end. Plain values: worker/executor makes them, worker/settle acts on them.

Done      the message is acknowledged
Failed    it goes back to its queue after a pause, with one more failed attempt in its headers
Crashed   likewise, with one more crash
Parked    it goes to its queue's dead-letter queue, with the reason in its headers
Cancelled the message is acknowledged; so it is if it came too late to be begun
"""

from __future__ import annotations

import traceback
from typing import Final, Self

import msgspec

TRACEBACK_CHARACTERS_MAX: Final = 8_000
"""The headers of a message have to fit into one AMQP frame; the end of a traceback says most."""

TEXT_CHARACTERS_MAX: Final = 500

UNKNOWN_TASK: Final = "unknown-task"
ARGUMENTS: Final = "arguments"
PROPERTIES: Final = "properties"
ATTEMPTS: Final = "attempts"
CRASHES: Final = "crashes"
REJECTED: Final = "rejected"
NOT_RETRIED: Final = "not-retried"
CANCELLED: Final = "cancelled"
EXPIRED: Final = "expired"
WORKFLOW: Final = "workflow"


class Failure(msgspec.Struct, frozen=True):
    """What went wrong, as text: `exception` is the type's name with its module, unless it is a built-in one.

    `tried` is false if it went wrong before the task began.
    """

    exception: str
    text: str
    traceback: str
    tried: bool = True

    @classmethod
    def of(cls, error: BaseException, skip: int = 0) -> Self:
        """From an exception; the `skip` outermost frames, the worker's own, are left out of the traceback."""
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        place = error.__traceback__
        for _ in range(skip):
            place = place.tb_next if place is not None else None
        lines = "".join(traceback.format_exception(kind, error, place))
        return cls(name, _encodable(_text(error)[:TEXT_CHARACTERS_MAX]), _encodable(lines[-TRACEBACK_CHARACTERS_MAX:]))


def _encodable(text: str) -> str:
    """Without lone surrogates, which no header can hold."""
    return text.encode("utf-8", "replace").decode()


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:
        return f"(its text cannot be had: {type(second).__name__})"


class Done(msgspec.Struct, frozen=True):
    value: object
    took_s: float


class Failed(msgspec.Struct, frozen=True):
    """It raised, and has attempts left."""

    failure: Failure
    took_s: float
    delay_s: float = 0.0
    """Until it is tried again."""


class Crashed(Failed, frozen=True):
    """The process that ran it alone died under it."""


class Parked(msgspec.Struct, frozen=True):
    """It is not tried again. `reason` is one of this module's constants, and goes into a header."""

    reason: str
    failure: Failure
    took_s: float = 0.0


class Cancelled(msgspec.Struct, frozen=True):
    """It did not run, or not to its end, because somebody cancelled it; or it was not begun because it had `expired`."""

    took_s: float = 0.0
    reason: str = CANCELLED


Outcome = Done | Failed | Parked | Cancelled
