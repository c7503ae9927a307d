"""The chart of who did what when: a row per worker process, a column per slice of time, as high as it was busy."""

from __future__ import annotations

from typing import Final

from leveret.demo.tally import Tally, Worker

COLUMNS: Final = 60
HEIGHTS: Final = " ▁▂▃▄▅▆▇█"
KILLED: Final = "✗"


def chart(tally: Tally, columns: int = COLUMNS) -> list[str]:
    """Lines of text; none if no task was finished."""
    spans = [span for worker in tally.workers.values() for span in worker.spans]
    if not spans:
        return []
    begin_s, end_s = min(start for start, _ in spans), max(end for _, end in spans)
    slice_s = max(end_s - begin_s, 0.001) / columns
    rows = [_row(worker, begin_s, slice_s, columns) for worker in tally.workers.values()]
    return [*rows, f"{'':21}0 s{f'{end_s - begin_s:.1f} s':>{columns - 3}}"]


def _row(worker: Worker, begin_s: float, slice_s: float, columns: int) -> str:
    cells = [HEIGHTS[round(share * (len(HEIGHTS) - 1))] for share in busy(worker, begin_s, slice_s, columns)]
    remark = ""
    if worker.killed_s is not None:
        cells[min(columns - 1, max(0, int((worker.killed_s - begin_s) / slice_s)))] = KILLED
        remark = ", killed"
    return f"worker {worker.number} {f'pid {worker.pid}':<11} {''.join(cells)} {worker.done} done{remark}"


def busy(worker: Worker, begin_s: float, slice_s: float, columns: int) -> list[float]:
    """For each slice, which share of it the worker spent on tasks."""
    shares = [0.0] * columns
    for start_s, end_s in worker.spans:
        start, end = (start_s - begin_s) / slice_s, (end_s - begin_s) / slice_s
        for column in range(max(0, int(start)), min(columns, int(end) + 1)):
            shares[column] += max(0.0, min(end, column + 1) - max(start, column))
    return [min(share, 1.0) for share in shares]
