"""The server's limits and addresses, each with its default (DESIGN.md, Limits)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    frame_max: int = 131_072
    channel_max: int = 2_047
    heartbeat_s: int = 60
    handshake_s: float = 10.0
    close_s: float = 5.0
    """How long a connection that was told to close may take to say close-ok."""
    consumer_timeout_s: float = 1800.0
    """How long a delivery may be unacknowledged before its channel is closed; 0: for ever."""
    pending_bytes_max: int = 8 * 1024 * 1024
    """Messages waiting for the disk: beyond this, publishers are not read from until half of it is written."""
    reply_bytes_max: int = 8 * 1024 * 1024
    """A client that asks but does not read the answers is not read from beyond this."""
    memory_high_watermark: float = 0.6
    """Publishers are blocked while this process uses more than this part of the machine's or container's memory; 0 blocks
    them always, as in RabbitMQ.
    """
    disk_free_bytes_min: int = 1_000_000_000
    """Publishers are blocked while less than this is free where the store is."""
    alarm_check_s: float = 2.5


@dataclass(frozen=True, slots=True)
class Config:
    host: str | None = "127.0.0.1"
    """None: no TCP."""
    port: int = 5672
    socket: Path | None = None
    directory: Path | None = None
    """Where the store keeps its database; None: in memory."""
    management_port: int | None = None
    """None: no HTTP API."""
    log_level: str = "info"
    limits: Limits = field(default_factory=Limits)
