"""A disk that loses its power: what was written and not synced may be there, or not, or in part.

Fed with the operations of a trace one after the other (powerloss/vfs records them); `crash` makes the files as a power
loss at this moment may leave them. What it takes for granted is what SQLite does: a sync makes everything written to that
file before durable; what was never written does not change, even in a sector that is being written. Nothing else:
1. a piece of 512 or 4,096 octets that was not synced is there or not, whatever came before or after it, or is torn;
2. a file's length may lag behind, and where nothing was written inside it there are zeros or what was there before;
3. a name that was made or removed is so only once its directory was synced: syncing the file does not do that;
4. the file of SQLite's shared memory is never synced: it is gone, or holds anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from random import Random
from typing import Final

SECTOR_BYTES: Final = (512, 4096)
SHARED_MEMORY: Final = "-shm"
SHARED_MEMORY_BYTES: Final = 32_768
TORN: Final = 0.05
"""How many of the pieces that reach the disk do so in part."""


@dataclass(frozen=True, slots=True)
class Write:
    path: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    path: str


@dataclass(frozen=True, slots=True)
class Create:
    path: str
    directory: bool = False


@dataclass(frozen=True, slots=True)
class Unlink:
    path: str


@dataclass(frozen=True, slots=True)
class SyncDirectory:
    path: str


Operation = Write | Truncate | Sync | Create | Unlink | SyncDirectory
Image = dict[str, bytes | None]
"""Contents by path; None is a directory."""


@dataclass
class File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Write | Truncate] = field(default_factory=list)

    def sync(self) -> None:
        for operation in self.pending:
            perform(self.durable, operation)
        self.pending.clear()

    def surviving(self, random: Random) -> bytes:
        """What of it may be on the disk: one of the many possibilities."""
        left = bytearray(self.durable)
        if not self.pending:
            return bytes(left)
        filler = random.randbytes if random.random() < 0.25 else bytes
        for operation in random.choice((self._nothing, self._all, self._in_order, self._any, self._any))(random):
            perform(left, operation, filler)
        if len(left) > len(self.durable) and random.random() < 0.25:
            del left[random.randint(len(self.durable), len(left)) :]
        return bytes(left)

    def _nothing(self, random: Random) -> Iterable[Write | Truncate]:
        return ()

    def _all(self, random: Random) -> Iterable[Write | Truncate]:
        return self.pending

    def _in_order(self, random: Random) -> Iterable[Write | Truncate]:
        """Up to some moment; the last write torn."""
        count = random.randrange(len(self.pending))
        yield from self.pending[:count]
        last = self.pending[count]
        if isinstance(last, Write):
            yield torn(last, random)

    def _any(self, random: Random) -> Iterable[Write | Truncate]:
        """Any subset; of the last write about half."""
        chance = random.choice((0.02, 0.5, 0.98))
        sector = random.choice(SECTOR_BYTES)
        for operation in self.pending:
            likely = 0.5 if operation is self.pending[-1] else chance
            if isinstance(operation, Truncate):
                if random.random() < likely:
                    yield operation
                continue
            for piece in pieces(operation, sector):
                if random.random() < likely:
                    yield torn(piece, random) if random.random() < TORN else piece


def perform(content: bytearray, operation: Write | Truncate, filler: Callable[[int], bytes] = bytes) -> None:
    """`filler` makes what stands between the old end and a write that begins behind it."""
    if isinstance(operation, Truncate):
        del content[operation.size :]
        content.extend(bytes(operation.size - len(content)))
        return
    if operation.offset > len(content):
        content.extend(filler(operation.offset - len(content)))
    content[operation.offset : operation.offset + len(operation.data)] = operation.data


def pieces(write: Write, size: int) -> list[Write]:
    """The write by sectors of that size."""
    found = []
    start, end = write.offset, write.offset + len(write.data)
    while start < end:
        stop = min(end, (start // size + 1) * size)
        found.append(Write(write.path, start, write.data[start - write.offset : stop - write.offset]))
        start = stop
    return found


def torn(write: Write, random: Random) -> Write:
    return Write(write.path, write.offset, write.data[: random.randrange(len(write.data) + 1)])


class Disk:
    """`image` is durable; paths are relative to the root, whose own entry is safe."""

    def __init__(self, image: Image) -> None:
        self._files: dict[str, File | None] = {
            path: None if content is None else File(bytearray(content)) for path, content in image.items()
        }
        self._durable: dict[str, File | None] = dict(self._files)
        self._pending: list[tuple[str, File | None, bool]] = []

    def perform(self, operation: Operation) -> None:
        path = operation.path
        if isinstance(operation, Create):
            made = None if operation.directory else File()
            self._files[path] = made
            self._pending.append((path, made, True))
        elif isinstance(operation, Unlink):
            self._pending.append((path, self._files.pop(path, None), False))
        elif isinstance(operation, SyncDirectory):
            self._sync_directory(path)
        else:
            file = self._files[path]
            if file is None:
                raise ValueError(f"{path} is a directory")
            if isinstance(operation, Sync):
                file.sync()
            else:
                file.pending.append(operation)

    def _sync_directory(self, path: str) -> None:
        later = []
        for entry in self._pending:
            if str(PurePosixPath(entry[0]).parent) == path:
                enter(self._durable, entry)
            else:
                later.append(entry)
        self._pending = later

    def crash(self, random: Random) -> Image:
        names = dict(self._durable)
        chance = random.choice((0.0, 0.5, 1.0))
        for entry in self._pending:
            if random.random() < chance:
                enter(names, entry)
        image: Image = {}
        for path, file in names.items():
            if all(str(parent) in names for parent in PurePosixPath(path).parents if str(parent) != "."):
                image[path] = None if file is None else file.surviving(random)
        self._leave_shared_memory(image, random)
        return image

    def _leave_shared_memory(self, image: Image, random: Random) -> None:
        for path in list(image):
            if path.endswith(".db") and random.random() < 0.25:
                image[path + SHARED_MEMORY] = random.randbytes(SHARED_MEMORY_BYTES)


def enter(names: dict[str, File | None], entry: tuple[str, File | None, bool]) -> None:
    path, file, made = entry
    if made:
        names[path] = file
    else:
        names.pop(path, None)
