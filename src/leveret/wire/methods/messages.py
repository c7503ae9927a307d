"""The methods of classes basic, tx and confirm. Values only; see wire/methods."""

from __future__ import annotations

from msgspec import field

from leveret.wire.methods.method import Bit, Long, LongLong, Method, Short, ShortStr, Table


class BasicQos(Method, frozen=True):
    class_id = 60
    method_id = 10
    name = "basic.qos"
    synchronous = True
    sent_by = "client"
    prefetch_size: Long = 0
    prefetch_count: Short = 0
    global_: Bit = False


class BasicQosOk(Method, frozen=True):
    class_id = 60
    method_id = 11
    name = "basic.qos-ok"
    sent_by = "server"


class BasicConsume(Method, frozen=True):
    class_id = 60
    method_id = 20
    name = "basic.consume"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    consumer_tag: ShortStr = ""
    no_local: Bit = False
    no_ack: Bit = False
    exclusive: Bit = False
    no_wait: Bit = False
    arguments: Table = field(default_factory=dict)


class BasicConsumeOk(Method, frozen=True):
    class_id = 60
    method_id = 21
    name = "basic.consume-ok"
    sent_by = "server"
    consumer_tag: ShortStr = ""


class BasicCancel(Method, frozen=True):
    class_id = 60
    method_id = 30
    name = "basic.cancel"
    synchronous = True
    sent_by = "both"
    consumer_tag: ShortStr = ""
    no_wait: Bit = False


class BasicCancelOk(Method, frozen=True):
    class_id = 60
    method_id = 31
    name = "basic.cancel-ok"
    sent_by = "both"
    consumer_tag: ShortStr = ""


class BasicPublish(Method, frozen=True):
    class_id = 60
    method_id = 40
    name = "basic.publish"
    has_content = True
    sent_by = "client"
    reserved1: Short = 0
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    mandatory: Bit = False
    immediate: Bit = False


class BasicReturn(Method, frozen=True):
    class_id = 60
    method_id = 50
    name = "basic.return"
    has_content = True
    sent_by = "server"
    reply_code: Short = 0
    reply_text: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""


class BasicDeliver(Method, frozen=True):
    class_id = 60
    method_id = 60
    name = "basic.deliver"
    has_content = True
    sent_by = "server"
    consumer_tag: ShortStr = ""
    delivery_tag: LongLong = 0
    redelivered: Bit = False
    exchange: ShortStr = ""
    routing_key: ShortStr = ""


class BasicGet(Method, frozen=True):
    class_id = 60
    method_id = 70
    name = "basic.get"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    no_ack: Bit = False


class BasicGetOk(Method, frozen=True):
    class_id = 60
    method_id = 71
    name = "basic.get-ok"
    has_content = True
    sent_by = "server"
    delivery_tag: LongLong = 0
    redelivered: Bit = False
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    message_count: Long = 0


class BasicGetEmpty(Method, frozen=True):
    class_id = 60
    method_id = 72
    name = "basic.get-empty"
    sent_by = "server"
    reserved1: ShortStr = ""


class BasicAck(Method, frozen=True):
    class_id = 60
    method_id = 80
    name = "basic.ack"
    sent_by = "both"
    delivery_tag: LongLong = 0
    multiple: Bit = False


class BasicReject(Method, frozen=True):
    class_id = 60
    method_id = 90
    name = "basic.reject"
    sent_by = "client"
    delivery_tag: LongLong = 0
    requeue: Bit = False


class BasicRecoverAsync(Method, frozen=True):
    class_id = 60
    method_id = 100
    name = "basic.recover-async"
    sent_by = "client"
    requeue: Bit = False


class BasicRecover(Method, frozen=True):
    class_id = 60
    method_id = 110
    name = "basic.recover"
    synchronous = True
    sent_by = "client"
    requeue: Bit = False


class BasicRecoverOk(Method, frozen=True):
    class_id = 60
    method_id = 111
    name = "basic.recover-ok"
    sent_by = "server"


class BasicNack(Method, frozen=True):
    class_id = 60
    method_id = 120
    name = "basic.nack"
    sent_by = "both"
    delivery_tag: LongLong = 0
    multiple: Bit = False
    requeue: Bit = False


class TxSelect(Method, frozen=True):
    class_id = 90
    method_id = 10
    name = "tx.select"
    synchronous = True
    sent_by = "client"


class TxSelectOk(Method, frozen=True):
    class_id = 90
    method_id = 11
    name = "tx.select-ok"
    sent_by = "server"


class TxCommit(Method, frozen=True):
    class_id = 90
    method_id = 20
    name = "tx.commit"
    synchronous = True
    sent_by = "client"


class TxCommitOk(Method, frozen=True):
    class_id = 90
    method_id = 21
    name = "tx.commit-ok"
    sent_by = "server"


class TxRollback(Method, frozen=True):
    class_id = 90
    method_id = 30
    name = "tx.rollback"
    synchronous = True
    sent_by = "client"


class TxRollbackOk(Method, frozen=True):
    class_id = 90
    method_id = 31
    name = "tx.rollback-ok"
    sent_by = "server"


class ConfirmSelect(Method, frozen=True):
    class_id = 85
    method_id = 10
    name = "confirm.select"
    synchronous = True
    sent_by = "client"
    no_wait: Bit = False


class ConfirmSelectOk(Method, frozen=True):
    class_id = 85
    method_id = 11
    name = "confirm.select-ok"
    sent_by = "server"
