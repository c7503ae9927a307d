"""The methods of classes basic, tx and confirm. Values only; see wire/methods."""

from __future__ import annotations

from dataclasses import dataclass, field

from leveret.wire.methods.method import Bit, Long, LongLong, Method, Short, ShortStr, Table


@dataclass(frozen=True, slots=True)
class BasicQos(Method):
    class_id = 60
    method_id = 10
    name = "basic.qos"
    synchronous = True
    sent_by = "client"
    prefetch_size: Long = 0
    prefetch_count: Short = 0
    global_: Bit = False


@dataclass(frozen=True, slots=True)
class BasicQosOk(Method):
    class_id = 60
    method_id = 11
    name = "basic.qos-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class BasicConsume(Method):
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


@dataclass(frozen=True, slots=True)
class BasicConsumeOk(Method):
    class_id = 60
    method_id = 21
    name = "basic.consume-ok"
    sent_by = "server"
    consumer_tag: ShortStr = ""


@dataclass(frozen=True, slots=True)
class BasicCancel(Method):
    class_id = 60
    method_id = 30
    name = "basic.cancel"
    synchronous = True
    sent_by = "both"
    consumer_tag: ShortStr = ""
    no_wait: Bit = False


@dataclass(frozen=True, slots=True)
class BasicCancelOk(Method):
    class_id = 60
    method_id = 31
    name = "basic.cancel-ok"
    sent_by = "both"
    consumer_tag: ShortStr = ""


@dataclass(frozen=True, slots=True)
class BasicPublish(Method):
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


@dataclass(frozen=True, slots=True)
class BasicReturn(Method):
    class_id = 60
    method_id = 50
    name = "basic.return"
    has_content = True
    sent_by = "server"
    reply_code: Short = 0
    reply_text: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""


@dataclass(frozen=True, slots=True)
class BasicDeliver(Method):
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


@dataclass(frozen=True, slots=True)
class BasicGet(Method):
    class_id = 60
    method_id = 70
    name = "basic.get"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    no_ack: Bit = False


@dataclass(frozen=True, slots=True)
class BasicGetOk(Method):
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


@dataclass(frozen=True, slots=True)
class BasicGetEmpty(Method):
    class_id = 60
    method_id = 72
    name = "basic.get-empty"
    sent_by = "server"
    reserved1: ShortStr = ""


@dataclass(frozen=True, slots=True)
class BasicAck(Method):
    class_id = 60
    method_id = 80
    name = "basic.ack"
    sent_by = "both"
    delivery_tag: LongLong = 0
    multiple: Bit = False


@dataclass(frozen=True, slots=True)
class BasicReject(Method):
    class_id = 60
    method_id = 90
    name = "basic.reject"
    sent_by = "client"
    delivery_tag: LongLong = 0
    requeue: Bit = False


@dataclass(frozen=True, slots=True)
class BasicRecoverAsync(Method):
    class_id = 60
    method_id = 100
    name = "basic.recover-async"
    sent_by = "client"
    requeue: Bit = False


@dataclass(frozen=True, slots=True)
class BasicRecover(Method):
    class_id = 60
    method_id = 110
    name = "basic.recover"
    synchronous = True
    sent_by = "client"
    requeue: Bit = False


@dataclass(frozen=True, slots=True)
class BasicRecoverOk(Method):
    class_id = 60
    method_id = 111
    name = "basic.recover-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class BasicNack(Method):
    class_id = 60
    method_id = 120
    name = "basic.nack"
    sent_by = "both"
    delivery_tag: LongLong = 0
    multiple: Bit = False
    requeue: Bit = False


@dataclass(frozen=True, slots=True)
class TxSelect(Method):
    class_id = 90
    method_id = 10
    name = "tx.select"
    synchronous = True
    sent_by = "client"


@dataclass(frozen=True, slots=True)
class TxSelectOk(Method):
    class_id = 90
    method_id = 11
    name = "tx.select-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class TxCommit(Method):
    class_id = 90
    method_id = 20
    name = "tx.commit"
    synchronous = True
    sent_by = "client"


@dataclass(frozen=True, slots=True)
class TxCommitOk(Method):
    class_id = 90
    method_id = 21
    name = "tx.commit-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class TxRollback(Method):
    class_id = 90
    method_id = 30
    name = "tx.rollback"
    synchronous = True
    sent_by = "client"


@dataclass(frozen=True, slots=True)
class TxRollbackOk(Method):
    class_id = 90
    method_id = 31
    name = "tx.rollback-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class ConfirmSelect(Method):
    class_id = 85
    method_id = 10
    name = "confirm.select"
    synchronous = True
    sent_by = "client"
    no_wait: Bit = False


@dataclass(frozen=True, slots=True)
class ConfirmSelectOk(Method):
    class_id = 85
    method_id = 11
    name = "confirm.select-ok"
    sent_by = "server"
