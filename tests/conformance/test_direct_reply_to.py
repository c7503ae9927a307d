"""Direct reply-to: answers go straight to the asking channel, through the pseudo-queue amq.rabbitmq.reply-to.

Held to rabbitmq.com/docs/direct-reply-to.
"""

from __future__ import annotations

from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import Inbox, channel_refused, connection_refused, publish, queue_exists, ready, until

PSEUDO = "amq.rabbitmq.reply-to"


def _ask(channel: BlockingChannel, queue: str) -> list[bytes]:
    """Send a request to `queue`; answers will be in the list returned."""
    answers: list[bytes] = []
    channel.basic_consume(PSEUDO, lambda *got: answers.append(got[3]), auto_ack=True)
    channel.basic_publish("", queue, b"question", pika.BasicProperties(reply_to=PSEUDO))
    until(lambda: ready(channel, queue) == 1)
    return answers


def test_an_answer_reaches_the_asking_channel(connection: BlockingConnection, name: str) -> None:
    asking, answering = connection.channel(), connection.channel()
    asking.queue_declare(name)
    answers = _ask(asking, name)
    _, properties, body = answering.basic_get(name, auto_ack=True)
    assert body == b"question" and properties.reply_to.startswith(PSEUDO + ".")
    answering.basic_publish("", properties.reply_to, b"answer")
    until(lambda: bool(answers), connection)
    assert answers == [b"answer"]


def test_the_reply_consumer_cannot_acknowledge(channel: BlockingChannel) -> None:
    with channel_refused(406, "PRECONDITION_FAILED - reply consumer cannot acknowledge"):
        channel.basic_consume(PSEUDO, lambda *_: None)


def test_reply_to_needs_the_consumer_first(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    text = "PRECONDITION_FAILED - fast reply consumer does not exist"
    with channel_refused(406, text):
        channel.basic_publish("", name, b"x", pika.BasicProperties(reply_to=PSEUDO))
        channel.queue_declare(name, passive=True)


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


def _asked(connection: BlockingConnection, name: str) -> tuple[BlockingChannel, list[bytes], str]:
    """A channel that has asked, the answers it got, and the name to answer to."""
    channel = connection.channel()
    channel.queue_declare(name)
    answers = _ask(channel, name)
    return channel, answers, channel.basic_get(name, auto_ack=True)[1].reply_to


def test_the_rest_of_the_request_passes_through_unchanged(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.basic_consume(PSEUDO, lambda *_: None, auto_ack=True)
    sent: dict[str, Any] = {"headers": {"a": 1}, "correlation_id": "7", "delivery_mode": 2, "priority": 3}
    sent |= {"user_id": "guest", "app_id": "app", "expiration": "60000", "content_type": "text/plain"}
    publish_properties = pika.BasicProperties(reply_to=PSEUDO, **sent)
    channel.basic_publish("", name, b"question", publish_properties)
    until(lambda: ready(channel, name) == 1)
    _, properties, body = channel.basic_get(name, auto_ack=True)
    assert body == b"question" and {key: getattr(properties, key) for key in sent} == sent


def test_an_answer_comes_as_an_ordinary_delivery(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    inbox = Inbox(channel, PSEUDO, auto_ack=True, consumer_tag="mine")
    channel.basic_publish("", name, b"question", pika.BasicProperties(reply_to=PSEUDO))
    until(lambda: ready(channel, name) == 1)
    reply_to = channel.basic_get(name, auto_ack=True)[1].reply_to
    connection.channel().basic_publish("", reply_to, b"answer", pika.BasicProperties(correlation_id="7"))
    answer = inbox.take(1)[0]
    assert (answer.method.exchange, answer.method.routing_key) == ("", reply_to)
    assert (answer.method.consumer_tag, answer.redelivered, answer.properties.correlation_id) == ("mine", False, "7")


def test_answers_reach_only_who_asked(connection: BlockingConnection, name: str) -> None:
    asked = [_asked(connection, f"{name}-{number}") for number in range(3)]
    assert len({reply_to for _, _, reply_to in asked}) == 3
    publisher = connection.channel()
    for number, (_, _, reply_to) in enumerate(asked):
        publisher.basic_publish("", reply_to, b"%d" % number)
    until(lambda: all(answers for _, answers, _ in asked), connection)
    assert [answers for _, answers, _ in asked] == [[b"0"], [b"1"], [b"2"]]


def test_an_answer_may_come_as_a_copy(connection: BlockingConnection, name: str) -> None:
    _, answers, reply_to = _asked(connection, name)
    publisher = connection.channel()
    publisher.basic_publish("", name, b"answer", pika.BasicProperties(headers={"CC": [reply_to]}))
    until(lambda: bool(answers), connection)
    assert (answers, publisher.basic_get(name)[2]) == ([b"answer"], b"answer")


def test_only_the_default_exchange_leads_to_who_asked(connection: BlockingConnection, name: str) -> None:
    _, answers, reply_to = _asked(connection, name)
    publisher = connection.channel()
    publisher.confirm_delivery()
    publisher.basic_publish("amq.direct", reply_to, b"astray")
    publisher.basic_publish("", reply_to, b"answer")
    until(lambda: bool(answers), connection)
    assert answers == [b"answer"]


def test_an_answer_is_confirmed(connection: BlockingConnection, name: str) -> None:
    _, answers, reply_to = _asked(connection, name)
    publisher = connection.channel()
    publisher.confirm_delivery()
    publisher.basic_publish("", reply_to, b"answer")
    until(lambda: bool(answers), connection)


@pytest.mark.not_on_rabbitmq("3.10 returns every mandatory answer, delivered or not; 4.2 takes the name for a queue")
def test_an_answer_that_arrives_is_not_returned(connection: BlockingConnection, name: str) -> None:
    _, answers, reply_to = _asked(connection, name)
    publisher = connection.channel()
    publisher.confirm_delivery()
    publisher.basic_publish("", reply_to, b"answer", mandatory=True)
    until(lambda: bool(answers), connection)


def test_one_reply_consumer_per_channel(channel: BlockingChannel) -> None:
    channel.basic_consume(PSEUDO, lambda *_: None, auto_ack=True)
    with channel_refused(406, "PRECONDITION_FAILED - reply consumer already set"):
        channel.basic_consume(PSEUDO, lambda *_: None, auto_ack=True)


def test_its_tag_must_be_free(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.basic_consume(name, lambda *_: None, consumer_tag="a")
    channel._impl._consumers.clear()
    channel._consumer_infos.clear()
    with connection_refused(530, "NOT_ALLOWED - attempt to reuse consumer tag 'a'"):
        channel.basic_consume(PSEUDO, lambda *_: None, auto_ack=True, consumer_tag="a")


def test_a_server_made_tag_for_the_reply_consumer(channel: BlockingChannel) -> None:
    answered: list[Any] = []
    channel._impl._send_method(pika.spec.Basic.Consume(queue=PSEUDO, no_ack=True))
    channel._impl.add_callback(answered.append, [pika.spec.Basic.ConsumeOk])
    until(lambda: bool(answered), channel.connection)
    assert answered[0].method.consumer_tag.startswith("amq.ctag-")


def test_after_cancel_the_name_is_dead_and_a_new_one_is_given(connection: BlockingConnection, name: str) -> None:
    channel, _, reply_to = _asked(connection, name)
    assert queue_exists(connection, reply_to)
    channel.basic_cancel(channel.consumer_tags[0])
    assert not queue_exists(connection, reply_to)
    _ask(channel, name)
    assert channel.basic_get(name, auto_ack=True)[1].reply_to != reply_to


@pytest.mark.parametrize("passive", [False, True])
def test_the_pseudo_queue_may_be_declared(channel: BlockingChannel, passive: bool) -> None:
    answer = channel.queue_declare(PSEUDO, passive=passive).method
    assert (answer.queue, answer.message_count, answer.consumer_count) == (PSEUDO, 0, 1)


@pytest.mark.parametrize("passive", [False, True])
def test_the_name_to_answer_to_may_be_asked_for(connection: BlockingConnection, name: str, passive: bool) -> None:
    """A server asks so whether an answer is still waited for."""
    channel, _, reply_to = _asked(connection, name)
    answer = connection.channel().queue_declare(reply_to, passive=passive).method
    assert (answer.queue, answer.message_count, answer.consumer_count) == (reply_to, 0, 1)
    channel.close()
    with channel_refused(404, f"NOT_FOUND - no queue '{reply_to}' in vhost '/'"):
        connection.channel().queue_declare(reply_to, passive=passive)


@pytest.mark.parametrize("other", [PSEUDO + ".abc", PSEUDO + "abc"])
def test_names_nobody_was_given_are_404(channel: BlockingChannel, other: str) -> None:
    with channel_refused(404, f"NOT_FOUND - no queue '{other}' in vhost '/'"):
        channel.queue_declare(other)


@pytest.mark.parametrize("verb", ["get", "bind", "purge"])
def test_the_pseudo_queue_is_no_queue(channel: BlockingChannel, verb: str) -> None:
    with channel_refused(404, f"NOT_FOUND - no queue '{PSEUDO}' in vhost '/'"):
        if verb == "get":
            channel.basic_get(PSEUDO)
        elif verb == "bind":
            channel.queue_bind(PSEUDO, "amq.direct", "k")
        else:
            channel.queue_purge(PSEUDO)


def test_asking_in_a_transaction(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    channel.basic_consume(PSEUDO, lambda *_: None, auto_ack=True)
    channel.tx_select()
    channel.basic_publish("", name, b"question", pika.BasicProperties(reply_to=PSEUDO))
    channel.tx_commit()
    assert channel.basic_get(name, auto_ack=True)[1].reply_to.startswith(PSEUDO + ".")


def test_a_missing_exchange_is_said_before_a_missing_consumer(channel: BlockingChannel, name: str) -> None:
    with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
        channel.basic_publish(name, "k", b"x", pika.BasicProperties(reply_to=PSEUDO))
        ready(channel, name)
