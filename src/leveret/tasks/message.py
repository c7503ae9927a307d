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
    x-leveret-once            any text, another in each copy: of several with this message_id one is run (see worker/claims)
    x-leveret-workflow        the id of a workflow: the body says what comes next (see tasks/continuation)
    x-leveret-version         for which version of the task its arguments were made; without it the first (see tasks/versions)
    x-leveret-expires         until when it may be begun, in ms since the epoch (see tasks/expiry)
    x-leveret-concurrency-key, x-leveret-rate-key, x-leveret-fair-key     the key of a limit (see tasks/limits)
    x-leveret-lock, x-leveret-lock-ms    the lock that a unique task has (see tasks/locks)

And these stand on tickets, which call messages from lanes (see tasks/lane): x-leveret-ticket, x-leveret-slept-ms.

A plain message, which a consumer function takes, may be anything; failing, it gets the same headers. This module reads
and writes the envelope and sends nothing. Used by task, workqueue and the worker.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self

import msgspec
from msgspec.structs import replace

from leveret.client import BasicProperties, Delivery
from leveret.errors import CodecError
from leveret.tasks.ladder import LANE, WAIT, without_descent
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

ID_BYTES_MAX: Final = 200

DELIVERIES_MAX: Final = 100
"""So often a message may come back uncounted by us, mostly only given back, before it is held to take its workers with it."""

ONCE: Final = "x-leveret-once"
"""On messages that may have been sent twice under the same id: the second is dropped (worker/claims). Its value tells the
copies of one id apart."""

WORKFLOW: Final = "x-leveret-workflow"
"""On the messages of a workflow: its id, under which it is cancelled, and its result awaited."""

CANCELLABLE: Final = "x-leveret-cancellable"
"""On messages whose worker is to ask, before it begins, whether they were cancelled (tasks/cancelling)."""

EXPIRES: Final = "x-leveret-expires"
"""On messages that are not to be begun after that time (tasks/expiry)."""

VERSION: Final = "x-leveret-version"
"""On messages whose arguments are those of a later version of the task than its first (tasks/versions)."""

CONCURRENCY_KEY: Final = "x-leveret-concurrency-key"
RATE_KEY: Final = "x-leveret-rate-key"
FAIR_KEY: Final = "x-leveret-fair-key"
"""By which a task's limits tell messages apart (tasks/limits), and whose turn it is (tasks/lane)."""

LOCK: Final = "x-leveret-lock"
LOCK_MS: Final = "x-leveret-lock-ms"
"""The queue that a unique task's worker deletes when it has ended for good, and how long it is kept (tasks/locks)."""

TICKET: Final = "x-leveret-ticket"
"""On tickets: the lane from which a message is to be taken (tasks/lane)."""

SLEPT_MS: Final = "x-leveret-slept-ms"
"""On tickets that met a limit: how long they were delayed for it."""

NOT_REPEATED: Final = frozenset({"CC", "BCC", DELIVERY_COUNT, REASON, QUEUE})
"""Headers that act on the broker, or are its own: publishing them again would send copies elsewhere, or mislead."""


class Message(msgspec.Struct, frozen=True):
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
        headers = properties.headers
        if not headers:
            return cls(queue, delivery.body, properties, 1, delivery.redelivered, crashes=int(delivery.redelivered))
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
    def marks(self) -> tuple[str, ...]:
        """The ids under which it may have been cancelled."""
        own = self.id if self.headers.get(CANCELLABLE) is True else ""
        return tuple(id for id in (own, self.workflow) if _names_a_queue(id))

    @property
    def claim(self) -> str:
        """By which it finds out, before its first attempt, that it is the only one of its id; empty if it need not."""
        copy = self.headers.get(ONCE, "")
        return copy if self.attempt == 1 and isinstance(copy, str) and _names_a_queue(self.id) else ""

    @property
    def workflow(self) -> str:
        """The id of the workflow that it belongs to, or nothing."""
        id = self.headers.get(WORKFLOW, "")
        return id if isinstance(id, str) else ""

    @property
    def version(self) -> int:
        """Of its task, when it was sent."""
        return _count(self.headers, VERSION) or 1

    @property
    def expires_ms(self) -> int:
        """When it expires, in ms since the epoch; 0: never. One that was parked and sent back is wanted whenever it comes."""
        headers = self.headers
        return 0 if EXPIRES not in headers or REASON in headers else _count(headers, EXPIRES)

    @property
    def ticket(self) -> str:
        """The lane that it calls, if it is a ticket; else empty. No other queue is read because a message says so."""
        name = self.text(TICKET)
        return name if name.startswith(LANE) else ""

    def text(self, name: str) -> str:
        """A header as text; empty if it is not there, whatever else it is in words: programs of others set it."""
        value = self.headers.get(name, "")
        return value if isinstance(value, str) else str(value)

    @property
    def headers(self) -> Mapping[str, object]:
        return self.properties.headers or {}


def _names_a_queue(id: str) -> bool:
    """Ours do. What a stranger makes longer can be neither cancelled nor claimed."""
    return 0 < len(id.encode(errors="replace")) <= ID_BYTES_MAX


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


def new_id() -> str:
    """A random UUID, as uuid.uuid4 makes it at five times the cost."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def properties_of(
    task: str,
    app_id: str,
    *,
    id: str = "",
    reply_to: str | None = None,
    priority: int | None = None,
    cancellable: bool = False,
    once: bool = False,
    workflow: str = "",
    expires_ms: int = 0,
    version: int = 1,
    more: Mapping[str, object] = {},
) -> BasicProperties:
    """Of a new message for `task`, with a new id if none is given. An answer is for its `workflow`, if it belongs to one."""
    message_id = id or new_id()
    headers: dict[str, object] = {CANCELLABLE: True} if cancellable else {}
    if once:
        headers[ONCE] = new_id()
    if workflow:
        headers[WORKFLOW] = workflow
    if expires_ms:
        headers[EXPIRES] = expires_ms
    if version > 1:
        headers[VERSION] = version
    if more:
        headers |= more
    return BasicProperties(
        content_type="application/json",
        headers=headers or None,
        delivery_mode=PERSISTENT,
        priority=priority,
        correlation_id=(workflow or message_id) if reply_to else None,
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
    """For the next start of a message that came back without a word of how it fared, or whose own process died."""
    return replace(message.properties, headers=_kept(message) | {CRASHES: message.crashes}, user_id=None)


def properties_unchanged(message: Message) -> BasicProperties:
    """For another round of its delay, or a start that is not charged to it."""
    return replace(message.properties, headers=_kept(message), user_id=None)


def _kept(message: Message) -> dict[str, Any]:
    kept = {name: value for name, value in without_descent(message.headers).items() if name not in NOT_REPEATED}
    if EXPIRES in kept and not message.expires_ms:
        del kept[EXPIRES]
    return kept


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
