"""TLS: the context made from `ssl_options`, and the listener whose connections begin with a TLS handshake.

When TLS is spoken the encrypted transport goes to server/protocol, which cannot tell the difference. The handshakes of TLS
and AMQP together have `handshake_s`. Made by server/server.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from leveret.errors import ConfigError
from leveret.server.certificate import describe
from leveret.server.protocol import Protocol

if TYPE_CHECKING:
    from leveret.server.config import SslOptions
    from leveret.server.server import Server

log = logging.getLogger("leveret.connection")

ACCEPTS_PER_TURN: Final = 100
REST_S: Final = 1.0
VERSIONS: Final = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}


def make_context(options: SslOptions) -> ssl.SSLContext:
    """ConfigError names the file that is missing, unreadable or does not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    versions = [VERSIONS[name] for name in options.versions]
    context.minimum_version, context.maximum_version = min(versions), max(versions)
    _load_certificate(context, options)
    if options.cacertfile is not None:
        readable("cacertfile", options.cacertfile)
        try:
            context.load_verify_locations(options.cacertfile)
        except ssl.SSLError as error:
            raise ConfigError(f"ssl_options.cacertfile {options.cacertfile}: no certificates, PEM: {error}") from None
    if options.verify == "verify_peer":
        context.verify_mode = ssl.CERT_REQUIRED if options.fail_if_no_peer_cert else ssl.CERT_OPTIONAL
    return context


def _load_certificate(context: ssl.SSLContext, options: SslOptions) -> None:
    certificate, key = options.certfile, options.keyfile
    if certificate is None:
        raise ConfigError("ssl_options.certfile is not set")
    readable("certfile", certificate)
    if key is not None:
        readable("keyfile", key)
    encrypted = []

    def password() -> str:
        """Called for an encrypted key only; without it OpenSSL would ask the terminal."""
        encrypted.append(True)
        return options.password or ""

    try:
        context.load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            text = f"ssl_options.keyfile {key or certificate} is not the key of the certificate in {certificate}"
        elif encrypted:
            text = f"ssl_options.password is not that of the key in {key or certificate}"
        elif not contains_certificate(certificate):
            text = f"ssl_options.certfile {certificate}: no certificate, PEM"
        else:
            text = f"ssl_options.keyfile {key or certificate}: no private key, PEM"
        raise ConfigError(f"{text} ({error.reason or error})") from None


def contains_certificate(path: Path) -> bool:
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        return False
    return True


def readable(name: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigError(f"ssl_options.{name} {path}: cannot be read: {error.strerror}") from None


class TlsListener:
    """Accepts on one port, and keeps the tasks of handshakes that are under way.

    It accepts by itself because an event loop's own TLS server does not tell when and why a handshake failed.
    """

    def __init__(self, server: Server, context: ssl.SSLContext) -> None:
        self._server = server
        self._context = context
        self._sockets: list[socket.socket] = []
        self._securing: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def securing(self) -> int:
        return len(self._securing)

    async def listen(self, host: str, port: int) -> None:
        """OSError if it cannot. Port 0: `port` is the one that the system chose."""
        found = await self._server.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in sorted({(one[0], one[4][:2]) for one in found}):
            listening = socket.create_server((address[0], self.port or port), family=family, backlog=1024)
            listening.setblocking(False)
            self.port = listening.getsockname()[1]
            self._sockets.append(listening)
            self._server.loop.add_reader(listening, self._accept, listening)

    def close(self) -> None:
        """No more connections; those that are not secured yet end."""
        for listening in self._sockets:
            self._server.loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()
        for task in list(self._securing):
            task.cancel()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(listening, error)
                return
            if self._server.crowded:
                accepted.close()
                continue
            accepted.setblocking(False)
            task = self._server.loop.create_task(self._secure(accepted, f"{address[0]}:{address[1]}"))
            self._securing.add(task)
            task.add_done_callback(self._securing.discard)

    def _rest(self, listening: socket.socket, error: OSError) -> None:
        """Nothing can be accepted for now, as when files run out: the socket stays readable, so look away for a while."""
        log.error("cannot accept: %s", error.strerror)
        loop = self._server.loop
        loop.remove_reader(listening)
        loop.call_later(REST_S, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._server.loop.add_reader(listening, self._accept, listening)

    async def _secure(self, accepted: socket.socket, peer: str) -> None:
        limits = self._server.limits
        gate = Gate(self._server)
        try:
            await self._server.loop.connect_accepted_socket(
                lambda: gate,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=limits.handshake_s,
                ssl_shutdown_timeout=limits.close_s,
            )
        except (OSError, ValueError, asyncio.CancelledError) as error:
            log.warning("TLS with %s failed: %s", peer, reason(error))


class Gate(asyncio.Protocol):
    """Where a connection is until TLS is spoken on it; what comes then is for the protocol of AMQP."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._deadline = server.loop.time() + server.limits.handshake_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)
        try:
            tls = describe(stream.get_extra_info("ssl_object"), self._server.config)
        except ValueError as error:
            log.warning("the certificate of a client cannot be read: %s", error)
            stream.abort()
            return
        protocol = Protocol(self._server)
        protocol.session.tls = tls
        protocol.handshake_s = max(0.0, self._deadline - self._server.loop.time())
        stream.set_protocol(cast(asyncio.Protocol, protocol))
        protocol.connection_made(stream)


def reason(error: BaseException) -> str:
    """In words, also where OpenSSL has only a name for it."""
    found: Any = getattr(error, "reason", None)
    return str(found).replace("_", " ").lower() if found else str(error) or type(error).__name__
