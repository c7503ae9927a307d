"""What stands on the screen: from what is known and what was chosen to something that rich prints. Pure; used by run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from leveret.board.board import Board
from leveret.top.panels import Panel, all_of, bar, clean, rate
from leveret.top.view import HELP, View

HEIGHTS: Final = " ▁▂▃▄▅▆▇█"
HEAD_LINES: Final = 4
FOOT_LINES: Final = 1
FOCUSED: Final = "bold black on cyan"
UNFOCUSED: Final = "black on bright_black"
KEYS: Final = "q quit  tab panel  j k scroll  s sort  f filter  p pause  ? help"


def screen(board: Board, view: View, now: float, broker: str, width: int, height: int) -> RenderableType:
    """Exactly what fits. Scrolling beyond an end is set right in `view`."""
    head = header(board, view, now, broker, width)
    if view.help:
        return Group(head, *(_cut(line, width) for line in _help()))
    panels = list(all_of(board, view, now))
    room = rooms([len(panel.items) for panel in panels], focus(panels, view), height - HEAD_LINES - FOOT_LINES)
    drawn = [table(panel, view, lines, width) for panel, lines in zip(panels, room, strict=True) if lines >= 0]
    blank = height - HEAD_LINES - FOOT_LINES - sum(lines + 1 for lines in room if lines >= 0)
    return Group(head, *drawn, *([Text("\n" * (blank - 1))] if blank > 0 else []), _cut(foot(view), width))


def whole(board: Board, now: float, broker: str, width: int) -> RenderableType:
    """All of it, however long: for a pipe."""
    view = View()
    panels = list(all_of(board, view, now))
    return Group(
        header(board, view, now, broker, width),
        *(table(panel, view, max(1, len(panel.items)), width) for panel in panels),
    )


# ---- the head


def header(board: Board, view: View, now: float, broker: str, width: int) -> RenderableType:
    lines = [
        _title(board, view, now, broker, width),
        _busy(board, now, width),
        _rates(board, now),
        _minute(board, now, width),
    ]
    return Group(*(_cut(line, width) for line in lines))


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line


def _title(board: Board, view: View, now: float, broker: str, width: int) -> Text:
    clock = time.strftime("%H:%M:%S", time.localtime(now))
    state = (
        Text("reconnecting", "bold red")
        if not board.connected
        else Text("paused", "bold yellow")
        if view.paused
        else Text()
    )
    title = Text.assemble(("leveret top  ", "bold cyan"), clean(broker))
    title.truncate(max(20, width - len(state) - len(clock) - 4), overflow="ellipsis")
    gap = max(1, width - len(title) - len(state) - len(clock) - 1)
    return Text.assemble(title, " " * gap, state, " ", clock)


def _busy(board: Board, now: float, width: int) -> Text:
    lost = sum(worker.lost(now) for worker in board.workers.values()) if board.connected else 0
    number = len(board.workers)
    line = Text.assemble("workers ", (str(number), "bold"), "  busy ")
    line.append_text(bar(board.busy, board.slots, max(10, min(40, width - 45)), "green"))
    line.append(f" {board.busy}/{board.slots}")
    if lost:
        line.append(f"  {lost} lost", style="red")
    return line


def _rates(board: Board, now: float) -> Text:
    parts = (("done", board.done, "green"), ("failed", board.failed, "red"), ("retried", board.retried, "yellow"))
    line = Text()
    for name, one, style in parts:
        line.append(f"{name} ").append(rate(one.per_s(now)), style=f"bold {style}").append("/s  ")
    line.append(" in a minute", style="dim")
    for _, one, style in parts:
        line.append(f" {one.last_minute(now)}", style=style)
    return line.append(f", {board.parked.last_minute(now)} parked", style="dim")


def _minute(board: Board, now: float, width: int) -> Text:
    spark = board.done.seconds(now)[-max(10, width - 16) :]
    most = max(spark)
    drawn = "".join(HEIGHTS[0 if not most else -(-one * (len(HEIGHTS) - 1) // most)] for one in spark)
    return Text.assemble(("done, by second ", "dim"), (drawn, "green"))


# ---- the panels


def focus(panels: Sequence[Panel], view: View) -> int:
    return [panel.name for panel in panels].index(view.focus)


def rooms(wanted: Sequence[int], focus: int, lines: int) -> list[int]:
    """How many rows each panel gets below its own heading; -1: not even that. The focused one has what the others leave."""
    shown = max(1, min(len(wanted), lines // 2))
    order = [focus, *(place for place in range(len(wanted)) if place != focus)][:shown]
    left = lines - len(order)
    given = [-1] * len(wanted)
    for place in order:
        given[place] = min(max(1, wanted[place]), max(1, lines // 8), left)
        left -= given[place]
    for place in order:
        more = min(max(1, wanted[place]) - given[place], left)
        given[place] += max(0, more)
        left -= max(0, more)
    return given


def table(panel: Panel, view: View, lines: int, width: int) -> RenderableType:
    first = view.first[panel.name] = max(0, min(view.first[panel.name], len(panel.items) - lines))
    rows = [panel.row(item) for item in panel.items[first : first + lines]]
    drawn = Table(
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        expand=True,
        header_style=FOCUSED if panel.name == view.focus else UNFOCUSED,
    )
    for column in panel.columns:
        title = column.title
        if column.counted:
            title += f" {_which(first, len(rows), len(panel.items))}"
        drawn.add_column(
            title,
            width=column.width or None,
            ratio=column.share or None,
            justify=column.justify,
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        drawn.add_row(*row)
    if rows or not lines:
        return drawn
    nothing = Text(panel.nothing if not view.filter else f"nothing contains {view.filter!r}", style="dim")
    return Group(drawn, _cut(nothing, width))


def _which(first: int, shown: int, all: int) -> str:
    return str(all) if shown == all else f"{first + 1}-{first + shown}/{all}"


def _help() -> list[Text]:
    lines = [Text(), *(Text.assemble((f"  {keys:<16}", "bold cyan"), what) for keys, what in HELP)]
    return [*lines, Text(), Text("  any key goes back", style="dim")]


def foot(view: View) -> Text:
    if view.typing:
        return Text.assemble(
            ("filter: ", "bold"), view.filter, ("▏", "blink"), ("  enter keeps it, escape drops it", "dim")
        )
    line = Text.assemble(("by ", "dim"), (view.order(view.focus), "cyan"))
    if view.filter:
        line.append(f"  only {view.filter!r}", style="yellow")
    return line.append(f"  {KEYS}", style="dim")
