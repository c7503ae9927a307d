"""Names and texts as others gave them, made fit to be kept: short, and text. Pure."""

from __future__ import annotations

from typing import Final

from leveret.tasks.events import TRACEBACK_CHARACTERS_MAX

NAME_CHARACTERS_MAX: Final = 255
TEXT_CHARACTERS_MAX: Final = 500


def name(text: str) -> str:
    return readable(text[:NAME_CHARACTERS_MAX])


def short(text: str) -> str:
    return readable(text[:TEXT_CHARACTERS_MAX])


def traceback(text: str) -> str:
    return readable(text[-TRACEBACK_CHARACTERS_MAX:])


def readable(text: str) -> str:
    """Octets that were no UTF-8 have no place in JSON, and SQLite takes a zero for the end."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
