"""The Python worker for send.js: leveret worker app.py. It compresses files; a repetition writes the same file again."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from threading import get_ident

from leveret.tasks import WorkQueue

work = WorkQueue(os.environ.get("AMQP_URL"), default_queue="files")


@work.task
def compress(path: Path, level: int = 6) -> None:
    target = path.with_suffix(path.suffix + ".gz")
    unfinished = target.with_suffix(f".{os.getpid()}-{get_ident()}")
    unfinished.write_bytes(gzip.compress(path.read_bytes(), level))
    unfinished.replace(target)
    print(f"compressed {path}\n", end="", flush=True)  # in one piece: several tasks run at a time
