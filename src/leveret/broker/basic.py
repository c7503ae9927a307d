"""Consuming: basic.consume, basic.cancel and basic.get on a channel, with the checks RabbitMQ makes.

Called by server/session; what is delivered and acknowledged afterwards is between broker/queue and broker/channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.broker import arguments as x_arguments
from leveret.broker.consumer import Consumer
from leveret.broker.quotas import check_consumer, check_held
from leveret.errors import ChannelError, ConnectionError

if TYPE_CHECKING:
    from leveret.broker.channel import Channel
    from leveret.broker.message import Message
    from leveret.broker.queue import Queue


def check_tag(channel: Channel, tag: str) -> None:
    """530 if a consumer of the channel has this tag. RabbitMQ looks at it before it looks for the queue."""
    if tag in channel.consumers:
        raise ConnectionError(530, f"NOT_ALLOWED - attempt to reuse consumer tag '{tag}'")


def consume(
    channel: Channel, queue: Queue, tag: str, no_ack: bool, exclusive: bool, arguments: dict[str, object]
) -> Consumer:
    """A new consumer, not yet in its queue: `start` it after consume-ok is out. `tag` has to be free (`check_tag`)."""
    vhost = channel.vhost
    check_consumer(channel)
    if channel.asked and queue.counts_failures:
        text = f"queue '{queue.name}' in vhost '{vhost.name}' does not support global qos"
        raise ConnectionError(540, f"NOT_IMPLEMENTED - {text}")
    x_arguments.check_consumer_arguments(queue.name, vhost.name, arguments)
    if queue.exclusive_consumer or (exclusive and (queue.consumers or queue.single_active)):
        raise ChannelError(403, f"ACCESS_REFUSED - queue '{queue.name}' in vhost '{vhost.name}' in exclusive use")
    consumer = Consumer(tag, channel, queue, no_ack, exclusive, channel.prefetch, arguments)
    channel.consumers[tag] = consumer
    channel.reads(queue)
    return consumer


def start(consumer: Consumer) -> None:
    """Let the consumer have messages."""
    consumer.queue.add(consumer)
    consumer.queue.dispatch()


def cancel(channel: Channel, tag: str) -> None:
    """No more deliveries; unacknowledged messages stay with the channel. An unknown tag is fine."""
    consumer = channel.consumers.pop(tag, None)
    replies = channel.replies
    if consumer is not None:
        queue = consumer.queue
        queue.remove(consumer)
        if not queue.deleted:
            queue.dispatch()
    elif replies is not None and replies.tag == tag:
        replies.cancel()


def get(channel: Channel, queue: Queue, no_ack: bool) -> tuple[Message, int] | None:
    """The first ready message and its delivery tag, or None. 405 if the queue is for one consumer in its turn."""
    if queue.single_active and queue.counts_failures:
        text = f"cannot obtain access to locked queue '{queue.name}' in vhost '{queue.vhost.name}'"
        reason = "basic.get operations are not supported by quorum queues with single active consumer"
        raise ChannelError(405, f"RESOURCE_LOCKED - {text}. {reason}")
    if not no_ack:
        check_held(channel)
    message = queue.get()
    counts = channel.counts
    if message is None:
        queue.counts.got_empty += 1
        counts.got_empty += 1
        return None
    if message.redelivered:
        queue.counts.redelivered += 1
        counts.redelivered += 1
    if no_ack:
        queue.counts.got_no_ack += 1
        counts.got_no_ack += 1
        queue.drop(message)
        return message, channel.next_tag()
    queue.counts.got += 1
    counts.got += 1
    return message, channel.hold(message)
