"""A client's certificate in RabbitMQ's words: its names, who it stands for, and how the connection is encrypted.

Distinguished names are written as RabbitMQ writes them (RFC 4514: last part first, escaped). Called by server/tls.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from leveret.errors import ConfigError

if TYPE_CHECKING:
    from leveret.server.config import Config

SHORT: Final = {
    "commonName": "CN",
    "surname": "SN",
    "givenName": "GIVENNAME",
    "initials": "INITIALS",
    "generationQualifier": "GENERATIONQUALIFIER",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "title": "TITLE",
    "countryName": "C",
    "serialNumber": "SERIALNUMBER",
    "pseudonym": "PSEUDONYM",
    "domainComponent": "DC",
    "emailAddress": "EMAILADDRESS",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""OpenSSL's names of the parts of a distinguished name, and RabbitMQ's."""

SAN_TYPES: Final = {"dns": "DNS", "ip": "IP Address", "email": "email", "uri": "URI"}

Name = tuple[tuple[tuple[str, str], ...], ...]
"""As Python's ssl gives a distinguished name."""


CLEAR: Final[dict[str, object]] = {
    "ssl": False,
    "ssl_protocol": None,
    "ssl_key_exchange": None,
    "ssl_cipher": None,
    "ssl_hash": None,
    "peer_cert_subject": None,
    "peer_cert_issuer": None,
    "peer_cert_validity": None,
}
"""A connection without TLS in the management API."""


@dataclass(frozen=True, slots=True)
class Tls:
    """What is known of a connection over TLS. `user`: who its certificate stands for, None if it does not say."""

    view: dict[str, object]
    verified: bool
    user: str | None


def describe(connection: ssl.SSLObject, config: Config) -> Tls:
    """A certificate is only seen here if it was asked for and verified."""
    certificate: dict[str, Any] = connection.getpeercert() or {}
    view = {**CLEAR, "ssl": True, **cipher(connection)}
    if not certificate:
        return Tls(view, False, None)
    view["peer_cert_subject"] = distinguished_name(certificate["subject"])
    view["peer_cert_issuer"] = distinguished_name(certificate["issuer"])
    view["peer_cert_validity"] = f"{moment(certificate['notBefore'])} - {moment(certificate['notAfter'])}"
    return Tls(view, True, user_name(certificate, config))


def cipher(connection: ssl.SSLObject) -> dict[str, object]:
    """ECDHE-RSA-AES256-GCM-SHA384 or TLS_AES_256_GCM_SHA384 taken apart as Erlang does."""
    name = (connection.cipher() or ("", "", 0))[0]
    parts = name.lower().replace("_", "-").replace("aes128", "aes-128").replace("aes256", "aes-256").split("-")
    if parts[0] == "tls":
        exchange, parts = "any", parts[1:]
    elif parts[0] in ("ecdhe", "dhe"):
        exchange, parts = f"{parts[0]}_{parts[1]}", parts[2:]
    else:
        exchange = "rsa"
    aead = "gcm" in parts or "poly1305" in parts
    hashed = parts.pop() if parts[-1].startswith("sha") else ""
    return {
        "ssl_protocol": (connection.version() or "").lower(),
        "ssl_key_exchange": exchange,
        "ssl_cipher": "_".join(parts) if aead else "_".join([*parts, "cbc"]),
        "ssl_hash": "aead" if aead else hashed,
    }


def distinguished_name(name: Name) -> str:
    return ",".join("+".join(f"{SHORT.get(kind, kind)}={escaped(value)}" for kind, value in rdn) for rdn in name[::-1])


def escaped(value: str) -> str:
    """RFC 4514, section 2.4, and everything that is not printable ASCII octet by octet, as RabbitMQ does."""
    octets = value.encode()
    last = len(octets) - 1
    text = ""
    for at, octet in enumerate(octets):
        one = chr(octet)
        if one in '"+,;<>\\' or (one in " #" and at == 0) or (one == " " and at == last):
            text += "\\" + one
        else:
            text += one if 32 <= octet < 126 else f"\\{octet:02X}"
    return text


def moment(text: str) -> str:
    """`Nov 25 03:00:00 2026 GMT` as 2026-11-25T03:00:00Z."""
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def valid_until(path: Path) -> float:
    """When the first certificate in the file ends to be valid, in seconds since 1970; ConfigError: there is none."""
    try:
        # The standard library reads a certificate's fields without a connection in this way alone.
        decoded: dict[str, Any] = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]
    except ssl.SSLError as error:
        raise ConfigError(f"{path}: no certificate, PEM: {error}") from None
    return ssl.cert_time_to_seconds(decoded["notAfter"])


def user_name(certificate: dict[str, Any], config: Config) -> str | None:
    """Who the certificate stands for (`ssl_cert_login_from`); None if it does not say."""
    if config.ssl_cert_login_from == "distinguished_name":
        return distinguished_name(certificate["subject"])
    if config.ssl_cert_login_from == "common_name":
        return ",".join(value for rdn in certificate["subject"] for kind, value in rdn if kind == "commonName") or None
    kind = SAN_TYPES[config.ssl_cert_login_san_type]
    names = [value for one, value in certificate.get("subjectAltName", ()) if one == kind]
    index = config.ssl_cert_login_san_index
    return names[index] if index < len(names) else None
