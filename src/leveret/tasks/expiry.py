"""Until when a task may be begun: what its sender says of it (`expires=`), and what becomes of one that comes too late.

The header x-leveret-expires says it, in ms since the epoch; the broker does not look at it. A message that was never begun is done
with, as a cancelled one is: its sender said that it is of no use any more. One that had begun, and failed, is parked with the
story of its failure. Made by workqueue, judged by the worker; their clocks have to agree.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from leveret.errors import TaskError
from leveret.tasks.message import Message
from leveret.tasks.outcome import EXPIRED, Cancelled, Failure, Parked

Expires = timedelta | datetime
"""Counted from when it is due; or the time itself."""

MS_MAX: Final = 2**63 - 1


def expires_of(value: float | timedelta | datetime | None) -> Expires | None:
    """TaskError if it makes no sense."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TaskError(f"expires={value.isoformat()} says no time zone: give it one, as in expires.astimezone()")
        return value
    if value is None:
        return None
    try:
        span = value if isinstance(value, timedelta) else timedelta(seconds=value)
    except OverflowError:
        raise TaskError(f"expires={value} is longer than any time: leave it out") from None
    if span <= timedelta():
        raise TaskError(f"expires={value} leaves no time")
    return span


def expires_ms(expires: Expires | None, due: datetime) -> int:
    """For the header, of a task that is due then; 0 if it does not expire. What is too late already is the worker's to say."""
    if expires is None:
        return 0
    try:
        until = expires if isinstance(expires, datetime) else due + expires
    except OverflowError:
        raise TaskError(f"expires={expires} is longer than any time: leave it out") from None
    return max(1, int(until.timestamp() * 1000))


def span_ms(expires: timedelta) -> int:
    """At least one."""
    return max(1, expires // timedelta(milliseconds=1))


def time_of(ms: int) -> datetime | None:
    """The other way round; None for 0."""
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None


def expired(message: Message, now: datetime) -> Cancelled | Parked | None:
    """What becomes of it, if it comes too late to be begun."""
    if not message.expires_ms or now.timestamp() * 1000 < message.expires_ms:
        return None
    if message.attempt == 1 and not message.crashes:
        return Cancelled(reason=EXPIRED)
    text = f"it expired before attempt {message.attempt} could begin"
    return Parked(EXPIRED, Failure("leveret.errors.TaskExpired", text, "", tried=False))
