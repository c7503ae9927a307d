"""The envelope of a task: what stands in the AMQP message, for every language that can publish one.

    body            JSON in UTF-8: {"args": [...], "kwargs": {...}}; either may be left out
    type            the task's name
    message_id      any unique text (here a UUID); logs and Message.id repeat it
    content_type    application/json
    delivery_mode   2, persistent
    timestamp       when it was sent
    exchange        the default one (""), with the queue's name as routing key, published mandatory and confirmed

A message that failed carries these headers besides; nothing else about it is changed, its body never:

    x-leveret-attempt         how many attempts failed so far
    x-leveret-first-failure   when the first of them did, x-leveret-last-failure the last (timestamps)
    x-leveret-exception       the exception's type, x-leveret-error its text, x-leveret-traceback
    x-leveret-reason          parked ones only: unknown-task, arguments, properties, attempts or crashes; moved back to
                              its queue, such a message has all its attempts again
    x-leveret-queue           parked ones only: where it came from

    x-leveret-crashes         how often it came back from a worker that may have died of it (see worker/settle)

These its sender may set:

    priority                  0 and up, on queues that know priorities
    reply_to, correlation_id  where an answer is wanted, and the message's id (see tasks/replies)
    x-leveret-cancellable     true: its worker asks first whether it was cancelled (see tasks/cancelling)
    x-leveret-once            true: of several with this message_id one is run (see worker/claims)

A plain message, which a consumer function takes, may be anything; failing, it gets the same headers. This module reads
and writes the envelope and sends nothing. Used by task, workqueue and the worker.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Self

import msgspec

from leveret.client import BasicProperties, Delivery
from leveret.errors import CodecError
from leveret.tasks.ladder import WAIT, without_descent
from leveret.tasks.outcome import Failure

PERSISTENT: Final = 2
ATTEMPT: Final = "x-leveret-attempt"
FIRST_FAILURE: Final = "x-leveret-first-failure"
LAST_FAILURE: Final = "x-leveret-last-failure"
EXCEPTION: Final = "x-leveret-exception"
ERROR: Final = "x-leveret-error"
TRACEBACK: Final = "x-leveret-traceback"
REASON: Final = "x-leveret-reason"
QUEUE: Final = "x-leveret-queue"
CRASHES: Final = "x-leveret-crashes"
DELIVERY_COUNT: Final = "x-delivery-count"
"""Set by brokers on queues that count deliveries (quorum queues); some count also what was only given back."""

DELIVERIES_MAX: Final = 100
"""So often a message may come back uncounted by us, mostly only given back, before it is held to take its workers with it."""

ONCE: Final = "x-leveret-once"
"""On messages that may have been sent twice under the same id: the second is dropped (worker/claims)."""

CANCELLABLE: Final = "x-leveret-cancellable"
"""On messages whose worker is to ask, before it begins, whether they were cancelled (tasks/cancelling)."""

NOT_REPEATED: Final = frozenset({"CC", "BCC", DELIVERY_COUNT, REASON, QUEUE, ONCE})
"""Headers that act on the broker, or are its own: publishing them again would send copies elsewhere, or mislead. A message that
a worker had is not to claim its id once more: it would find its own claim, and be dropped."""


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of a message, as its task or consumer function sees it.

    `attempt` counts from 1. `redelivered`: it may have been begun before, so often as `crashes` says at most.
    `deliveries`: how often the queue says that it came back, if it counts. `readable` is false if the properties were no
    AMQP, and then left out. `wait_ms`: its delay is not over by so much (see tasks/ladder).
    """

    queue: str
    body: bytes
    properties: BasicProperties
    attempt: int
    redelivered: bool
    readable: bool = True
    deliveries: int = 0
    crashes: int = 0
    wait_ms: int = 0

    @classmethod
    def of(cls, queue: str, delivery: Delivery) -> Self:
        try:
            properties = delivery.properties
        except CodecError:
            return cls(queue, delivery.body, BasicProperties(), 1, delivery.redelivered, readable=False)
        headers = properties.headers or {}
        anew = REASON in headers
        attempt = 1 if anew else _count(headers, ATTEMPT) + 1
        crashes = (0 if anew else _count(headers, CRASHES)) + delivery.redelivered
        deliveries, wait_ms = _count(headers, DELIVERY_COUNT), _count(headers, WAIT)
        return cls(queue, delivery.body, properties, attempt, crashes > 0, True, deliveries, crashes, wait_ms)

    @property
    def id(self) -> str:
        return self.properties.message_id or ""

    @property
    def task(self) -> str:
        """The task's name; whatever its publisher set, or nothing, for a plain message."""
        return self.properties.type or ""

    @property
    def cancellable(self) -> bool:
        return self.headers.get(CANCELLABLE) is True

    @property
    def claimed(self) -> bool:
        """Whether its first start has to find out that it is the only one."""
        return self.attempt == 1 and not self.crashes and self.headers.get(ONCE) is True

    @property
    def headers(self) -> Mapping[str, object]:
        return self.properties.headers or {}


def _count(headers: Mapping[str, object], name: str) -> int:
    value = headers.get(name, 0)
    return max(0, value) if isinstance(value, int) else 0


# ---- the body


class Call(msgspec.Struct):
    """The body's two members, each value still JSON: its type is the task's affair."""

    args: list[msgspec.Raw] = []
    kwargs: dict[str, msgspec.Raw] = {}


_calls: Final = msgspec.json.Decoder(Call)


def read_call(body: bytes) -> Call:
    """msgspec.DecodeError if it is no such JSON."""
    return _calls.decode(body)


# ---- the properties


def properties_of(
    task: str,
    app_id: str,
    *,
    id: str = "",
    reply_to: str | None = None,
    priority: int | None = None,
    cancellable: bool = False,
    once: bool = False,
) -> BasicProperties:
    """Of a new message for `task`, with a new id if none is given."""
    message_id = id or str(uuid.uuid4())
    headers: dict[str, object] = {name: True for name, wanted in ((CANCELLABLE, cancellable), (ONCE, once)) if wanted}
    return BasicProperties(
        content_type="application/json",
        headers=headers or None,
        delivery_mode=PERSISTENT,
        priority=priority,
        correlation_id=message_id if reply_to else None,
        reply_to=reply_to,
        message_id=message_id,
        timestamp=datetime.now(UTC),
        type=task,
        app_id=app_id,
    )


def properties_failed(message: Message, failure: Failure, now: datetime) -> BasicProperties:
    """For the next attempt. One that was not even tried keeps what its last try left."""
    headers = _kept(message)
    headers.pop(CRASHES, None)  # its worker lives
    headers.setdefault(FIRST_FAILURE, now)
    headers |= {ATTEMPT: message.attempt if failure.tried else message.attempt - 1, LAST_FAILURE: now}
    if failure.tried or TRACEBACK not in headers:
        headers |= {EXCEPTION: failure.exception, ERROR: failure.text, TRACEBACK: failure.traceback}
    # The broker refuses a user_id other than the publisher's own, which is this worker now.
    return replace(message.properties, headers=headers, user_id=None)


def properties_crashed(message: Message) -> BasicProperties:
    """For the next start of a message that came back without a word of how it fared."""
    return replace(message.properties, headers=_kept(message) | {CRASHES: message.crashes}, user_id=None)


def properties_unchanged(message: Message) -> BasicProperties:
    """For another round of its delay, or a start that is not charged to it."""
    return replace(message.properties, headers=_kept(message), user_id=None)


def _kept(message: Message) -> dict[str, Any]:
    return {name: value for name, value in without_descent(message.headers).items() if name not in NOT_REPEATED}


def properties_parked(message: Message, failure: Failure, reason: str, now: datetime) -> BasicProperties:
    """For the dead-letter queue: kept over a restart of the broker, and no longer expiring."""
    properties = properties_failed(message, failure, now)
    assert properties.headers is not None
    properties.headers.update({REASON: reason, QUEUE: message.queue})
    return replace(properties, delivery_mode=PERSISTENT, expiration=None)


def without_story(properties: BasicProperties) -> BasicProperties:
    """Without the failure's texts, for a message whose own headers leave no room for them in a frame."""
    headers = {name: value for name, value in (properties.headers or {}).items() if name not in (ERROR, TRACEBACK)}
    return replace(properties, headers=headers)
