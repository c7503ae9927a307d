"""Spans of senders and of attempts, exported to memory, through a real broker: one trace, with failures and retries."""

from __future__ import annotations

import asyncio
from queue import SimpleQueue
from typing import Any

import pika
import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as contexts
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.contrib.opentelemetry import OpenTelemetry
from leveret.tasks import Reject, Retries, WorkQueue, chain, group
from worker.support import WITHIN_S, declare, until, working


class Spans:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("test")

    def named(self, name: str, number: int = 1) -> list[ReadableSpan]:
        """So many, in the order in which they ended, once they are there."""

        def found() -> list[ReadableSpan]:
            return [span for span in self.exporter.get_finished_spans() if span.name == name]

        until(lambda: len(found()) >= number)
        assert len(found()) == number
        return found()


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def work(broker: Broker, name: str, spans: Spans) -> WorkQueue:
    return WorkQueue(
        broker.url,
        default_queue=f"otel.{name}",
        retry=Retries(2, first_s=0),
        middleware=[OpenTelemetry(spans.provider)],
    )


def values(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def context_of(span: ReadableSpan) -> Any:
    assert span.context is not None
    return span.context


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("sends_async", [False, True])
def test_sender_and_attempt_are_one_trace_and_so_is_what_the_task_does(
    work: WorkQueue, spans: Spans, is_async: bool, sends_async: bool
) -> None:
    def one() -> None:
        with spans.tracer.start_as_current_span("inside"):
            pass

    async def one_async() -> None:
        await asyncio.sleep(0)
        one()

    task = work.task(name="one")(one_async if is_async else one)
    with working(work):
        with spans.tracer.start_as_current_span("request"):
            sent = asyncio.run(task.send_async()) if sends_async else task.send()
        (process,) = spans.named(f"process {work.default_queue}")
        (create,) = spans.named(f"create {work.default_queue}")
        (request,), (inside,) = spans.named("request"), spans.named("inside")
    assert {context_of(span).trace_id for span in (request, create, process, inside)} == {context_of(request).trace_id}
    assert create.parent is not None and create.parent.span_id == context_of(request).span_id
    assert process.parent is not None and process.parent.span_id == context_of(create).span_id
    assert inside.parent is not None and inside.parent.span_id == context_of(process).span_id
    assert [link.context.span_id for link in process.links] == [context_of(create).span_id]
    assert (create.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert process.status.status_code is StatusCode.OK
    about = values(process)
    assert about["messaging.system"] == "rabbitmq"
    assert about["messaging.operation.name"] == about["messaging.operation.type"] == "process"
    assert about["messaging.destination.name"] == work.default_queue
    assert about["messaging.message.id"] == sent.id == values(create)["messaging.message.id"]
    assert (about["leveret.task"], about["leveret.attempt"], about["leveret.outcome"]) == ("one", 1, "done")


@pytest.mark.parametrize("is_async", [False, True])
def test_each_attempt_is_a_span_of_the_same_trace_and_tells_what_was_raised(
    work: WorkQueue, spans: Spans, is_async: bool
) -> None:
    def fail() -> None:
        raise ValueError("no good")

    async def fail_async() -> None:
        raise ValueError("no good")

    work.task(name="fail")(fail_async if is_async else fail).send()
    with working(work):
        first, last = spans.named(f"process {work.default_queue}", 2)
    (create,) = spans.named(f"create {work.default_queue}")
    for number, span in enumerate((first, last), 1):
        assert span.parent is not None and span.parent.span_id == context_of(create).span_id
        assert values(span)["leveret.attempt"] == number
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "no good")
        assert values(span)["error.type"] == "ValueError"
        (event,) = span.events
        assert event.name == "exception" and event.attributes is not None
        assert "in fail" in str(event.attributes["exception.stacktrace"])
    assert (values(first)["leveret.outcome"], values(first)["leveret.retry_in_s"]) == ("failed", 0)
    assert (values(last)["leveret.outcome"], values(last)["leveret.parked_for"]) == ("parked", "attempts")


def _add(a: int, b: int = 1) -> int:
    return a + b


def _total(numbers: list[int]) -> int:
    return sum(numbers)


def test_a_chain_and_its_group_are_one_trace(work: WorkQueue, spans: Spans) -> None:
    add = work.task(name="add")(_add)
    total = work.task(name="total")(_total)
    flow = chain(add.call(1), group([add.partial(2), add.partial(3)])).then(total.partial())
    with working(work), spans.tracer.start_as_current_span("request") as request:
        assert flow.send().result(WITHIN_S) == 9
    created = spans.named(f"create {work.default_queue}", 4)
    assert {context_of(span).trace_id for span in created} == {context_of(request).trace_id}
    first, *others = created
    assert {span.parent.span_id for span in others[:2] if span.parent} == {context_of(first).span_id}


def test_a_trace_of_its_own_is_only_linked(broker: Broker, name: str, spans: Spans) -> None:
    work = WorkQueue(broker.url, default_queue=f"otel.{name}", middleware=[OpenTelemetry(spans.provider, parent=False)])
    task = work.task(name="one")(lambda: 1)
    task.options(delay=0.1).send()
    with working(work):
        (process,) = spans.named(f"process {work.default_queue}")
    (create,) = spans.named(f"create {work.default_queue}")
    assert process.parent is None and context_of(process).trace_id != context_of(create).trace_id
    assert [link.context.span_id for link in process.links] == [context_of(create).span_id]
    assert values(create)["leveret.delay_s"] == 0.1


def test_baggage_goes_along_and_nothing_of_it_is_left_in_the_thread(work: WorkQueue, spans: Spans) -> None:
    found: SimpleQueue[tuple[object, object]] = SimpleQueue()

    @work.task
    def look() -> None:
        found.put((baggage.get_baggage("customer"), trace.get_current_span().get_span_context().is_valid))

    with working(work, threads=1):
        token = contexts.attach(baggage.set_baggage("customer", "7"))
        look.send()
        contexts.detach(token)
        assert found.get(timeout=WITHIN_S) == ("7", True)
        look.send()
        assert found.get(timeout=WITHIN_S) == (None, True)
        first, second = spans.named(f"process {work.default_queue}", 2)
    assert context_of(first).trace_id != context_of(second).trace_id


@pytest.mark.parametrize(
    "headers", [{}, {"traceparent": 7}, {"traceparent": "nonsense"}, {"traceparent": b"\xff", "tracestate": [1]}]
)
def test_messages_of_others_are_run_whatever_their_headers(
    work: WorkQueue, spans: Spans, channel: BlockingChannel, headers: dict[str, Any]
) -> None:
    work.task(name="one")(lambda: 1)
    with working(work):
        declare(channel, work.default_queue)
        channel.basic_publish(
            "", work.default_queue, b"{}", pika.BasicProperties(type="one", message_id="1", headers=headers)
        )
        (process,) = spans.named(f"process {work.default_queue}")
    assert process.parent is None and not process.links
    assert process.status.status_code is StatusCode.OK


def test_what_is_rejected_is_an_error_too(work: WorkQueue, spans: Spans) -> None:
    @work.task
    def reject() -> None:
        raise Reject("gone")

    reject.send()
    with working(work):
        (process,) = spans.named(f"process {work.default_queue}")
    assert values(process)["leveret.parked_for"] == "rejected"
    assert process.status.status_code is StatusCode.ERROR
