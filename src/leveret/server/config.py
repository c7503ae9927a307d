"""Every setting of the broker with its default, unit and meaning: what a configuration file may say.

A field is a key of the file (a field that is a dataclass is a table in it); server/settings reads file, environment and
command line into a `Config`. docs/configuration.md shows the same, held by a test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final


@dataclass(frozen=True, slots=True)
class About:
    """What the reader of a setting is to know; `least`, `most` and `choices` bound its values."""

    meaning: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    secret: bool = False


PORT_MAX: Final = 65_535


@dataclass(frozen=True, slots=True)
class Limits:
    frame_max: Annotated[
        int, About("largest frame offered to clients; 0: no limit", unit="bytes", least=0, most=2**31 - 1)
    ] = 131_072
    channel_max: Annotated[
        int, About("channels per connection offered to clients; 0: no limit", least=0, most=PORT_MAX)
    ] = 2_047
    connections_max: Annotated[
        int,
        About("open connections; 0: as many as the system lets the broker have files, less some for itself", least=0),
    ] = 0
    consumers_max: Annotated[int, About("consumers on one channel; 0: no limit", least=0)] = 10_000
    unacked_max: Annotated[
        int,
        About(
            "unacknowledged deliveries on one channel: beyond this it gets no more until some are acknowledged; "
            "0: no limit",
            least=0,
        ),
    ] = 2_000_000
    queues_max: Annotated[int, About("queues in all virtual hosts; 0: no limit", least=0)] = 1_000_000
    exchanges_max: Annotated[int, About("exchanges in all virtual hosts; 0: no limit", least=0)] = 100_000
    bindings_max: Annotated[int, About("bindings in all virtual hosts; 0: no limit", least=0)] = 1_000_000
    heartbeat_s: Annotated[
        int, About("heartbeat interval offered to clients; 0: none", unit="seconds", least=0, most=65_535)
    ] = 60
    message_bytes_max: Annotated[
        int, About("largest message body; a larger one ends its channel", unit="bytes", least=1, most=2**31 - 1)
    ] = 134_217_728
    nesting_max: Annotated[
        int, About("levels of tables and arrays within a table, in arguments and headers", least=0, most=100)
    ] = 100
    unfinished_bytes_max: Annotated[
        int,
        About(
            "parts of frames and messages of which the rest has not come, and transactions, of all connections together: "
            "beyond this the connection that has most of it is closed",
            unit="bytes",
            least=1,
        ),
    ] = 536_870_912
    handshake_s: Annotated[
        float,
        About(
            "how long a client may take from connecting until it is open, TLS included",
            unit="seconds",
            least=0.1,
            most=86_400,
        ),
    ] = 10.0
    close_s: Annotated[
        float,
        About(
            "how long a connection that was told to close may take to say close-ok",
            unit="seconds",
            least=0.1,
            most=86_400,
        ),
    ] = 5.0
    consumer_timeout_s: Annotated[
        float,
        About(
            "how long a delivery may be unacknowledged before its channel is closed; 0: for ever",
            unit="seconds",
            least=0,
            most=2**31,
        ),
    ] = 1800.0
    pending_bytes_max: Annotated[
        int,
        About(
            "messages waiting for the disk: beyond this, publishers are not read from until half of it is written",
            unit="bytes",
            least=1,
        ),
    ] = 8 * 1024 * 1024
    reply_bytes_max: Annotated[
        int,
        About("a client that asks but does not read the answers is not read from beyond this", unit="bytes", least=1),
    ] = 8 * 1024 * 1024
    memory_high_watermark: Annotated[
        float,
        About(
            "part of the machine's or container's memory beyond which publishers are blocked; 0: always, as in RabbitMQ",
            least=0,
            most=1_000_000,
        ),
    ] = 0.6
    disk_free_bytes_min: Annotated[
        int, About("free disk below which publishers are blocked; 0: never", unit="bytes", least=0)
    ] = 1_000_000_000
    alarm_check_s: Annotated[
        float, About("how often memory and disk are measured", unit="seconds", least=0.01, most=3_600)
    ] = 2.5


@dataclass(frozen=True, slots=True)
class SslOptions:
    """RabbitMQ's `ssl_options.*`."""

    certfile: Annotated[Path | None, About("the broker's certificate with its chain, PEM")] = None
    keyfile: Annotated[Path | None, About("the certificate's private key, PEM; default: it is in `certfile`")] = None
    password: Annotated[str | None, About("what the private key is encrypted with", secret=True)] = None
    cacertfile: Annotated[Path | None, About("authorities whose clients' certificates are trusted, PEM")] = None
    verify: Annotated[
        str, About("`verify_peer` asks clients for a certificate and checks it", choices=("verify_none", "verify_peer"))
    ] = "verify_none"
    fail_if_no_peer_cert: Annotated[bool, About("refuse clients without a certificate; needs `verify_peer`")] = False
    versions: Annotated[tuple[str, ...], About("versions of TLS that are spoken", choices=("tlsv1.3", "tlsv1.2"))] = (
        "tlsv1.3",
        "tlsv1.2",
    )


@dataclass(frozen=True, slots=True)
class Management:
    enabled: Annotated[bool, About("serve the HTTP API")] = True
    host: Annotated[str | None, About("address the HTTP API listens on; default: `host`")] = None
    port: Annotated[int, About("port of the HTTP API; 0 takes a free one", least=0, most=PORT_MAX)] = 15_672
    tls_port: Annotated[
        int | None,
        About(
            "port of the HTTP API over TLS, by custom 15671; 0 takes a free one; default: no TLS",
            least=0,
            most=PORT_MAX,
        ),
    ] = None
    socket: Annotated[Path | None, About("serve the HTTP API on this Unix socket as well")] = None
    tcp: Annotated[bool, About("serve the HTTP API on `management.port`")] = True
    metrics_open: Annotated[
        bool, About("`/metrics` is for anybody; else for users with the tag monitoring or administrator")
    ] = False
    connections_max: Annotated[
        int, About("connections to the HTTP API; those beyond are closed at once", least=1, most=1_000_000)
    ] = 200
    request_s: Annotated[
        float,
        About(
            "how long a request may take to arrive, from connecting or the last answer, and an answer to be read",
            unit="seconds",
            least=0.1,
            most=86_400,
        ),
    ] = 30.0
    sample_s: Annotated[
        float,
        About("how often figures are taken, for rates and what they were before", unit="seconds", least=0.1, most=60),
    ] = 5.0
    body_bytes_max: Annotated[
        int,
        About("largest body of a request, and of what one `get` takes from a queue", unit="bytes", least=1),
    ] = 20_000_000


@dataclass(frozen=True, slots=True)
class Dashboard:
    enabled: Annotated[bool, About("serve the dashboard beside the HTTP API")] = True


@dataclass(frozen=True, slots=True)
class History:
    enabled: Annotated[
        bool, About("remember tasks, queues' figures and failures, in `history.sqlite3` beside the messages")
    ] = True
    days: Annotated[float, About("how long", unit="days", least=0.01, most=3_650)] = 14.0
    tasks_max: Annotated[
        int, About("so many tasks; those that succeeded are forgotten before those that failed", least=0, most=10**9)
    ] = 100_000
    bytes_max: Annotated[int, About("size of the file, about", unit="bytes", least=1_000_000)] = 268_435_456


@dataclass(frozen=True, slots=True)
class Prometheus:
    """RabbitMQ's `prometheus.tcp.*`."""

    port: Annotated[
        int | None,
        About(
            "a port for `/metrics` alone, which is open to anybody there, by custom 15692; 0 takes a free one; default: none",
            least=0,
            most=PORT_MAX,
        ),
    ] = None
    host: Annotated[str | None, About("address it listens on; default: that of the HTTP API")] = None


@dataclass(frozen=True, slots=True)
class Config:
    host: Annotated[str, About("address to listen on, with and without TLS")] = "127.0.0.1"
    port: Annotated[int, About("TCP port for AMQP; 0 takes a free one", least=0, most=PORT_MAX)] = 5_672
    tcp: Annotated[bool, About("listen on `port`")] = True
    tls_port: Annotated[
        int | None,
        About(
            "TCP port for AMQP over TLS, by custom 5671; 0 takes a free one; default: no TLS", least=0, most=PORT_MAX
        ),
    ] = None
    socket: Annotated[Path | None, About("listen on this Unix socket as well")] = None
    data: Annotated[Path, About("directory for messages and definitions")] = Path("leveret-data")
    memory: Annotated[bool, About("keep nothing: for tests and trials")] = False
    log_level: Annotated[str, About("what is logged", choices=("debug", "info", "warning", "error"))] = "info"
    auth_mechanisms: Annotated[
        tuple[str, ...],
        About(
            "SASL mechanisms offered; EXTERNAL only to clients with a verified certificate",
            choices=("PLAIN", "AMQPLAIN", "EXTERNAL"),
        ),
    ] = ("PLAIN", "AMQPLAIN", "EXTERNAL")
    ssl_cert_login_from: Annotated[
        str,
        About(
            "which part of its certificate is the name of a user who logs in with EXTERNAL",
            choices=("distinguished_name", "common_name", "subject_alternative_name"),
        ),
    ] = "distinguished_name"
    ssl_cert_login_san_type: Annotated[
        str, About("which kind of subject alternative name it is", choices=("dns", "ip", "email", "uri"))
    ] = "dns"
    ssl_cert_login_san_index: Annotated[int, About("which of them, counted from 0", least=0)] = 0
    limits: Limits = field(default_factory=Limits)
    management: Management = field(default_factory=Management)
    dashboard: Dashboard = field(default_factory=Dashboard)
    history: History = field(default_factory=History)
    prometheus: Prometheus = field(default_factory=Prometheus)
    ssl_options: SslOptions = field(default_factory=SslOptions)

    @property
    def directory(self) -> Path | None:
        """Where the store keeps its database; None: in memory."""
        return None if self.memory else self.data
