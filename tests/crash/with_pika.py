"""Publisher and worker on pika, a client we did not write: one publish and its confirm after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import AMQPError, NackError

from crash.layout import END, ENDS, LAST, PREFETCH, SENT_TO, TAKEN_FROM, marks_of
from crash.pace import ACKS_BETWEEN_MARKS, RETRY_S, burst, rest_s, work_s
from crash.records import Sheet, body_of, message_of

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def publish(port: int, sheet: Sheet, random: Random) -> None:
    _again(port, sheet, lambda channel, link: _publish(channel, link, sheet, random))


def work(port: int, queue: str, sheet: Sheet, random: Random) -> None:
    _again(port, sheet, lambda channel, link: _work(channel, link, queue, sheet, random))


def parameters(port: int) -> pika.ConnectionParameters:
    return pika.ConnectionParameters("127.0.0.1", port, socket_timeout=10, blocked_connection_timeout=30)


def drain(port: int, sheet: Sheet) -> None:
    """Take what is left in the queues, until one time round nothing came but the message that was sent behind it all.

    By consuming: RabbitMQ's quorum queues with a single active consumer refuse basic.get.
    """
    link = f"{sheet.name}-1"
    sheet.write("opening", link)
    with BlockingConnection(parameters(port)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        sheet.write("opened", link)
        for queue in TAKEN_FROM:
            while _round(channel, link, queue, sheet):
                pass


def _round(channel: BlockingChannel, link: str, queue: str, sheet: Sheet) -> int:
    """How many messages there were."""
    channel.basic_qos(prefetch_count=PREFETCH)
    channel.basic_publish("", queue, LAST, PERSISTENT)
    number = 0
    for method, properties, body in channel.consume(queue):
        if body not in (END, LAST):
            number += 1
            message = message_of(body)
            sheet.write("got", link, message, queue, int(method.redelivered), _count(properties))
            sheet.write("done", link, message)
        channel.basic_ack(method.delivery_tag)
        if body == LAST:
            break
    channel.cancel()
    return number


def _again(port: int, sheet: Sheet, live: Callable[[BlockingChannel, str], None]) -> None:
    """One connection after the other, for ever."""
    number = 0
    while True:
        number += 1
        link = f"{sheet.name}-{number}"
        sheet.write("opening", link)
        try:
            channel = BlockingConnection(parameters(port)).channel()
            channel.confirm_delivery()
            sheet.write("opened", link)
            live(channel, link)
        except (AMQPError, OSError) as error:
            sheet.write("lost", link, type(error).__name__)
            time.sleep(RETRY_S)


def _publish(channel: BlockingChannel, link: str, sheet: Sheet, random: Random) -> None:
    number = 0
    while True:
        for _ in range(burst(random)):
            number += 1
            message, queue = f"{link}:{number}", random.choice(SENT_TO)
            sheet.write("sent", message, queue)
            try:
                channel.basic_publish("", queue, body_of(message), PERSISTENT)
                sheet.write("confirmed", message)
            except NackError:
                sheet.write("refused", message)
        channel.connection.sleep(rest_s(random))


def _work(channel: BlockingChannel, link: str, queue: str, sheet: Sheet, random: Random) -> None:
    channel.basic_qos(prefetch_count=PREFETCH)
    left = random.randint(1, ACKS_BETWEEN_MARKS)
    for method, properties, body in channel.consume(queue):
        if body == END:
            channel.basic_publish("", ENDS, queue.encode(), PERSISTENT)
            channel.basic_ack(method.delivery_tag)
            continue
        message = message_of(body)
        sheet.write("got", link, message, queue, int(method.redelivered), _count(properties))
        sheet.write("start", link, message)
        time.sleep(work_s(random))
        sheet.write("done", link, message)
        channel.basic_ack(method.delivery_tag)
        sheet.write("ack", link, message)
        left -= 1
        if not left:
            left = random.randint(1, ACKS_BETWEEN_MARKS)
            sheet.write("marking", link)
            channel.basic_publish("", marks_of(sheet.name), link.encode(), PERSISTENT)
            sheet.write("marked", link)


def _count(properties: pika.BasicProperties) -> int:
    return int((properties.headers or {}).get("x-delivery-count", 0))
