"""What a client may ask on a channel, one function per method, found by the method's name in VERBS.

Each takes the session, the broker's channel and the method, and returns the reply (None: there is none). Errors are
raised as ChannelError or ConnectionError. Everything a message passes through on its way is in server/session instead.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from leveret.broker import basic, replies
from leveret.broker.channel import Channel
from leveret.broker.confirms import Confirms
from leveret.broker.permissions import CONFIGURE, READ
from leveret.broker.transaction import Transaction
from leveret.errors import ChannelError, ConnectionError, Sated
from leveret.server.session import OUT_BYTES_MAX
from leveret.wire import methods as m

if TYPE_CHECKING:
    from leveret.broker.queue import Queue
    from leveret.server.session import Session

VERBS: dict[str, Callable[..., m.Method | None]] = {}


DEFINING: Final = frozenset(
    f"{kind}.{verb}" for kind in ("queue", "exchange") for verb in ("declare", "bind", "unbind", "delete")
)
"""Their replies wait for the disk if there is anything to be kept; many may wait together."""

UNANSWERED: Final = frozenset({"basic.reject", "basic.nack", "basic.cancel-ok", "basic.recover-async"})

V = TypeVar("V", bound=Callable[..., m.Method | None])


def verb(name: str) -> Callable[[V], V]:
    """Register the function that answers a method."""

    def register(function: V) -> V:
        VERBS[name] = function
        return function

    return register


def call(session: Session, number: int, method: m.Method) -> None:
    """A method on channel `number`."""
    if method.name == "channel.open":
        open_channel(session, number)
        return
    if method.name == "channel.close":
        close_channel(session, number)
        return
    if method.name == "channel.close-ok":
        return
    channel = session.channels.get(number)
    if channel is None:
        return
    function = VERBS.get(method.name)
    if function is None:
        raise ConnectionError(503, "COMMAND_INVALID - unimplemented method")
    if must_wait(channel, method.name):
        raise Sated
    reply = function(session, channel, method)
    if reply is not None and not getattr(method, "no_wait", False):
        if method.name in DEFINING and (channel.owing or session.broker.store.defining):
            answer_later(session, channel, reply)
        else:
            session.send(number, reply)


def must_wait(channel: Channel, name: str) -> bool:
    """Replies come in the order in which they were asked for, and some take their time: then the next question waits."""
    return name not in UNANSWERED and (channel.busy or (channel.owing > 0 and name not in DEFINING))


def answer_later(session: Session, channel: Channel, reply: m.Method) -> None:
    """When it is on disk: what a client was told to be there, or gone, is so after a crash."""

    def answer() -> None:
        channel.owing -= 1
        if not channel.closed:
            session.send(channel.number, reply)
        session.go_on()

    channel.owing += 1
    session.broker.store.after_commit(answer)


def open_channel(session: Session, number: int) -> None:
    vhost = session.vhost
    if vhost is None:
        raise ConnectionError(504, "CHANNEL_ERROR - the connection is not open")
    session.broker.tenants.check_channel(session)
    session.channels[number] = Channel(number, session, vhost)
    vhost.commons.churn.channels_created += 1
    session.send(number, m.ChannelOpenOk())


def close_channel(session: Session, number: int) -> None:
    """The client ends the channel: what it held goes back to the queues."""
    channel = session.channels.get(number)
    if channel is not None and (channel.owing or channel.busy):
        raise Sated
    session.channels.pop(number, None)
    session.send(number, m.ChannelCloseOk())
    if channel is not None:
        channel.close()


def stripped(name: str) -> str:
    """Names are declared, bound and deleted without CR and LF, as RabbitMQ does; what is used is looked up as it stands."""
    return name.replace("\r", "").replace("\n", "")


def named(channel: Channel, name: str) -> str:
    """The queue's name; the empty one means the queue that was declared last on the channel."""
    if name:
        return name
    if not channel.last_queue:
        raise ChannelError(404, "NOT_FOUND - no previously declared queue")
    return channel.last_queue


def find(session: Session, channel: Channel, name: str, permission: str = READ) -> Queue:
    name = named(channel, name)
    channel.vhost.permissions.require(session, permission, "queue", name)
    return channel.vhost.queue(name, session)


@verb("channel.flow")
def flow(session: Session, channel: Channel, method: m.ChannelFlow) -> m.Method:
    if not method.active:
        raise ConnectionError(540, "NOT_IMPLEMENTED - active=false")
    return m.ChannelFlowOk(active=True)


@verb("access.request")
def access_request(session: Session, channel: Channel, method: m.AccessRequest) -> m.Method:
    return m.AccessRequestOk(ticket=1)


# ---- exchanges


@verb("exchange.declare")
def exchange_declare(session: Session, channel: Channel, method: m.ExchangeDeclare) -> m.Method:
    name = stripped(method.exchange)
    if method.passive:
        channel.vhost.source(name)
    else:
        channel.vhost.declare_exchange(
            name, method.type, method.durable, method.auto_delete, method.internal, dict(method.arguments), session
        )
    return m.ExchangeDeclareOk()


@verb("exchange.delete")
def exchange_delete(session: Session, channel: Channel, method: m.ExchangeDelete) -> m.Method:
    channel.vhost.delete_exchange(stripped(method.exchange), method.if_unused, session)
    return m.ExchangeDeleteOk()


@verb("exchange.bind")
def exchange_bind(session: Session, channel: Channel, method: m.ExchangeBind) -> m.Method:
    vhost, name = channel.vhost, stripped(method.destination)
    vhost.may_bind(session, stripped(method.source), "exchange", name, method.routing_key)
    source = vhost.source(stripped(method.source)).name
    vhost.bind(source, vhost.exchange(name), method.routing_key, dict(method.arguments))
    return m.ExchangeBindOk()


@verb("exchange.unbind")
def exchange_unbind(session: Session, channel: Channel, method: m.ExchangeUnbind) -> m.Method:
    vhost, source, name = channel.vhost, stripped(method.source), stripped(method.destination)
    vhost.may_bind(session, source, "exchange", name, method.routing_key)
    vhost.unbind(source, vhost.exchanges.get(name), method.routing_key, dict(method.arguments), session)
    return m.ExchangeUnbindOk()


# ---- queues


@verb("queue.declare")
def queue_declare(session: Session, channel: Channel, method: m.QueueDeclare) -> m.Method:
    name = stripped(method.queue)
    if replies.is_reply_name(name):
        replies.check_declared(channel.vhost, name)
        return m.QueueDeclareOk(queue=name, message_count=0, consumer_count=1)
    if method.passive:
        queue = channel.vhost.queue(name, session)
        queue.disuse.used()
    else:
        queue = channel.vhost.declare_queue(
            name, method.durable, method.exclusive, method.auto_delete, dict(method.arguments), session
        )
    channel.last_queue = queue.name
    return m.QueueDeclareOk(queue=queue.name, message_count=queue.ready, consumer_count=len(queue.consumers))


def binding_key(channel: Channel, queue: str, key: str) -> str:
    """With neither queue nor key given, the key is the name of the queue declared last."""
    return channel.last_queue if not queue and not key else key


@verb("queue.bind")
def queue_bind(session: Session, channel: Channel, method: m.QueueBind) -> m.Method:
    name, source = stripped(named(channel, method.queue)), stripped(method.exchange)
    key = binding_key(channel, method.queue, method.routing_key)
    channel.vhost.may_bind(session, source, "queue", name, key)
    channel.vhost.source(source)
    channel.vhost.bind(source, channel.vhost.queue(name, session), key, dict(method.arguments))
    return m.QueueBindOk()


@verb("queue.unbind")
def queue_unbind(session: Session, channel: Channel, method: m.QueueUnbind) -> m.Method:
    name, source = stripped(named(channel, method.queue)), stripped(method.exchange)
    key = binding_key(channel, method.queue, method.routing_key)
    channel.vhost.may_bind(session, source, "queue", name, key)
    channel.vhost.unbind(source, channel.vhost.queues.get(name), key, dict(method.arguments), session)
    return m.QueueUnbindOk()


@verb("queue.purge")
def queue_purge(session: Session, channel: Channel, method: m.QueuePurge) -> None:
    def purged(count: int) -> None:
        channel.busy = False
        if method.no_wait:
            session.go_on()
        else:
            answer_later(session, channel, m.QueuePurgeOk(message_count=count))

    queue = find(session, channel, method.queue)
    channel.busy = True
    queue.purge(purged)


@verb("queue.delete")
def queue_delete(session: Session, channel: Channel, method: m.QueueDelete) -> m.Method:
    name = stripped(named(channel, method.queue))
    channel.vhost.permissions.require(session, CONFIGURE, "queue", name)
    if name not in channel.vhost.queues:
        return m.QueueDeleteOk(message_count=0)
    queue = channel.vhost.queue(name, session)
    return m.QueueDeleteOk(message_count=channel.vhost.delete_queue(queue, method.if_unused, method.if_empty))


# ---- consuming


@verb("basic.qos")
def basic_qos(session: Session, channel: Channel, method: m.BasicQos) -> m.Method:
    if method.prefetch_size:
        raise ConnectionError(540, f"NOT_IMPLEMENTED - prefetch_size!=0 ({method.prefetch_size})")
    if method.global_:
        channel.limit_changed(method.prefetch_count)
    else:
        channel.prefetch = method.prefetch_count
    return m.BasicQosOk()


@verb("basic.consume")
def basic_consume(session: Session, channel: Channel, method: m.BasicConsume) -> m.Method | None:
    basic.check_tag(channel, method.consumer_tag)
    tag = method.consumer_tag or f"amq.ctag-{secrets.token_urlsafe(16)}"
    if stripped(method.queue) == replies.REPLY_TO:
        replies.consume(channel, tag, method.no_ack)
        return m.BasicConsumeOk(consumer_tag=tag)
    queue = find(session, channel, method.queue)
    consumer = basic.consume(channel, queue, tag, method.no_ack, method.exclusive, dict(method.arguments))
    if not method.no_wait:
        session.send(channel.number, m.BasicConsumeOk(consumer_tag=tag))
    basic.start(consumer)
    return None


@verb("basic.cancel")
def basic_cancel(session: Session, channel: Channel, method: m.BasicCancel) -> m.Method:
    basic.cancel(channel, method.consumer_tag)
    return m.BasicCancelOk(consumer_tag=method.consumer_tag)


@verb("basic.cancel-ok")
def basic_cancel_ok(session: Session, channel: Channel, method: m.BasicCancelOk) -> None:
    """The client's answer to a consumer's cancellation: nothing is left to do."""


@verb("basic.get")
def basic_get(session: Session, channel: Channel, method: m.BasicGet) -> m.Method | None:
    queue = find(session, channel, method.queue)
    if session.wire.out_bytes > OUT_BYTES_MAX:
        session.congested = True
        raise Sated
    _get(session, channel, queue, method.no_ack)
    return None


def _get(session: Session, channel: Channel, queue: Queue, no_ack: bool) -> None:
    """Answer now, or when the first message has been read from the store."""
    taken = None if queue.deleted or channel.closed else basic.get(channel, queue, no_ack)
    if taken is None and queue.loading and not queue.deleted and not channel.closed:
        channel.busy = True
        queue.when_loaded(lambda: _get(session, channel, queue, no_ack))
        return
    if taken is not None:
        message, tag = taken
        session.send_got(channel.number, tag, message, queue.ready)
    elif not channel.closed:
        session.send(channel.number, m.BasicGetEmpty())
    if channel.busy:
        channel.busy = False
        session.go_on()


@verb("basic.reject")
def basic_reject(session: Session, channel: Channel, method: m.BasicReject) -> None:
    channel.reject(method.delivery_tag, method.requeue)


@verb("basic.nack")
def basic_nack(session: Session, channel: Channel, method: m.BasicNack) -> None:
    channel.nack(method.delivery_tag, method.multiple, method.requeue)


def _recover(channel: Channel, requeue: bool) -> None:
    if not requeue:
        raise ConnectionError(540, "NOT_IMPLEMENTED - requeue=false")
    channel.recover()


@verb("basic.recover")
def basic_recover(session: Session, channel: Channel, method: m.BasicRecover) -> m.Method:
    _recover(channel, method.requeue)
    return m.BasicRecoverOk()


@verb("basic.recover-async")
def basic_recover_async(session: Session, channel: Channel, method: m.BasicRecoverAsync) -> None:
    _recover(channel, method.requeue)


# ---- confirms


@verb("confirm.select")
def confirm_select(session: Session, channel: Channel, method: m.ConfirmSelect) -> m.Method:
    if channel.transaction is not None:
        raise ChannelError(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
    if channel.confirms is None:
        channel.confirms = Confirms(channel)
    return m.ConfirmSelectOk()


# ---- transactions


@verb("tx.select")
def tx_select(session: Session, channel: Channel, method: m.TxSelect) -> m.Method:
    if channel.confirms is not None:
        raise ChannelError(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction(channel)
    return m.TxSelectOk()


def transaction(channel: Channel) -> Transaction:
    if channel.transaction is None:
        raise ChannelError(406, "PRECONDITION_FAILED - channel is not transactional")
    return channel.transaction


@verb("tx.commit")
def tx_commit(session: Session, channel: Channel, method: m.TxCommit) -> None:
    """commit-ok is sent with the confirms of this turn or a later one, when all is safe."""
    transaction(channel).committing = True
    if session.router is not None:
        session.router.commit(channel)
    channel.commit_settled()
    session.confirms_ready(channel)


@verb("tx.rollback")
def tx_rollback(session: Session, channel: Channel, method: m.TxRollback) -> m.Method:
    transaction(channel)
    channel.roll_back()
    return m.TxRollbackOk()
