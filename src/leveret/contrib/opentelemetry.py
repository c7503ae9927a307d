"""Traces across the queue, by OpenTelemetry: whoever sends a task, and each attempt to run it, are spans of one trace.

    work = WorkQueue(middleware=[OpenTelemetry()])

The names follow the semantic conventions for messaging: `create QUEUE` (producer) when a task is sent, whose context goes along in
the message's headers as the global propagator writes it (traceparent, tracestate, baggage), and `process QUEUE` (consumer)
around each attempt, which is a child of it and linked to it. `parent=False`: it begins a trace of its own and is only
linked, for tasks that run long after they were sent. Imports opentelemetry-api alone; whether anything is recorded is the
program's SDK's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider

from leveret import __version__
from leveret.tasks import Done, Failed, Message, Middleware, Outcome, Outgoing, Parked

SYSTEM: Final = "rabbitmq"
"""What the conventions call a broker that speaks AMQP 0-9-1."""


@dataclass(frozen=True, slots=True)
class _Open:
    span: Span
    token: Token[Any]


_open: ContextVar[tuple[_Open, ...]] = ContextVar("leveret-spans", default=())
"""Of the task in this thread or asyncio task, the innermost last."""


class OpenTelemetry(Middleware):
    """`tracer_provider`: by default the global one."""

    def __init__(self, tracer_provider: TracerProvider | None = None, *, parent: bool = True) -> None:
        self._tracer = trace.get_tracer("leveret", __version__, tracer_provider)
        self._parent = parent

    def send(self, outgoing: Outgoing) -> None:
        before = None if outgoing.after is None else propagate.extract(_texts(outgoing.after.headers))
        span = self._tracer.start_span(
            f"create {outgoing.queue}",
            context=before,
            kind=SpanKind.PRODUCER,
            attributes=_attributes("create", outgoing.queue, outgoing.task, outgoing.id)
            | ({"leveret.delay_s": outgoing.delay_ms / 1000} if outgoing.delay_ms else {}),
        )
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span, before))
        outgoing.headers.update(carrier)
        span.end()

    def before(self, message: Message) -> None:
        sent = propagate.extract(_texts(message.headers))
        sender = trace.get_current_span(sent).get_span_context()
        span = self._tracer.start_span(
            f"process {message.queue}",
            context=sent if self._parent else contexts.Context(),
            kind=SpanKind.CONSUMER,
            links=[Link(sender)] if sender.is_valid else [],
            attributes=_attributes("process", message.queue, message.task, message.id)
            | {"leveret.attempt": message.attempt, "messaging.message.body.size": len(message.body)},
        )
        token = contexts.attach(trace.set_span_in_context(span, sent))  # with the sender's baggage
        _open.set((*_open.get(), _Open(span, token)))

    def raised(self, message: Message, error: BaseException, outcome: Outcome) -> None:
        span = _open.get()[-1].span
        span.record_exception(error)
        if isinstance(outcome, Failed | Parked):
            span.set_attribute("error.type", outcome.failure.exception)
            span.set_status(Status(StatusCode.ERROR, outcome.failure.text))

    def after(self, message: Message, outcome: Outcome) -> None:
        *outer, innermost = _open.get()
        _open.set(tuple(outer))
        contexts.detach(innermost.token)
        span = innermost.span
        span.set_attribute("leveret.outcome", type(outcome).__name__.lower())
        if isinstance(outcome, Done):
            span.set_status(Status(StatusCode.OK))
        elif isinstance(outcome, Failed):
            span.set_attribute("leveret.retry_in_s", outcome.delay_s)
        elif isinstance(outcome, Parked):
            span.set_attribute("leveret.parked_for", outcome.reason)
        span.end()


def _attributes(operation: str, queue: str, task: str, id: str) -> dict[str, Any]:
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
        "messaging.rabbitmq.destination.routing_key": queue,
        "messaging.message.id": id,
        "leveret.task": task,
    }


def _texts(headers: Mapping[str, object]) -> dict[str, str]:
    """Headers are anybody's: what is no text is nothing to a propagator."""
    return {name: value for name, value in headers.items() if isinstance(value, str)}
