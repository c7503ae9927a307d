"""What was asked for and what was promised, as histories: of each message, where it is; of each setting, its value.

A history is a list of steps. Each was asked for at one place of the trace, and promised at a later one: a confirm, a
declare-ok, or the store's report after a commit. After a crash a thing stands at one of the steps between the last that
was promised before it and the last that was asked for, and at one only. Written by powerloss/life, judged by
powerloss/check.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NOWHERE = ""
"""The value of what is not there (any more)."""


@dataclass(slots=True)
class Step:
    value: str
    asked: int
    promised: int | None = None


@dataclass(slots=True)
class History:
    steps: list[Step] = field(default_factory=list)

    def ask(self, value: str, at: int) -> Step:
        self.steps.append(Step(value, at))
        return self.steps[-1]

    def allowed(self, at: int) -> set[str]:
        """The values it may have if the power is lost there."""
        allowed = {NOWHERE}
        for step in self.steps:
            if step.asked > at:
                break
            if step.promised is not None and step.promised <= at:
                allowed.clear()
            allowed.add(step.value)
        return allowed

    def asked_for(self, at: int) -> str:
        """The value that was last asked for."""
        return next((step.value for step in reversed(self.steps) if step.asked <= at), NOWHERE)

    def over(self, at: int) -> bool:
        """It is gone for good, and that was promised."""
        last = self.steps[-1]
        return last.value == NOWHERE and last.promised is not None and last.promised <= at


@dataclass(slots=True)
class Copy:
    """A message in one of the queues it was routed to, wherever it goes from there; `due` is when it moves by itself.

    `perhaps` is where it may be now: more than one place while the broker may have moved it unseen. `returns` has the
    number of times that it was given back, for each place.
    """

    number: int
    body: bytes
    due: int = 0
    places: History = field(default_factory=History)
    perhaps: set[str] = field(default_factory=set)
    returns: dict[str, History] = field(default_factory=dict)


class Whereabouts:
    """Which copies may be where, as far as one outside of the broker knows."""

    def __init__(self) -> None:
        self._at: dict[str, dict[int, Copy]] = {}
        self._by_body: dict[tuple[str, bytes], Copy] = {}

    def at(self, place: str) -> list[Copy]:
        return list(self._at.get(place, {}).values())

    def go(self, copy: Copy, place: str, at: int, surely: bool = True) -> Step:
        """It is asked, at that place of the trace, to go there (NOWHERE: away); surely, or perhaps."""
        if surely:
            self._settle(copy, place)
        else:
            self._add(copy, place)
        return copy.places.ask(place, at)

    def seen(self, place: str, body: bytes) -> Copy | None:
        """Somebody was given a message there; the copy, if it is one of ours."""
        copy = self._by_body.get((place, body))
        if copy is not None:
            self._settle(copy, place)
        return copy

    def _settle(self, copy: Copy, place: str) -> None:
        for other in copy.perhaps:
            del self._at[other][copy.number]
        copy.perhaps.clear()
        self._add(copy, place)

    def _add(self, copy: Copy, place: str) -> None:
        if place != NOWHERE:
            copy.perhaps.add(place)
            self._at.setdefault(place, {})[copy.number] = copy
            self._by_body[place, copy.body] = copy
