"""What an error becomes before a client is told of it. Used by server/session."""

from __future__ import annotations

from leveret.errors import AMQPError


def with_method(error: AMQPError, class_id: int, method_id: int) -> AMQPError:
    """The error, saying which method it answers if it does not yet."""
    if not error.class_id:
        error.class_id = class_id
        error.method_id = method_id
    return error


def short(text: str) -> str:
    """Cut to what a short string holds, and readable: names in it may have come as octets that are not UTF-8."""
    encoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()
    return encoded.decode() if len(encoded) <= 255 else encoded[:252].decode("utf-8", "ignore") + "..."
