"""Shows the rows as a table (rich) and writes them as JSON. Called by `bench.run`."""

import json
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.results import Row

VERDICT = {True: "[green]met[/]", False: "[red]not met[/]", None: "[yellow]not judged[/]"}


def figures(values: list[float]) -> str:
    """The median and, on a second line, the spread if there is one."""
    if not values:
        return "–"
    digits = 0 if median(values) >= 100 else 2
    text = f"{median(values):,.{digits}f}"
    return text if len(values) == 1 else f"{text}\n{min(values):,.{digits}f}–{max(values):,.{digits}f}"


def table(rows: list[Row]) -> Table:
    shown = Table(title="Median, and least–most, of the rounds", title_justify="left", show_lines=True)
    for heading in ("scenario", "unit", "against"):
        shown.add_column(heading)
    for heading in ("theirs", "Leveret", "ratio", "target"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("verdict", no_wrap=True)
    for row in rows:
        ratio = "–" if row.ratio is None else f"{row.ratio:.2f}×"
        cells = (row.title, row.unit, row.against, figures(row.other), figures(row.leveret), ratio)
        shown.add_row(*cells, str(row.target), VERDICT[row.met])
    return shown


def show(console: Console, rows: list[Row]) -> None:
    console.print(table(rows))
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}", markup=False, highlight=False)


def write_json(path: Path, about: dict[str, str], rows: list[Row]) -> None:
    """Every single measurement, so that medians and spreads can be worked out again."""
    results = [
        {
            "name": row.name,
            "title": row.title,
            "unit": row.unit,
            "against": row.against,
            "theirs": row.other,
            "leveret": row.leveret,
            "ratio": row.ratio,
            "target": str(row.target),
            "met": row.met,
            "note": row.note,
        }
        for row in rows
    ]
    path.write_text(json.dumps({"about": about, "results": results}, indent=2, ensure_ascii=False) + "\n")
