"""The methods of classes connection, channel and access. Values only; see wire/methods."""

from __future__ import annotations

from msgspec import field

from leveret.wire.methods.method import Bit, Long, LongStr, Method, Octet, Short, ShortStr, Table


class ConnectionStart(Method, frozen=True):
    class_id = 10
    method_id = 10
    name = "connection.start"
    synchronous = True
    sent_by = "server"
    version_major: Octet = 0
    version_minor: Octet = 0
    server_properties: Table = field(default_factory=dict)
    mechanisms: LongStr = b""
    locales: LongStr = b""


class ConnectionStartOk(Method, frozen=True):
    class_id = 10
    method_id = 11
    name = "connection.start-ok"
    sent_by = "client"
    client_properties: Table = field(default_factory=dict)
    mechanism: ShortStr = ""
    response: LongStr = b""
    locale: ShortStr = ""


class ConnectionSecure(Method, frozen=True):
    class_id = 10
    method_id = 20
    name = "connection.secure"
    synchronous = True
    sent_by = "server"
    challenge: LongStr = b""


class ConnectionSecureOk(Method, frozen=True):
    class_id = 10
    method_id = 21
    name = "connection.secure-ok"
    sent_by = "client"
    response: LongStr = b""


class ConnectionTune(Method, frozen=True):
    class_id = 10
    method_id = 30
    name = "connection.tune"
    synchronous = True
    sent_by = "server"
    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


class ConnectionTuneOk(Method, frozen=True):
    class_id = 10
    method_id = 31
    name = "connection.tune-ok"
    sent_by = "client"
    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


class ConnectionOpen(Method, frozen=True):
    class_id = 10
    method_id = 40
    name = "connection.open"
    synchronous = True
    sent_by = "client"
    virtual_host: ShortStr = ""
    reserved1: ShortStr = ""
    reserved2: Bit = False


class ConnectionOpenOk(Method, frozen=True):
    class_id = 10
    method_id = 41
    name = "connection.open-ok"
    sent_by = "server"
    reserved1: ShortStr = ""


class ConnectionClose(Method, frozen=True):
    class_id = 10
    method_id = 50
    name = "connection.close"
    synchronous = True
    sent_by = "both"
    reply_code: Short = 0
    reply_text: ShortStr = ""
    failed_class: Short = 0
    failed_method: Short = 0


class ConnectionCloseOk(Method, frozen=True):
    class_id = 10
    method_id = 51
    name = "connection.close-ok"
    sent_by = "both"


class ConnectionBlocked(Method, frozen=True):
    class_id = 10
    method_id = 60
    name = "connection.blocked"
    sent_by = "server"
    reason: ShortStr = ""


class ConnectionUnblocked(Method, frozen=True):
    class_id = 10
    method_id = 61
    name = "connection.unblocked"
    sent_by = "server"


class ConnectionUpdateSecret(Method, frozen=True):
    class_id = 10
    method_id = 70
    name = "connection.update-secret"
    synchronous = True
    sent_by = "client"
    new_secret: LongStr = b""
    reason: ShortStr = ""


class ConnectionUpdateSecretOk(Method, frozen=True):
    class_id = 10
    method_id = 71
    name = "connection.update-secret-ok"
    sent_by = "server"


class ChannelOpen(Method, frozen=True):
    class_id = 20
    method_id = 10
    name = "channel.open"
    synchronous = True
    sent_by = "client"
    reserved1: ShortStr = ""


class ChannelOpenOk(Method, frozen=True):
    class_id = 20
    method_id = 11
    name = "channel.open-ok"
    sent_by = "server"
    reserved1: LongStr = b""


class ChannelFlow(Method, frozen=True):
    class_id = 20
    method_id = 20
    name = "channel.flow"
    synchronous = True
    sent_by = "both"
    active: Bit = False


class ChannelFlowOk(Method, frozen=True):
    class_id = 20
    method_id = 21
    name = "channel.flow-ok"
    sent_by = "both"
    active: Bit = False


class ChannelClose(Method, frozen=True):
    class_id = 20
    method_id = 40
    name = "channel.close"
    synchronous = True
    sent_by = "both"
    reply_code: Short = 0
    reply_text: ShortStr = ""
    failed_class: Short = 0
    failed_method: Short = 0


class ChannelCloseOk(Method, frozen=True):
    class_id = 20
    method_id = 41
    name = "channel.close-ok"
    sent_by = "both"


class AccessRequest(Method, frozen=True):
    class_id = 30
    method_id = 10
    name = "access.request"
    synchronous = True
    sent_by = "client"
    realm: ShortStr = ""
    exclusive: Bit = False
    passive: Bit = False
    active: Bit = False
    write: Bit = False
    read: Bit = False


class AccessRequestOk(Method, frozen=True):
    class_id = 30
    method_id = 11
    name = "access.request-ok"
    sent_by = "server"
    ticket: Short = 0
