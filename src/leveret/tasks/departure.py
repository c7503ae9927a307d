"""From the steps of a workflow to the messages to send: what begins next, with which value. Pure: nothing is sent here.

Used by workqueue for what a workflow begins with, by worker/following for what comes then, and by the testing harness.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import ceil
from typing import Final, Self

import msgspec
from msgspec.structs import replace

from leveret.client import BasicProperties
from leveret.errors import TaskError
from leveret.tasks.continuation import Body, Join, Plan, Result, Send, Spread, Step, group_queue, listed
from leveret.tasks.expiry import MS_MAX
from leveret.tasks.message import ONCE, PERSISTENT, Message, new_id, properties_of
from leveret.tasks.outbox import Parcel

BODY_BYTES_MAX: Final = 15 * 1024 * 1024
"""Of a message of a workflow, and of all results of a group together: RabbitMQ 4 takes no message above 16 MiB."""

NOTHING: Final = msgspec.Raw(b"null")
"""The value that a workflow begins with."""

PLAN: Final = "leveret.plan"
MEMBER: Final = "leveret.member"


class Flow(msgspec.Struct, frozen=True):
    """What all messages of a workflow have in common: its id, and who asks for its result."""

    id: str
    app_id: str
    reply_to: str | None

    @classmethod
    def of(cls, message: Message) -> Self:
        properties = message.properties
        return cls(message.workflow, properties.app_id or "", properties.reply_to)


class Departure(msgspec.Struct):
    """`plans` have to be in their queues before the first of `parcels` is sent: nobody would miss them else."""

    plans: list[Parcel] = msgspec.field(default_factory=list)
    parcels: list[Parcel] = msgspec.field(default_factory=list)


def settled(steps: Sequence[Step], value: msgspec.Raw) -> tuple[list[Step], msgspec.Raw]:
    """Without the groups in front that have nothing to wait for, which are complete before they begin."""
    left = list(steps)
    while left and isinstance(group := left[0], Spread):
        begun = [settled(member, value) for member in group.members]
        if any(steps for steps, _ in begun):
            break
        left, value = left[1:], listed([result for _, result in begun])
    return left, value


def depart(flow: Flow, steps: Sequence[Step], value: msgspec.Raw, *, once: bool, now: datetime) -> Departure:
    """What the first step, a Send or a Spread that is not settled, has to have sent. TaskError if it is too large.

    `once`: of a single task, if it is sent more than once, one is run. Members of a group are counted once in any case.
    `now`: from when on delays and expiry count.
    """
    made = Departure()
    _depart(made, flow, steps, value, once, now)
    return made


def _depart(made: Departure, flow: Flow, steps: Sequence[Step], value: msgspec.Raw, once: bool, now: datetime) -> None:
    step, rest = steps[0], list(steps[1:])
    if isinstance(step, Send):
        made.parcels.append(_task(flow, step, rest, value, once, now))
        return
    assert isinstance(step, Spread)
    begun = [settled(member, value) for member in step.members]
    known = {index: result for index, (left, result) in enumerate(begun) if not left}
    made.plans.append(_in_group(step.id, PLAN, Plan(len(begun), known, rest)))
    for index, (left, result) in enumerate(begun):
        if left:
            join = Join(step.id, index, len(begun) - len(known))
            _depart(made, flow, [*left, join], result, False, now)


def _task(flow: Flow, step: Send, rest: list[Step], value: msgspec.Raw, once: bool, now: datetime) -> Parcel:
    args = [value, *step.args] if step.fed else step.args
    body = _small_enough(msgspec.json.encode(Body(args, step.kwargs, rest)), f"task {step.task!r}")
    properties = properties_of(
        step.task,
        flow.app_id,
        id=step.id,
        reply_to=flow.reply_to,
        priority=step.priority,
        cancellable=step.cancellable,
        once=once,
        workflow=flow.id,
        expires_ms=_expires_ms(step, now),
        version=step.version,
    )
    return Parcel(step.queue, body, properties, _delay_ms(step, now))


def _delay_ms(step: Send, now: datetime) -> int:
    if step.due is None:
        return step.delay_ms
    return max(0, ceil((step.due - now).total_seconds() * 1000))


def _expires_ms(step: Send, now: datetime) -> int:
    """0 if it does not expire. The numbers are the message's, as large as they please."""
    if step.expires is not None:
        return max(1, int(step.expires.timestamp() * 1000))
    if not step.expires_ms:
        return 0
    return max(1, min(int(now.timestamp() * 1000) + _delay_ms(step, now) + step.expires_ms, MS_MAX))


def result(join: Join, value: msgspec.Raw) -> Parcel:
    """For its group's queue. TaskError if it is too large."""
    return _in_group(join.group, MEMBER, Result(join.index, value))


def _in_group(group: str, kind: str, content: Plan | Result) -> Parcel:
    body = _small_enough(msgspec.json.encode(content), f"group {group}")
    properties = BasicProperties(
        content_type="application/json", delivery_mode=PERSISTENT, message_id=new_id(), type=kind
    )
    return Parcel(group_queue(group), body, properties)


def _small_enough(body: bytes, what: str) -> bytes:
    if len(body) > BODY_BYTES_MAX:
        raise TaskError(
            f"a workflow's message for {what} takes {len(body)} octets, {BODY_BYTES_MAX} at most: have its tasks return "
            "where they put their results, rather than the results"
        )
    return body


def sent_anew(parcel: Parcel) -> Parcel:
    """For sending it once more, when it is not known whether it arrived: another copy of it, which says so."""
    headers = parcel.properties.headers or {}
    if ONCE not in headers:
        return parcel
    return replace(parcel, properties=replace(parcel.properties, headers={**headers, ONCE: new_id()}))
