"""Arguments of an older version of a task: what waits, or comes from a program of last week, is turned into a call of today.

    @work.task(version=2)
    def resize(path: Path, size: Size) -> None: ...

    @resize.accepts(version=1)
    def _(path: Path, width: int) -> Call[None]:
        return resize.call(path, Size(width, width))

The header x-leveret-version says which one a message was made for; without it it is the first. Used by task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leveret.errors import TaskError
from leveret.tasks.injection import needs_of
from leveret.tasks.signature import Signature

FIRST = 1


def version_of(value: int | None) -> int:
    """TaskError if it is no number of a version."""
    version = FIRST if value is None else value
    if isinstance(version, bool) or not isinstance(version, int) or not FIRST <= version < 2**31:
        raise TaskError(f"version={value!r}: versions count from 1")
    return version


class Older:
    """The older versions that a task accepts. `name` and `present` are the task's name and version."""

    def __init__(self, name: str, present: int) -> None:
        self._name = name
        self._present = present
        self._known: dict[int, tuple[Signature, Callable[..., Any]]] = {}

    def add(self, version: int, function: Callable[..., Any]) -> None:
        """TaskError if it is not older, or known already."""
        if not FIRST <= version < self._present:
            raise TaskError(
                f"task {self._name!r} is of version {self._present}: it accepts {version} only once it says a higher version="
            )
        if version in self._known:
            raise TaskError(f"task {self._name!r} accepts version {version} already")
        if needs_of(function) is not None:
            raise TaskError(
                f"task {self._name!r}: nothing is injected into what accepts version {version}: it makes a call, no more"
            )
        self._known[version] = Signature(function, f"{self._name}, version {version}"), function

    def check(self) -> None:
        """TaskError if an annotation means nothing that can be read."""
        for signature, _ in self._known.values():
            _ = signature.decoders

    @property
    def there(self) -> bool:
        """Whether there can be any."""
        return self._present > FIRST

    def present_body(self, version: int, body: bytes, present: Signature) -> bytes:
        """Of the call of today that stands for it. TaskError if it is of no version that is known, or does not fit that; and
        whatever the program's function raises.
        """
        if version == self._present:
            return body
        found = self._known.get(version)
        if found is None:
            known = ", ".join(map(str, sorted({*self._known, self._present})))
            raise TaskError(f"task {self._name!r}: the message is of version {version}, this program knows {known}")
        signature, function = found
        args, kwargs = signature.decode(body)
        call = function(*args, **kwargs)
        if getattr(getattr(call, "task", None), "signature", None) is not present:
            raise TaskError(f"task {self._name!r}: what accepts version {version} has to return {self._name}.call(…)")
        new: bytes = call.body
        return new
