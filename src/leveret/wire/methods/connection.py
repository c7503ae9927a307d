"""The methods of classes connection, channel and access. Values only; see wire/methods."""

from __future__ import annotations

from dataclasses import dataclass, field

from leveret.wire.methods.method import Bit, Long, LongStr, Method, Octet, Short, ShortStr, Table


@dataclass(frozen=True, slots=True)
class ConnectionStart(Method):
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


@dataclass(frozen=True, slots=True)
class ConnectionStartOk(Method):
    class_id = 10
    method_id = 11
    name = "connection.start-ok"
    sent_by = "client"
    client_properties: Table = field(default_factory=dict)
    mechanism: ShortStr = ""
    response: LongStr = b""
    locale: ShortStr = ""


@dataclass(frozen=True, slots=True)
class ConnectionSecure(Method):
    class_id = 10
    method_id = 20
    name = "connection.secure"
    synchronous = True
    sent_by = "server"
    challenge: LongStr = b""


@dataclass(frozen=True, slots=True)
class ConnectionSecureOk(Method):
    class_id = 10
    method_id = 21
    name = "connection.secure-ok"
    sent_by = "client"
    response: LongStr = b""


@dataclass(frozen=True, slots=True)
class ConnectionTune(Method):
    class_id = 10
    method_id = 30
    name = "connection.tune"
    synchronous = True
    sent_by = "server"
    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


@dataclass(frozen=True, slots=True)
class ConnectionTuneOk(Method):
    class_id = 10
    method_id = 31
    name = "connection.tune-ok"
    sent_by = "client"
    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


@dataclass(frozen=True, slots=True)
class ConnectionOpen(Method):
    class_id = 10
    method_id = 40
    name = "connection.open"
    synchronous = True
    sent_by = "client"
    virtual_host: ShortStr = ""
    reserved1: ShortStr = ""
    reserved2: Bit = False


@dataclass(frozen=True, slots=True)
class ConnectionOpenOk(Method):
    class_id = 10
    method_id = 41
    name = "connection.open-ok"
    sent_by = "server"
    reserved1: ShortStr = ""


@dataclass(frozen=True, slots=True)
class ConnectionClose(Method):
    class_id = 10
    method_id = 50
    name = "connection.close"
    synchronous = True
    sent_by = "both"
    reply_code: Short = 0
    reply_text: ShortStr = ""
    failed_class: Short = 0
    failed_method: Short = 0


@dataclass(frozen=True, slots=True)
class ConnectionCloseOk(Method):
    class_id = 10
    method_id = 51
    name = "connection.close-ok"
    sent_by = "both"


@dataclass(frozen=True, slots=True)
class ConnectionBlocked(Method):
    class_id = 10
    method_id = 60
    name = "connection.blocked"
    sent_by = "server"
    reason: ShortStr = ""


@dataclass(frozen=True, slots=True)
class ConnectionUnblocked(Method):
    class_id = 10
    method_id = 61
    name = "connection.unblocked"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class ConnectionUpdateSecret(Method):
    class_id = 10
    method_id = 70
    name = "connection.update-secret"
    synchronous = True
    sent_by = "client"
    new_secret: LongStr = b""
    reason: ShortStr = ""


@dataclass(frozen=True, slots=True)
class ConnectionUpdateSecretOk(Method):
    class_id = 10
    method_id = 71
    name = "connection.update-secret-ok"
    sent_by = "server"


@dataclass(frozen=True, slots=True)
class ChannelOpen(Method):
    class_id = 20
    method_id = 10
    name = "channel.open"
    synchronous = True
    sent_by = "client"
    reserved1: ShortStr = ""


@dataclass(frozen=True, slots=True)
class ChannelOpenOk(Method):
    class_id = 20
    method_id = 11
    name = "channel.open-ok"
    sent_by = "server"
    reserved1: LongStr = b""


@dataclass(frozen=True, slots=True)
class ChannelFlow(Method):
    class_id = 20
    method_id = 20
    name = "channel.flow"
    synchronous = True
    sent_by = "both"
    active: Bit = False


@dataclass(frozen=True, slots=True)
class ChannelFlowOk(Method):
    class_id = 20
    method_id = 21
    name = "channel.flow-ok"
    sent_by = "both"
    active: Bit = False


@dataclass(frozen=True, slots=True)
class ChannelClose(Method):
    class_id = 20
    method_id = 40
    name = "channel.close"
    synchronous = True
    sent_by = "both"
    reply_code: Short = 0
    reply_text: ShortStr = ""
    failed_class: Short = 0
    failed_method: Short = 0


@dataclass(frozen=True, slots=True)
class ChannelCloseOk(Method):
    class_id = 20
    method_id = 41
    name = "channel.close-ok"
    sent_by = "both"


@dataclass(frozen=True, slots=True)
class AccessRequest(Method):
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


@dataclass(frozen=True, slots=True)
class AccessRequestOk(Method):
    class_id = 30
    method_id = 11
    name = "access.request-ok"
    sent_by = "server"
    ticket: Short = 0
