"""`/metrics` for Prometheus, under the names of rabbitmq_prometheus: the sums of all, or of each object, or some families.

What the families are stands in management/families; this is their text, made in slices. Served by management/app and,
on a port of its own, by server/http.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from leveret.broker.broker import Broker
from leveret.management import families
from leveret.management.about import Node
from leveret.management.families import Family, Rows

CONTENT_TYPE: Final = "text/plain; version=0.0.4"
SLICE_S: Final = 0.002
LINES_AT_ONCE: Final = 200


class Metrics:
    def __init__(self, broker: Broker, node: Node, turn: Callable[[], None]) -> None:
        self._broker: Final = broker
        self._node: Final = node
        self._turn: Final = turn

    async def summed(self) -> bytes:
        """`/metrics`: figures of queues, channels and connections added up, so that they do not grow with their number."""
        return await self._text(families.summed(self._broker, self._node), "rabbitmq_")

    async def each(self) -> bytes:
        """`/metrics/per-object`"""
        return await self._text(families.each(self._broker, self._node), "rabbitmq_")

    async def detailed(self, names: Iterable[str], vhosts: Sequence[str]) -> bytes:
        """`/metrics/detailed`: the named families, of the named virtual hosts if any are."""
        parts = families.detailed(self._broker, self._node, names, vhosts)
        return await self._text(parts, "rabbitmq_detailed_") + await self._text(
            families.identity(self._node, "detailed"), "rabbitmq_"
        )

    async def _text(self, parts: Iterator[tuple[tuple[Family, ...], Rows]], prefix: str) -> bytes:
        loop = asyncio.get_running_loop()
        pieces: list[str] = []
        self._turn()
        until = loop.time() + SLICE_S
        for piece in lines(parts, prefix):
            pieces.append(piece)
            if loop.time() > until:
                await asyncio.sleep(0)
                self._turn()
                until = loop.time() + SLICE_S
        return "".join(pieces).encode("utf-8", "replace")


def lines(parts: Iterator[tuple[tuple[Family, ...], Rows]], prefix: str) -> Iterator[str]:
    """The text bit by bit. The rows of a group have their labels, and a value for each of the group's families."""
    for group, rows in parts:
        taken = []
        for row in rows:
            if row is not None:
                taken.append((written(row[0]), row[1]))
            yield ""
        for column, family in enumerate(group):
            name = family.name if family.bare else prefix + family.name
            yield f"# TYPE {name} {family.type}\n# HELP {name} {family.help}\n"
            for first in range(0, len(taken), LINES_AT_ONCE):
                some = taken[first : first + LINES_AT_ONCE]
                yield "".join([f"{name}{labels} {values[column]}\n" for labels, values in some])


def written(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""


def escaped(value: str) -> str:
    """As Prometheus' text format has it."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
