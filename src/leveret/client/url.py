"""What a broker's URL says: where to connect, as whom, and how.

    amqp://user:password@host:5672/vhost        several hosts: amqp://u:p@one:5672,two:5672/vhost
    amqps://host/vhost?cafile=ca.pem&certfile=me.pem&keyfile=me.key&verify=0
    amqps://host/vhost?…&auth_mechanism=external     the certificate says who we are
    amqp+unix:///run/leveret.sock?vhost=/       any of them with heartbeat=, name=, timeout= (seconds)

No sockets are opened here. Called by client/connection.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from leveret.errors import ClientError

PORTS: Final = {"amqp": 5672, "amqps": 5671}
QUERY: Final = frozenset(
    {"auth_mechanism", "cafile", "cacertfile", "certfile", "keyfile", "verify", "heartbeat", "name", "timeout", "vhost"}
)
UNVERIFIED: Final = frozenset({"0", "no", "none", "false", "verify_none"})
VERIFIED: Final = frozenset({"1", "yes", "peer", "true", "verify_peer"})


class Endpoint(msgspec.Struct, frozen=True):
    """One place to connect to: a host and port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class TLS(msgspec.Struct, frozen=True):
    """File names as ssl takes them. `verify` false accepts any certificate: for tests only."""

    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.cafile)
            if self.certfile:
                context.load_cert_chain(self.certfile, self.keyfile)
        except (OSError, ssl.SSLError) as error:
            raise ClientError(f"a certificate or key of the broker's URL cannot be read: {error}") from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class Target(msgspec.Struct, frozen=True):
    """A URL, taken apart. None where it says nothing and the caller's value holds."""

    endpoints: tuple[Endpoint, ...]
    user: str = "guest"
    password: str = "guest"
    vhost: str = "/"
    tls: TLS | None = None
    mechanism: str = "PLAIN"
    heartbeat_s: int | None = None
    name: str | None = None
    timeout_s: float | None = None

    def __str__(self) -> str:
        """Without the password."""
        return f"{', '.join(map(str, self.endpoints))} (vhost {self.vhost!r}, user {self.user!r})"


def parse_url(url: str) -> Target:
    """ClientError says what is wrong with `url`, never repeating its password."""
    try:
        return _parse(url)
    except ClientError:
        _, _, behind = url.partition("://")
        if "@" not in behind[len(re.split("[/?]", behind)[0]) :]:
            raise
    # What was read as path or query may be the rest of a password: none of it is repeated.
    text = "the broker's URL cannot be read; a / or ? in its user or password has to be written as %2F or %3F"
    raise ClientError(text)


def _parse(url: str) -> Target:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in (*PORTS, "amqp+unix"):
        raise ClientError("a broker's URL begins with amqp://, amqps:// or amqp+unix://")
    rest, _, query_text = rest.partition("?")
    query = _query(query_text)
    authority, _, path = rest.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    user, colon, password = credentials.partition(":")
    if scheme == "amqp+unix":
        endpoints, vhost = _socket(hosts, path), query.get("vhost", "/")
    elif "vhost" in query:
        raise ClientError("vhost= belongs to amqp+unix:// only; elsewhere the path names the vhost: amqp://host/vhost")
    elif "/" in path:
        raise ClientError(f"the vhost in {'/' + path!r} contains a slash: write it as %2F")
    else:
        endpoints, vhost = _hosts(hosts, PORTS[scheme]), unquote(path) or "/"
    return Target(
        endpoints,
        user=unquote(user) if credentials else "guest",
        password=unquote(password) if colon else "guest",
        vhost=vhost,
        tls=_tls(scheme, query),
        mechanism=_mechanism(query),
        heartbeat_s=_heartbeat(query),
        name=query.get("name"),
        timeout_s=_timeout(query),
    )


def _query(text: str) -> Mapping[str, str]:
    try:
        query = dict(parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)))
    except ValueError:
        raise ClientError(f"{text!r} is no query: expected name=value&name=value") from None
    unknown = sorted(set(query) - QUERY)
    if unknown:
        raise ClientError(f"a broker's URL knows no {unknown[0]}=; known are {', '.join(sorted(QUERY))}")
    return query


def _socket(hosts: str, path: str) -> tuple[Endpoint, ...]:
    if hosts or not path:
        raise ClientError(
            "a Unix socket is given by its whole path, after three slashes: amqp+unix:///run/leveret.sock"
        )
    return (Endpoint(path="/" + unquote(path)),)


def _hosts(text: str, default_port: int) -> tuple[Endpoint, ...]:
    return tuple(_host(one, default_port) for one in text.split(","))


def _host(text: str, default_port: int) -> Endpoint:
    if text.startswith("["):
        host, bracket, tail = text[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ClientError(f"{text!r} is no IPv6 address and port: expected [::1]:5672")
        port_text = tail[1:]
    else:
        host, _, port_text = text.partition(":")
    if port_text and not 0 < _number(port_text) < 65536:
        raise ClientError(f"{port_text!r} is no port: expected a number from 1 to 65535")
    return Endpoint(unquote(host) or "localhost", int(port_text) if port_text else default_port)


def _mechanism(query: Mapping[str, str]) -> str:
    mechanism = query.get("auth_mechanism", "plain").upper()
    if mechanism not in ("PLAIN", "EXTERNAL"):
        raise ClientError(f"auth_mechanism={mechanism.lower()} is neither plain nor external")
    return mechanism


def _number(text: str) -> int:
    """-1 if it is none, or longer than any that fits (int refuses thousands of digits)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1


def _tls(scheme: str, query: Mapping[str, str]) -> TLS | None:
    given = sorted(set(query) & {"cafile", "cacertfile", "certfile", "keyfile", "verify"})
    if scheme != "amqps":
        if given:
            raise ClientError(f"{given[0]}= needs TLS: use amqps://")
        return None
    verify = query.get("verify", "1").lower()
    if verify not in UNVERIFIED | VERIFIED:
        raise ClientError(f"verify={verify} is neither 1 (check the broker's certificate) nor 0 (do not)")
    cafile = query.get("cafile") or query.get("cacertfile")
    return TLS(cafile, query.get("certfile"), query.get("keyfile"), verify in VERIFIED)


def _heartbeat(query: Mapping[str, str]) -> int | None:
    text = query.get("heartbeat")
    if text is None:
        return None
    if not 0 <= _number(text) < 65536:
        raise ClientError(f"heartbeat={text}: expected whole seconds from 0 (off) to 65535")
    return int(text)


def _timeout(query: Mapping[str, str]) -> float | None:
    text = query.get("timeout")
    if text is None:
        return None
    try:
        timeout_s = float(text)
    except ValueError:
        timeout_s = 0.0
    if not 0 < timeout_s < float("inf"):
        raise ClientError(f"timeout={text}: expected seconds, more than 0")
    return timeout_s
