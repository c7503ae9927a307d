"""The lines of a worker's log: text, or JSON objects. Knows nothing of tasks, so that a supervisor, which has none, loads none.

Used by supervisor, and by logs for the processes that run tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from leveret.worker.options import Options

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s [%(process)d] %(message)s"
FIELDS: Final = ("task", "id", "queue", "attempt")

Filter = Callable[[logging.LogRecord], bool]


def set_up(options: Options, *filters: Filter) -> None:
    """For processes of our own. A program that has set up its logging keeps that."""
    handler = logging.StreamHandler()
    for one in filters:
        handler.addFilter(one)
    handler.setFormatter(JsonFormatter() if options.form == "json" else TextFormatter(FORMAT))
    logging.basicConfig(level=options.log_level.upper(), handlers=[handler])


class TextFormatter(logging.Formatter):
    """The words of the worker's own lines name the task already."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = super().formatMessage(record)
        known = record.__dict__
        return f"{text} task={known['task'] or '-'} id={known['id'] or '-'}" if known.get("by_task") else text


class JsonFormatter(logging.Formatter):
    """A record as one line."""

    def format(self, record: logging.LogRecord) -> str:
        import json  # whose loading takes a while, and lines are seldom of JSON

        known = record.__dict__
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        line |= {name: known[name] for name in FIELDS if name in known}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=repr)
        return text.encode(errors="replace").decode()  # lone surrogates have no form in UTF-8
