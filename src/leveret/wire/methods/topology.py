"""The methods of classes exchange and queue. Values only; see wire/methods."""

from __future__ import annotations

from msgspec import field

from leveret.wire.methods.method import Bit, Long, Method, Short, ShortStr, Table


class ExchangeDeclare(Method, frozen=True):
    class_id = 40
    method_id = 10
    name = "exchange.declare"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    exchange: ShortStr = ""
    type: ShortStr = ""
    passive: Bit = False
    durable: Bit = False
    auto_delete: Bit = False
    internal: Bit = False
    no_wait: Bit = False
    arguments: Table = field(default_factory=dict)


class ExchangeDeclareOk(Method, frozen=True):
    class_id = 40
    method_id = 11
    name = "exchange.declare-ok"
    sent_by = "server"


class ExchangeDelete(Method, frozen=True):
    class_id = 40
    method_id = 20
    name = "exchange.delete"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    exchange: ShortStr = ""
    if_unused: Bit = False
    no_wait: Bit = False


class ExchangeDeleteOk(Method, frozen=True):
    class_id = 40
    method_id = 21
    name = "exchange.delete-ok"
    sent_by = "server"


class ExchangeBind(Method, frozen=True):
    class_id = 40
    method_id = 30
    name = "exchange.bind"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    destination: ShortStr = ""
    source: ShortStr = ""
    routing_key: ShortStr = ""
    no_wait: Bit = False
    arguments: Table = field(default_factory=dict)


class ExchangeBindOk(Method, frozen=True):
    class_id = 40
    method_id = 31
    name = "exchange.bind-ok"
    sent_by = "server"


class ExchangeUnbind(Method, frozen=True):
    class_id = 40
    method_id = 40
    name = "exchange.unbind"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    destination: ShortStr = ""
    source: ShortStr = ""
    routing_key: ShortStr = ""
    no_wait: Bit = False
    arguments: Table = field(default_factory=dict)


class ExchangeUnbindOk(Method, frozen=True):
    class_id = 40
    method_id = 51
    name = "exchange.unbind-ok"
    sent_by = "server"


class QueueDeclare(Method, frozen=True):
    class_id = 50
    method_id = 10
    name = "queue.declare"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    passive: Bit = False
    durable: Bit = False
    exclusive: Bit = False
    auto_delete: Bit = False
    no_wait: Bit = False
    arguments: Table = field(default_factory=dict)


class QueueDeclareOk(Method, frozen=True):
    class_id = 50
    method_id = 11
    name = "queue.declare-ok"
    sent_by = "server"
    queue: ShortStr = ""
    message_count: Long = 0
    consumer_count: Long = 0


class QueueBind(Method, frozen=True):
    class_id = 50
    method_id = 20
    name = "queue.bind"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    no_wait: Bit = False
    arguments: Table = field(default_factory=dict)


class QueueBindOk(Method, frozen=True):
    class_id = 50
    method_id = 21
    name = "queue.bind-ok"
    sent_by = "server"


class QueuePurge(Method, frozen=True):
    class_id = 50
    method_id = 30
    name = "queue.purge"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    no_wait: Bit = False


class QueuePurgeOk(Method, frozen=True):
    class_id = 50
    method_id = 31
    name = "queue.purge-ok"
    sent_by = "server"
    message_count: Long = 0


class QueueDelete(Method, frozen=True):
    class_id = 50
    method_id = 40
    name = "queue.delete"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    if_unused: Bit = False
    if_empty: Bit = False
    no_wait: Bit = False


class QueueDeleteOk(Method, frozen=True):
    class_id = 50
    method_id = 41
    name = "queue.delete-ok"
    sent_by = "server"
    message_count: Long = 0


class QueueUnbind(Method, frozen=True):
    class_id = 50
    method_id = 50
    name = "queue.unbind"
    synchronous = True
    sent_by = "client"
    reserved1: Short = 0
    queue: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    arguments: Table = field(default_factory=dict)


class QueueUnbindOk(Method, frozen=True):
    class_id = 50
    method_id = 51
    name = "queue.unbind-ok"
    sent_by = "server"
