"""Questions that are asked without waiting for answers, as amqplib for Node does: answered one after another, in order.

AMQP 0-9-1 section 4.7 (a channel's methods are handled in order); what was told to be declared is on disk, as
https://www.rabbitmq.com/docs/queues#durability has it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pamqp import commands
from pamqp.base import Frame
from pamqp.frame import marshal

from brokers import Broker
from conformance.wire import Wire


@pytest.fixture
def client(broker: Broker) -> Iterator[Wire]:
    with Wire(broker.port) as client:
        client.open().open_channel()
        yield client


def ask(client: Wire, *questions: Frame) -> None:
    """All at once, on channel 1."""
    client.send(b"".join(marshal(question, 1) for question in questions))


def number(reply: type[Frame]) -> tuple[int, int]:
    return divmod(reply.index, 1 << 16)


def expect(client: Wire, *replies: type[Frame]) -> None:
    for reply in replies:
        client.expect(number(reply))


def test_replies_come_in_the_order_of_the_questions(client: Wire, name: str) -> None:
    other = f"{name}-other"
    ask(
        client,
        commands.Queue.Declare(queue=name, durable=True),
        commands.Queue.Declare(queue=other, durable=True),
        commands.Queue.Bind(queue=name, exchange="amq.direct", routing_key=name),
        commands.Basic.Get(queue=name),
        commands.Queue.Purge(queue=name),
        commands.Basic.Qos(prefetch_count=1),
        commands.Exchange.Declare(exchange=name, exchange_type="fanout", durable=True),
        commands.Queue.Declare(queue=name, passive=True),
        commands.Exchange.Delete(exchange=name),
        commands.Queue.Delete(queue=name),
        commands.Queue.Delete(queue=other),
        commands.Confirm.Select(),
    )
    expect(
        client,
        commands.Queue.DeclareOk,
        commands.Queue.DeclareOk,
        commands.Queue.BindOk,
        commands.Basic.GetEmpty,
        commands.Queue.PurgeOk,
        commands.Basic.QosOk,
        commands.Exchange.DeclareOk,
        commands.Queue.DeclareOk,
        commands.Exchange.DeleteOk,
        commands.Queue.DeleteOk,
        commands.Queue.DeleteOk,
        commands.Confirm.SelectOk,
    )


@pytest.mark.not_on_rabbitmq(
    "there consume-ok comes from the queue, and may come after the answers to what followed it"
)
def test_a_consumer_is_in_the_order_too(client: Wire, name: str) -> None:
    ask(
        client,
        commands.Queue.Declare(queue=name, durable=True),
        commands.Basic.Consume(queue=name, consumer_tag="me"),
        commands.Basic.Cancel(consumer_tag="me"),
        commands.Queue.Delete(queue=name),
    )
    expect(
        client,
        commands.Queue.DeclareOk,
        commands.Basic.ConsumeOk,
        commands.Basic.CancelOk,
        commands.Queue.DeleteOk,
    )


def test_a_channel_is_closed_after_its_last_answer(client: Wire, name: str) -> None:
    ask(
        client,
        commands.Queue.Declare(queue=name, durable=True),
        commands.Queue.Delete(queue=name),
        commands.Channel.Close(200, "Goodbye", 0, 0),
    )
    expect(client, commands.Queue.DeclareOk, commands.Queue.DeleteOk, commands.Channel.CloseOk)


def test_a_connection_is_closed_after_its_last_answer(client: Wire, name: str) -> None:
    declare = commands.Queue.Declare(queue=name, durable=True, exclusive=True)
    close = marshal(commands.Connection.Close(200, "Goodbye", 0, 0), 0)
    client.send(marshal(declare, 1) + close)
    expect(client, commands.Queue.DeclareOk, commands.Connection.CloseOk)
