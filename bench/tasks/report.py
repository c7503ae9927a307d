"""Shows the rows as tables (rich), as Markdown and as JSON. Called by `bench.tasks.run`."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.tasks.results import METRICS, Metric, Row

LEGEND = "Median of the rounds; in brackets how many times better Leveret on its own broker is, the median of the rounds' ratios."
WIDE = 6
"""Metrics side by side in a terminal."""


def ours_of(rows: list[Row]) -> Row | None:
    return next((row for row in rows if row.contestant.key == "leveret"), None)


def figure(value: float) -> str:
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def cell(row: Row, metric: Metric, ours: Row | None) -> str:
    value = row.median(metric)
    if value is None:
        return "-"
    ratio = row.ratio(metric, ours)
    return figure(value) if ratio is None else f"{figure(value)} ({times(ratio)})"


def times(ratio: float) -> str:
    return f"{ratio:,.0f}×" if ratio >= 10 else f"{ratio:.2g}×"


def measured(rows: list[Row]) -> list[Metric]:
    return [metric for metric in METRICS if any(metric.key in row.values for row in rows)]


def show(console: Console, rows: list[Row]) -> None:
    metrics, ours = measured(rows), ours_of(rows)
    for start in range(0, len(metrics), WIDE):
        part = metrics[start : start + WIDE]
        shown = Table(title_justify="left")
        shown.add_column("", no_wrap=True)
        for metric in part:
            shown.add_column(f"{metric.title}\n{metric.unit}", justify="right")
        for row in rows:
            shown.add_row(row.contestant.title, *(cell(row, metric, ours) for metric in part))
        console.print(shown)
    for line in [LEGEND, *notes(rows)]:
        console.print(line, markup=False, highlight=False)


def notes(rows: list[Row]) -> list[str]:
    return [f"{row.contestant.title}: {note}" for row in rows for note in row.notes]


def markdown(about: dict[str, str], rows: list[Row]) -> str:
    """A row per metric and a column per contestant would be too wide: it is the other way round."""
    metrics, ours = measured(rows), ours_of(rows)
    lines = [f"- {key}: {value}" for key, value in about.items()]
    lines += ["", LEGEND, ""]
    lines.append("| | " + " | ".join(f"{metric.title}, {metric.unit}" for metric in metrics) + " |")
    lines.append("|---|" + "---:|" * len(metrics))
    for row in rows:
        cells = " | ".join(cell(row, metric, ours) for metric in metrics)
        lines.append(f"| {row.contestant.title} | {cells} |")
    lines += ["", *(f"- {note}" for note in notes(rows))]
    return "\n".join(lines).rstrip() + "\n"


def write_json(path: Path, about: dict[str, str], rows: list[Row]) -> None:
    """Every single measurement, so that medians and spreads can be worked out again."""
    found = [{"title": row.contestant.title, "values": row.values, "notes": row.notes} for row in rows]
    path.write_text(json.dumps({"about": about, "rows": found}, indent=2, ensure_ascii=False) + "\n")
