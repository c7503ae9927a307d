"""A regular expression matched without backtracking, for patterns that could make the standard library run for ever.

Every part of the pattern answers where it may end if it begins at a place in the name; the answers are remembered, so
that the time is bounded by the pattern's work (`Part.work`) times the name's length squared, and patterns of too much work
are refused. Made by broker/patterns from the standard library's own parse tree; back references and conditions are not
known here.
"""

from __future__ import annotations

import re
import re._compiler as compiler
import re._constants as sre
import re._parser as parser
from collections.abc import Callable
from typing import Any, Final

Places = int
"""A set of places in the name: bit n is the place before its character n."""

REPEAT_MAX: Final = 1_000
WORK_MAX: Final = 64
"""A name of 255 characters then takes some tenths of a second in pure Python at the very worst."""


class Part:
    """One node of the pattern. `ends` holds what was found out about the present name.

    `many`: it may end at many places. `work`: how many times, about, it has to look at all pairs of places.
    """

    def __init__(self, find: Callable[[str, int], Places], many: bool, work: int) -> None:
        self._find: Final = find
        self._found: dict[int, Places] = {}
        self.many: Final = many
        self.work: Final = work

    def ends(self, name: str, start: int) -> Places:
        found = self._found.get(start)
        if found is None:
            found = self._found[start] = self._find(name, start)
        return found

    def all_ends(self, name: str, starts: Places) -> Places:
        """From any of `starts`."""
        ends = 0
        while starts:
            lowest = starts & -starts
            ends |= self.ends(name, lowest.bit_length() - 1)
            starts ^= lowest
        return ends

    def forget(self) -> None:
        self._found.clear()


class Careful:
    """`search` is that of a compiled pattern, but for what it returns: anything but None is a match."""

    def __init__(self, tree: Any) -> None:
        self._flags: Final[int] = tree.state.flags
        self._parts: Final[list[Part]] = []
        self._whole: Final = self._sequence(tree)
        if self._whole.work > WORK_MAX:
            raise re.error("it could take long on some names; write it with fewer repeats")

    def search(self, name: str) -> Places | None:
        for part in self._parts:
            part.forget()
        for start in range(len(name) + 1):
            if ends := self._whole.ends(name, start):
                return ends
        return None

    def _part(self, find: Callable[[str, int], Places], many: bool, work: int) -> Part:
        self._parts.append(Part(find, many, work))
        return self._parts[-1]

    def _sequence(self, items: Any) -> Part:
        parts = [self._make(kind, value) for kind, value in items]

        def find(name: str, start: int) -> Places:
            places = 1 << start
            for part in parts:
                places = part.all_ends(name, places)
            return places

        many, work = False, 0
        for part in parts:
            work += part.work + many
            many = many or part.many
        return self._part(find, many, work)

    def _make(self, kind: Any, value: Any) -> Part:
        if kind in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN, sre.AT):
            return self._atom(kind, value)
        if kind is sre.SUBPATTERN and not value[1] and not value[2]:
            return self._sequence(value[3])
        if kind is sre.BRANCH:
            return self._branch([self._sequence(branch) for branch in value[1]])
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            return self._repeat(*value)
        if kind in (sre.ASSERT, sre.ASSERT_NOT) and value[0] > 0:
            return self._ahead(kind is sre.ASSERT, self._sequence(value[1]))
        raise re.error("it could run for ever on some names; write it without a repeat inside a repeat")

    def _atom(self, kind: Any, value: Any) -> Part:
        """One character or none: that is the standard library's."""
        state = parser.State()
        state.flags = self._flags
        state.str = ""
        single = compiler.compile(parser.SubPattern(state, [(kind, value)]), self._flags)

        def find(name: str, start: int) -> Places:
            found = single.match(name, start)
            return 0 if found is None else 1 << found.end()

        return self._part(find, False, 0)

    def _branch(self, branches: list[Part]) -> Part:
        def find(name: str, start: int) -> Places:
            ends = 0
            for branch in branches:
                ends |= branch.ends(name, start)
            return ends

        return self._part(find, True, sum(branch.work for branch in branches))

    def _repeat(self, least: int, most: int, body: Any) -> Part:
        part = self._sequence(body)
        if least > REPEAT_MAX:
            raise re.error(f"a repeat of more than {REPEAT_MAX}")

        def find(name: str, start: int) -> Places:
            places = 1 << start
            for _ in range(least):
                places = part.all_ends(name, places)
            reached = new = places
            for _ in range(min(most - least, len(name) + 1)):
                new = part.all_ends(name, new) & ~reached
                if not new:
                    break
                reached |= new
            return reached

        return self._part(find, part.many or most > least, part.work + 1 + least * part.many)

    def _ahead(self, wanted: bool, part: Part) -> Part:
        def find(name: str, start: int) -> Places:
            return 1 << start if bool(part.ends(name, start)) is wanted else 0

        return self._part(find, False, part.work)
