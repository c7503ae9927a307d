"""Publishing: mandatory and immediate, copies by CC and BCC, what makes a message invalid.

rabbitmq.com/docs/publishers (unroutable messages), docs/sender-selected (CC and BCC), docs/validated-user-id, docs/ae;
AMQP 0-9-1 class basic: publish, return.
"""

from __future__ import annotations

from typing import Any

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import bound_queue, channel_refused, connection_refused, drain, ready, until


def _returns(channel: BlockingChannel) -> list[tuple[Any, pika.BasicProperties, bytes]]:
    returned: list[tuple[Any, pika.BasicProperties, bytes]] = []
    channel.add_on_return_callback(lambda _, method, props, body: returned.append((method, props, body)))
    return returned


def test_an_unroutable_mandatory_message_comes_back(channel: BlockingChannel, name: str) -> None:
    returned = _returns(channel)
    properties = pika.BasicProperties(message_id="7", headers={"h": "v"})
    channel.basic_publish("amq.direct", name, b"body", properties, mandatory=True)
    until(lambda: bool(returned), channel.connection)
    method, props, body = returned[0]
    assert (method.reply_code, method.reply_text) == (312, "NO_ROUTE")
    assert (method.exchange, method.routing_key) == ("amq.direct", name)
    assert (props.message_id, props.headers, body) == ("7", {"h": "v"}, b"body")


def test_a_routable_mandatory_message_does_not_come_back(channel: BlockingChannel, name: str) -> None:
    returned = _returns(channel)
    channel.queue_declare(name)
    channel.basic_publish("", name, b"x", mandatory=True)
    assert drain(channel, name) == [b"x"]
    channel.connection.process_data_events(time_limit=0)
    assert returned == []


def test_an_unroutable_message_without_mandatory_is_dropped(channel: BlockingChannel, name: str) -> None:
    returned = _returns(channel)
    channel.basic_publish("", name, b"x")
    channel.queue_declare(name)
    assert ready(channel, name) == 0
    channel.connection.process_data_events(time_limit=0)
    assert returned == []


def test_mandatory_is_satisfied_by_the_alternate_exchange(channel: BlockingChannel, name: str) -> None:
    returned = _returns(channel)
    channel.exchange_declare(name, "direct", arguments={"alternate-exchange": "amq.fanout"})
    queue = bound_queue(channel, "amq.fanout", "")
    channel.basic_publish(name, "nobody", b"x", mandatory=True)
    assert b"x" in drain(channel, queue)
    channel.connection.process_data_events(time_limit=0)
    assert returned == []


def test_immediate_is_not_implemented(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    publish_method = pika.spec.Basic.Publish(exchange="", routing_key=name, immediate=True)
    with connection_refused(540, "NOT_IMPLEMENTED - immediate=true"):
        channel._impl._send_method(publish_method, (pika.BasicProperties(), b""))
        channel.queue_declare(name)


def test_user_id_must_be_the_authenticated_user(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.basic_publish("", name, b"x", pika.BasicProperties(user_id="guest"))
    assert drain(channel, name) == [b"x"]
    text = "PRECONDITION_FAILED - user_id property set to 'abc' but authenticated user was 'guest'"
    with channel_refused(406, text):
        channel.basic_publish("", name, b"x", pika.BasicProperties(user_id="abc"))
        ready(channel, name)


@pytest.mark.parametrize(
    ("expiration", "reason"), [("abc", "no_integer"), ("-1", "{value_negative,-1}"), ("1.5", '{leftover_string,".5"}')]
)
def test_a_bad_expiration_is_refused(channel: BlockingChannel, name: str, expiration: str, reason: str) -> None:
    channel.queue_declare(name)
    with channel_refused(406, f"PRECONDITION_FAILED - invalid expiration '{expiration}': {reason}"):
        channel.basic_publish("", name, b"x", pika.BasicProperties(expiration=expiration))
        ready(channel, name)


def test_a_missing_exchange_is_told_before_a_bad_property(connection: BlockingConnection, name: str) -> None:
    for properties in (pika.BasicProperties(user_id="abc"), pika.BasicProperties(expiration="abc")):
        channel = connection.channel()
        with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
            channel.basic_publish(name, "k", b"x", properties)
            channel.queue_declare("", exclusive=True)


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_cc_and_bcc_must_be_arrays(channel: BlockingChannel, name: str, header: str) -> None:
    channel.queue_declare(name)
    text = f'PRECONDITION_FAILED - invalid message: {{unacceptable_type_in_header,"{header}",longstr}}'
    with channel_refused(406, text):
        channel.basic_publish("", name, b"x", pika.BasicProperties(headers={header: "k"}))
        ready(channel, name)


def test_cc_and_bcc_add_routing_keys_and_bcc_is_stripped(channel: BlockingChannel, name: str) -> None:
    to, cc, bcc = (bound_queue(channel, "amq.direct", f"{name}-{who}") for who in ("to", "cc", "bcc"))
    headers = {"CC": [f"{name}-cc"], "BCC": [f"{name}-bcc"], "kept": 1}
    channel.basic_publish("amq.direct", f"{name}-to", b"x", pika.BasicProperties(headers=headers))
    for queue in (to, cc, bcc):
        method, props, body = channel.basic_get(queue, auto_ack=True)
        assert (method.routing_key, body) == (f"{name}-to", b"x")
        assert props.headers == {"CC": [f"{name}-cc"], "kept": 1}


def test_a_message_that_comes_back_has_no_bcc(channel: BlockingChannel, name: str) -> None:
    returned = _returns(channel)
    headers = {"CC": [f"{name}-cc"], "BCC": [f"{name}-bcc"]}
    channel.basic_publish("", name, b"x", pika.BasicProperties(headers=headers), mandatory=True)
    until(lambda: bool(returned), channel.connection)
    assert returned[0][1].headers == {"CC": [f"{name}-cc"]}


def test_a_key_in_cc_or_bcc_is_enough_for_mandatory(channel: BlockingChannel, name: str) -> None:
    returned = _returns(channel)
    channel.queue_declare(name)
    for header in ("CC", "BCC"):
        channel.basic_publish("", "", b"x", pika.BasicProperties(headers={header: [name]}), mandatory=True)
    assert drain(channel, name) == [b"x", b"x"]
    channel.connection.process_data_events(time_limit=0)
    assert returned == []


def test_a_queue_named_in_both_key_and_cc_gets_one_copy(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.basic_publish("", name, b"x", pika.BasicProperties(headers={"CC": [name, name]}))
    assert drain(channel, name) == [b"x"]


def test_messages_of_one_channel_keep_their_order(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    sent = [str(number).encode() for number in range(500)]
    for body in sent:
        channel.basic_publish("", name, body)
    assert drain(channel, name) == sent
