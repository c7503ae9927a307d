"""Passwords as RabbitMQ keeps them: base64 of a salt of four bytes and the digest of salt and password.

The digest is cheap on purpose, since every login of a client makes one on the broker's loop; what protects is the secrecy
of the hashes. Used by broker/users.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

from leveret.errors import InvalidSetting

SALT_BYTES: Final = 4
SHA256: Final = "rabbit_password_hashing_sha256"
DIGESTS: Final = {
    SHA256: "sha256",
    "rabbit_password_hashing_sha512": "sha512",
    "rabbit_password_hashing_md5": "md5",
}
"""RabbitMQ's names of the algorithms; new passwords get the first."""


def _encoded(password: str) -> bytes:
    return password.encode("utf-8", "surrogateescape")


def hashed(password: str) -> str:
    """The hash to keep, with a new salt."""
    salt = secrets.token_bytes(SALT_BYTES)
    return base64.b64encode(salt + hashlib.sha256(salt + _encoded(password)).digest()).decode()


def checked(password_hash: str) -> str:
    """The hash as it came from outside; InvalidSetting if it is not base64. Empty: no password opens it."""
    try:
        base64.b64decode(password_hash, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidSetting(["not_base64", password_hash]) from None
    return password_hash


def verify(password: str, password_hash: str, algorithm: str) -> bool:
    """In a time that tells nothing about the hash."""
    digest = DIGESTS.get(algorithm)
    if digest is None or not password_hash:
        return False
    kept = base64.b64decode(password_hash)
    salt = kept[:SALT_BYTES]
    made = hashlib.new(digest, salt + _encoded(password), usedforsecurity=False).digest()
    return hmac.compare_digest(kept[SALT_BYTES:], made)
