"""What a place keeps in mind for its next child, from what the child before told."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import msgspec

from leveret.worker.place import Place
from leveret.worker.status import Status


class Boss:
    def heard(self, status: Status) -> None: ...


def status(told: int, quiet: bool) -> bytes:
    said = Status(1, 0.0, True, not quiet, [], 1, 0, None, [], quiet=quiet, told=told)
    return msgspec.json.encode(said) + b"\n"


def quiet_after(*statuses: bytes) -> list[bool]:
    """Of the place whose child was told to be quiet by its supervisor, after each of those."""

    async def main() -> list[bool]:
        boss: Any = Boss()
        place = Place(boss, 1)
        place.fall_quiet()
        heard, child = os.pipe()
        try:
            found = []
            for line in statuses:
                os.write(child, line)
                place._hear(heard)
                found.append(place.quiet)
            return found
        finally:
            os.close(heard)
            os.close(child)

    return asyncio.run(main())


def test_what_was_told_before_the_child_heard_it_changes_nothing() -> None:
    assert quiet_after(status(0, False), status(1, True)) == [True, True]


def test_a_child_that_was_resumed_before_it_could_tell_that_it_was_quiet_is_followed_by_one_that_works() -> None:
    assert quiet_after(status(0, False), status(2, False)) == [True, False]
