"""What each process writes down: one line for each thing that happened, appended by one write(2).

What was written is there after the process was killed; a line that was cut short is left out when read. Times are those
of the machine's monotonic clock, which all processes share. Read by crash/checker, which lists the kinds of lines.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

BODY_BYTES_MAX: Final = 4096
MESSAGE: Final = re.compile(rb"[a-z0-9-]+:[0-9]+")


class Line(NamedTuple):
    at_ns: int
    who: str
    kind: str
    fields: tuple[str, ...]


class Sheet:
    """The file of one process. `name` is who writes: a role, its place, and which process it is in that place."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self._file = os.open(directory / f"{name}.lines", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, kind: str, *fields: object) -> None:
        words = " ".join(map(str, (time.monotonic_ns(), kind, *fields)))
        os.write(self._file, f"{words}\n".encode())


def read(directory: Path) -> list[Line]:
    """All lines of all processes, by time; those of one process stay in the order in which it wrote them."""
    return sorted(
        (line for path in sorted(directory.glob("*.lines")) for line in _lines(path)), key=lambda line: line.at_ns
    )


def _lines(path: Path) -> Iterator[Line]:
    for text in path.read_text().splitlines(keepends=True):
        if text.endswith("\n"):
            at, kind, *fields = text.split()
            yield Line(int(at), path.stem, kind, tuple(fields))


def body_of(message: str) -> bytes:
    """The body of a message follows from its id, so that whoever gets it sees whether it is whole."""
    digest = zlib.crc32(message.encode())
    size = digest % 200 if digest % 10 else digest % BODY_BYTES_MAX
    return message.encode() + b" " + digest.to_bytes(4, "big") * (size // 4)


def message_of(body: bytes) -> str:
    """The id of the message with this body; for a body that no publisher made, a word that is no id."""
    message = body.partition(b" ")[0]
    if MESSAGE.fullmatch(message) and body_of(message.decode()) == body:
        return message.decode()
    return f"damaged-{zlib.crc32(body)}-of-{len(body)}-bytes"
