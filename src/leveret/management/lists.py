"""Lists as they are asked for: filtered, sorted, cut into pages and to columns, as RabbitMQ does. Used by the views that are lists.

What a row shows is worked out for those that are answered only, unless they are sorted by it, and in slices: there may be
very many.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from leveret.broker.patterns import pattern
from leveret.errors import InvalidSetting
from leveret.management.calls import Call
from leveret.management.endpoints import Refused
from leveret.management.views import View

PAGE_SIZE: Final = 100
PAGE_SIZE_MAX: Final = 500
T = TypeVar("T")


class Page(NamedTuple):
    number: int
    size: int
    name: str
    """Of a row, to be found in it; with `regex` a regular expression. Empty: any."""
    regex: bool


def page_of(query: Mapping[str, str]) -> Page | None:
    """None if all are asked for at once; `name` counts for pages only, as in RabbitMQ."""
    if "page" not in query:
        return None
    number, size = whole(query["page"]), whole(query.get("page_size", str(PAGE_SIZE)))
    if number < 1 or not 1 <= size <= PAGE_SIZE_MAX:
        text = f"Invalid pagination parameters: page number {number}, page size {query.get('page_size', 'undefined')}"
        raise Refused(400, "invalid_pagination_parameters", text)
    return Page(number, size, query.get("name", ""), query.get("use_regex") == "true")


def whole(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise wrong_page()
    return int(text)


def wrong_page() -> Refused:
    return Refused(400, "bad_request", "Pagination parameters are invalid")


def chosen(page: Page) -> Callable[[str], bool]:
    """Whether a name is asked for, in upper or lower case. Patterns cannot run for long on any name: broker/patterns."""
    if not page.regex:
        wanted = page.name.lower()
        return lambda name: wanted in name.lower()
    try:
        return pattern(f"(?i){page.name}").matches
    except InvalidSetting:
        raise wrong_page() from None


async def listed(call: Call, things: Sequence[T], view: Callable[[T], View], name: Callable[[T], str]) -> Any:
    """`view` shows one of the things, `name` is its name without more."""
    query, page = call.query, page_of(call.query)
    found = list(things) if page is None or not page.name else list(filter_by(chosen(page), things, name))
    if "sort" in query:
        rows = await shown(call, found, view)
        sort(call, rows)
        return rows_or_page(call, rows, page, len(things))
    if page is None:
        return cut(call, await shown(call, found, view))
    answer = paged(found, page, len(things))
    answer["items"] = cut(call, await shown(call, answer["items"], view))
    return answer


def filter_by(wanted: Callable[[str], bool], things: Sequence[T], name: Callable[[T], str]) -> list[T]:
    return [thing for thing in things if wanted(name(thing))]


async def shown(call: Call, things: Sequence[T], view: Callable[[T], View]) -> list[View]:
    rows: list[View] = []

    def steps() -> Any:
        for thing in things:
            rows.append(view(thing))
            yield

    await call.sliced(steps())
    return rows


def rows_or_page(call: Call, rows: list[View], page: Page | None, total: int) -> Any:
    if page is None:
        return cut(call, rows)
    answer = paged(rows, page, total)
    answer["items"] = cut(call, answer["items"])
    return answer


def paged(rows: list[Any], page: Page, total: int) -> View:
    first = (page.number - 1) * page.size
    if first > len(rows):
        text = f"Page out of range, page: {page.number} page size: {page.size}, len: {len(rows)}"
        raise Refused(400, "page_out_of_range", text)
    items = rows[first : first + page.size]
    return {
        "filtered_count": len(rows),
        "item_count": len(items),
        "items": items,
        "page": page.number,
        "page_count": -(-len(rows) // page.size),
        "page_size": page.size,
        "total_count": total,
    }


# ---- sorting and columns


def at(row: View, path: str) -> Any:
    """What stands there; `message_stats.publish_details.rate` leads into objects."""
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def order(value: Any) -> tuple[int, float, str]:
    """Numbers before truth values before text, in Erlang's order; what is not there is 0."""
    if value is None:
        return 0, 0, ""
    if isinstance(value, bool):
        return 1, float(value), ""
    if isinstance(value, int | float):
        return 0, value, ""
    return 2, 0, str(value)


def cut(call: Call, rows: list[View]) -> list[View]:
    """To the columns that are asked for."""
    if "columns" not in call.query:
        return rows
    columns = call.query["columns"].split(",")
    return [only(row, columns) for row in rows]


def only(row: View, columns: Sequence[str]) -> View:
    """Those of the columns that are there; `a.b` is the object `a` with `b` alone."""
    found: View = {}
    for column in columns:
        name, _, inner = column.partition(".")
        if name not in row:
            continue
        value = row[name]
        if inner and isinstance(value, dict) and name != "arguments":
            value = {**found.get(name, {}), **only(value, [inner])}
        found[name] = value
    return found


async def unpaged(call: Call, things: Sequence[T], view: Callable[[T], View]) -> Any:
    """The same of lists that RabbitMQ never cuts into pages."""
    rows = await shown(call, things, view)
    if "sort" in call.query:
        sort(call, rows)
    return cut(call, rows)


def sort(call: Call, rows: list[View]) -> None:
    path = call.query["sort"]
    rows.sort(key=lambda row: order(at(row, path)), reverse=call.query.get("sort_reverse") == "true")


async def unpaged_rows(call: Call, rows: list[View]) -> Any:
    """Rows that are there already."""
    return await unpaged(call, rows, lambda row: row)
