"""A FastAPI application whose reports are written by workers.

    uvicorn app:app            and            leveret worker app:work

The broker is LEVERET_URL; without it both share one of their own, started in this folder. Reports go to the folder REPORTS.
Endpoints send with `send_async`, which returns when the task is on disk: an answer of 202 is a promise that is kept.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse

from leveret.tasks import WorkQueue

REPORTS = Path(os.environ.get("REPORTS", "reports"))
work = WorkQueue(default_queue="reports")


@dataclass
class Sale:
    """A dataclass, for both sides read those: FastAPI the request's body, the worker the task's argument."""

    product: str
    pieces: int
    price: Decimal


@work.task
def write_report(report: UUID, sales: list[Sale]) -> None:
    """Turnover by product. A repetition after a crash writes the same file again."""
    turnover: dict[str, Decimal] = defaultdict(Decimal)
    for sale in sales:
        turnover[sale.product] += sale.pieces * sale.price
    REPORTS.mkdir(parents=True, exist_ok=True)
    unfinished = REPORTS / f"{report}.{os.getpid()}"
    unfinished.write_text(json.dumps({product: str(amount) for product, amount in sorted(turnover.items())}))
    unfinished.replace(path_of(report))


def path_of(report: UUID) -> Path:
    return REPORTS / f"{report}.json"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    work.close()


app = FastAPI(lifespan=lifespan)


@app.post("/reports", status_code=202)
async def order_report(sales: list[Sale]) -> dict[str, UUID]:
    report = uuid4()
    await write_report.send_async(report, sales)
    return {"report": report}


@app.get("/reports/{report}")
def read_report(report: UUID) -> FileResponse:
    if not path_of(report).exists():
        raise HTTPException(404, "there is no such report, or not yet")
    return FileResponse(path_of(report), media_type="application/json")
