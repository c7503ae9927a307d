"""Records what SQLite does to the disk: a layer over the VFS of the very library that Python's sqlite3 uses.

A trace is recorded once, and powerloss/disk cuts it at thousands of places: that is cheaper than to run the store anew for
each, and every cut is the same again by its seed. The layer is put in with ctypes rather than apsw, which brings a
SQLite of its own and not the one that users have; and rather than a tracer or a preloaded library, which a fresh machine
does not have. Only writes, truncations, syncs, creations and removals are seen, in the order in which they were done;
they are done as well. A directory is synced inside SQLite's own xSync and xDelete: its call that opens the directory is
replaced too, so that the trace has those syncs that were made and no others. What Python itself does to directories
(mkdir, and fsync of one) is recorded with it. WAL's shared memory needs no record: it is never synced.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
from collections.abc import Callable
from ctypes import CFUNCTYPE, c_char_p, c_int, c_longlong, c_void_p
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from powerloss.disk import Create, Image, Operation, Sync, SyncDirectory, Truncate, Unlink, Write

OK: Final = 0
Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
WriteFile = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_longlong)
TruncateFile = CFUNCTYPE(c_int, c_void_p, c_longlong)
SyncFile = CFUNCTYPE(c_int, c_void_p, c_int)
OpenDirectory = CFUNCTYPE(c_int, c_char_p, c_void_p)
SetSystemCall = CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)
GetSystemCall = CFUNCTYPE(c_void_p, c_void_p, c_char_p)


def _fields(integers: str, pointers: str) -> list[tuple[str, Any]]:
    return [(name, c_int) for name in integers.split()] + [(name, c_void_p) for name in pointers.split()]


class Vfs(ctypes.Structure):
    """sqlite3_vfs, version 3."""

    _fields_ = _fields(
        "iVersion szOsFile mxPathname",
        "pNext zName pAppData xOpen xDelete xAccess xFullPathname xDlOpen xDlError xDlSym xDlClose xRandomness xSleep "
        "xCurrentTime xGetLastError xCurrentTimeInt64 xSetSystemCall xGetSystemCall xNextSystemCall",
    )


class Methods(ctypes.Structure):
    """sqlite3_io_methods, version 3. SQLite never looks at what a lower version does not have."""

    _fields_ = _fields(
        "iVersion",
        "xClose xRead xWrite xTruncate xSync xFileSize xLock xUnlock xCheckReservedLock xFileControl xSectorSize "
        "xDeviceCharacteristics xShmMap xShmLock xShmBarrier xShmUnmap xFetch xUnfetch",
    )


METHODS_BYTES: Final = {1: Methods.xShmMap.offset, 2: Methods.xFetch.offset, 3: ctypes.sizeof(Methods)}


def library() -> ctypes.CDLL:
    return ctypes.CDLL(_sqlite3.__file__)


def missing() -> str:
    """Why nothing can be recorded here; empty if it can."""
    try:
        found = library().sqlite3_vfs_find
    except (AttributeError, OSError) as error:
        return f"the SQLite inside this Python cannot be reached: {error}"
    found.restype = c_void_p
    address = found(None)
    if not address or Vfs.from_address(address).iVersion < 3:
        return "the VFS of this SQLite is not the one of Unix"
    return ""


class Recorder:
    """Everything that happens to files below `root` while this is entered; `operations` grows meanwhile.

    `base` is what was there before. Databases that are opened inside have to be closed inside.
    """

    def __init__(self, root: Path, base: Image | None = None) -> None:
        self.root: Final = os.path.realpath(root)
        self.base: Final[Image] = base or {}
        self.operations: list[Operation] = []
        self.directories: Final[set[str]] = {path for path, content in self.base.items() if content is None}
        self._library: Final = library()
        self._library.sqlite3_vfs_find.restype = c_void_p
        self._library.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
        self._library.sqlite3_vfs_unregister.argtypes = [c_void_p]
        self._below: Final = Vfs.from_address(self._library.sqlite3_vfs_find(None))
        self._vfs: Final = Vfs.from_buffer_copy(self._below)
        self._name: Final = ctypes.create_string_buffer(b"recorded")
        self._paths: dict[int, str] = {}
        self._methods: dict[int, Methods] = {}
        self._kept: list[Any] = []
        self._opened_directories: list[str] = []
        self._mkdir: Final = os.mkdir
        self._fsync: Final = os.fsync

    def now(self) -> int:
        """The place in the trace."""
        return len(self.operations)

    def __enter__(self) -> Recorder:
        below = self._below
        self._open = Open(below.xOpen)
        self._delete = Delete(below.xDelete)
        self._open_directory = OpenDirectory(GetSystemCall(below.xGetSystemCall)(self._address(), b"openDirectory"))
        self._vfs.zName = ctypes.addressof(self._name)
        self._vfs.xOpen = self._callback(Open, self._on_open)
        self._vfs.xDelete = self._callback(Delete, self._on_delete)
        self._replace_system_call(self._callback(OpenDirectory, self._on_open_directory))
        self._library.sqlite3_vfs_register(ctypes.addressof(self._vfs), 1)
        os.mkdir, os.fsync = self._on_mkdir, self._on_fsync  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.mkdir, os.fsync = self._mkdir, self._fsync
        self._library.sqlite3_vfs_unregister(ctypes.addressof(self._vfs))
        self._library.sqlite3_vfs_register(self._address(), 1)
        self._replace_system_call(None)

    def _address(self) -> int:
        return ctypes.addressof(self._below)

    def _replace_system_call(self, function: int | None) -> None:
        SetSystemCall(self._below.xSetSystemCall)(self._address(), b"openDirectory", function)

    def _callback(self, kind: Any, function: Callable[..., int]) -> int:
        made = kind(function)
        self._kept.append(made)
        address = ctypes.cast(made, c_void_p).value
        if address is None:
            raise ValueError("a callback without an address")
        return address

    def _relative(self, path: str) -> str | None:
        """None: none of ours."""
        if path == self.root:
            return "."
        return path[len(self.root) + 1 :] if path.startswith(self.root + "/") else None

    # ---- names

    def _on_open(self, vfs: int, name: int | None, file: int, flags: int, out_flags: int | None) -> int:
        path = None if name is None else self._relative(os.fsdecode(ctypes.string_at(name)))
        new = path is not None and not os.path.exists(os.path.join(self.root, path))
        result: int = self._open(vfs, name, file, flags, out_flags)
        if result == OK and path is not None:
            if new:
                self.operations.append(Create(path))
            self._paths[file] = path
            methods = c_void_p.from_address(file)  # the first field of a sqlite3_file
            methods.value = ctypes.addressof(self._recording(methods.value or 0))
        return result

    def _on_delete(self, vfs: int, name: bytes, sync_directory: int) -> int:
        path = self._relative(os.fsdecode(name))
        there = path is not None and os.path.exists(os.fsdecode(name))
        self._opened_directories.clear()
        result: int = self._delete(vfs, name, sync_directory)
        if result == OK and path is not None and there:
            self.operations.append(Unlink(path))
        self._synced_directories()
        return result

    def _on_open_directory(self, name: bytes, descriptor: int) -> int:
        """SQLite syncs what this opens, and nothing else uses it."""
        result: int = self._open_directory(name, descriptor)
        if result == OK:
            self._opened_directories.append(os.path.dirname(os.fsdecode(name)))
        return result

    def _synced_directories(self) -> None:
        for directory in self._opened_directories:
            path = self._relative(directory)
            if path is not None:
                self.operations.append(SyncDirectory(path))
        self._opened_directories.clear()

    # ---- contents

    def _recording(self, address: int) -> Methods:
        """The methods of a file at that address, with ours before the three that change it."""
        found = self._methods.get(address)
        if found is None:
            below = Methods()
            version = c_int.from_address(address).value
            ctypes.memmove(ctypes.addressof(below), address, METHODS_BYTES[min(version, 3)])
            found = self._methods[address] = Methods.from_buffer_copy(below)
            write, truncate = WriteFile(below.xWrite), TruncateFile(below.xTruncate)
            sync = SyncFile(below.xSync)

            def on_write(file: int, data: int, size: int, offset: int) -> int:
                result: int = write(file, data, size, offset)
                if result == OK:
                    self.operations.append(Write(self._paths[file], offset, ctypes.string_at(data, size)))
                return result

            def on_truncate(file: int, size: int) -> int:
                result: int = truncate(file, size)
                if result == OK:
                    self.operations.append(Truncate(self._paths[file], size))
                return result

            def on_sync(file: int, flags: int) -> int:
                self._opened_directories.clear()
                result: int = sync(file, flags)
                if result == OK:
                    self.operations.append(Sync(self._paths[file]))
                self._synced_directories()
                return result

            found.xWrite = self._callback(WriteFile, on_write)
            found.xTruncate = self._callback(TruncateFile, on_truncate)
            found.xSync = self._callback(SyncFile, on_sync)
        return found

    # ---- what Python does

    def _on_mkdir(self, path: Any, *arguments: Any, **options: Any) -> None:
        self._mkdir(path, *arguments, **options)
        relative = self._relative(os.path.realpath(path))
        if relative is not None:
            self.directories.add(relative)
            self.operations.append(Create(relative, directory=True))

    def _on_fsync(self, descriptor: Any) -> None:
        self._fsync(descriptor)
        for relative in [".", *self.directories]:
            if os.path.samestat(os.stat(os.path.join(self.root, relative)), os.fstat(descriptor)):
                self.operations.append(SyncDirectory(relative))
