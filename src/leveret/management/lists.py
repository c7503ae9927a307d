"""Lists as they are asked for: filtered, sorted, cut into pages and to columns. Used by the views that are lists."""

from __future__ import annotations

from typing import Any

from leveret.management.calls import Call
from leveret.management.views import View

PAGE_SIZE_MAX = 500


def listed(call: Call, rows: list[View]) -> Any:
    """`name` filters, `sort` and `sort_reverse` order, `page` cuts, `columns` chooses. ValueError: a wrong number."""
    query = call.query
    if "name" in query:
        rows = [row for row in rows if query["name"] in str(row.get("name", ""))]
    if "sort" in query:
        rows = sorted(
            rows, key=lambda row: str(row.get(query["sort"], "")), reverse=query.get("sort_reverse") == "true"
        )
    if "columns" in query:
        columns = query["columns"].split(",")
        rows = [{name: row[name] for name in columns if name in row} for row in rows]
    return (
        rows
        if "page" not in query
        else paged(rows, number(query["page"], "page"), number(query.get("page_size", "100"), "page_size"))
    )


def number(text: str, name: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{name} is not a number from 1: {text}")
    return int(text)


def paged(rows: list[View], page: int, size: int) -> View:
    size = min(size, PAGE_SIZE_MAX)
    pages = max(1, -(-len(rows) // size))
    if page > pages:
        raise ValueError(f"page {page} is out of range, there are {pages}")
    items = rows[(page - 1) * size : page * size]
    return {
        "items": items,
        "item_count": len(items),
        "filtered_count": len(rows),
        "total_count": len(rows),
        "page": page,
        "page_count": pages,
        "page_size": size,
    }
