"""Direct reply-to: answers go straight to the asking channel, through the pseudo-queue amq.rabbitmq.reply-to.

Held to rabbitmq.com/docs/direct-reply-to.
"""

from __future__ import annotations

from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import channel_refused, publish, ready, until

PSEUDO = "amq.rabbitmq.reply-to"


def _ask(channel: BlockingChannel, queue: str) -> list[bytes]:
    """Send a request to `queue`; answers will be in the list returned."""
    answers: list[bytes] = []
    channel.basic_consume(PSEUDO, lambda *got: answers.append(got[3]), auto_ack=True)
    channel.basic_publish("", queue, b"question", pika.BasicProperties(reply_to=PSEUDO))
    until(lambda: ready(channel, queue) == 1)
    return answers


@pytest.mark.missing_in_leveret("direct reply-to")
def test_an_answer_reaches_the_asking_channel(connection: BlockingConnection, name: str) -> None:
    asking, answering = connection.channel(), connection.channel()
    asking.queue_declare(name)
    answers = _ask(asking, name)
    _, properties, body = answering.basic_get(name, auto_ack=True)
    assert body == b"question" and properties.reply_to.startswith(PSEUDO + ".")
    answering.basic_publish("", properties.reply_to, b"answer")
    until(lambda: bool(answers), connection)
    assert answers == [b"answer"]


@pytest.mark.missing_in_leveret("direct reply-to")
def test_the_reply_consumer_cannot_acknowledge(channel: BlockingChannel) -> None:
    with channel_refused(406, "PRECONDITION_FAILED - reply consumer cannot acknowledge"):
        channel.basic_consume(PSEUDO, lambda *_: None)


@pytest.mark.missing_in_leveret("direct reply-to")
def test_reply_to_needs_the_consumer_first(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    text = "PRECONDITION_FAILED - fast reply consumer does not exist"
    with channel_refused(406, text):
        channel.basic_publish("", name, b"x", pika.BasicProperties(reply_to=PSEUDO))
        channel.queue_declare(name, passive=True)


@pytest.mark.missing_in_leveret("direct reply-to")
def test_an_answer_to_a_channel_that_has_gone_is_returned(connection: BlockingConnection, name: str) -> None:
    asking, answering = connection.channel(), connection.channel()
    asking.queue_declare(name)
    _ask(asking, name)
    reply_to = answering.basic_get(name, auto_ack=True)[1].reply_to
    asking.close()
    returned: list[Any] = []
    answering.add_on_return_callback(lambda *got: returned.append(got[1]))
    answering.basic_publish("", reply_to, b"answer", mandatory=True)
    until(lambda: bool(returned), connection)
    assert returned[0].reply_code == 312


def test_another_reply_to_passes_through_unchanged(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"x", properties=pika.BasicProperties(reply_to="my-queue"))
    assert channel.basic_get(name)[1].reply_to == "my-queue"
