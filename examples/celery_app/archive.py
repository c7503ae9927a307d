"""A Celery application on an unchanged Celery: files are compressed by workers. The broker is `AMQP_URL`.

    celery -A archive worker            and          python archive.py FILE…

Set up so that nothing is lost: messages are confirmed, and acknowledged when their work is done. tests/examples runs it
on Leveret's broker and on RabbitMQ.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import time
from pathlib import Path

from celery import Celery, Task

app = Celery("archive", broker=os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/"), backend="rpc://")
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_redirect_stdouts=False,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
)


def say(*words: object) -> None:
    """What was done, a line each, for whoever started the worker."""
    # In one piece: threads and processes share the output.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


@app.task
def compress(path: str) -> str:
    """Writes PATH.gz beside the file; a repetition after a crash writes it again. Returns the digest of the content."""
    content = Path(path).read_bytes()
    target = Path(f"{path}.gz")
    unfinished = target.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(gzip.compress(content))
    unfinished.replace(target)
    say("compressed", path)
    return hashlib.sha256(content).hexdigest()


@app.task(bind=True, max_retries=100)
def compress_when_there(self: Task, path: str) -> int:
    """The file may come later than the task. Returns how many attempts that took."""
    if not Path(path).exists():
        say("missing", path, self.request.retries)
        raise self.retry(countdown=0.2)
    compress(path)
    return int(self.request.retries) + 1


@app.task
def clock() -> float:
    """When it was run: tasks with an ETA or a countdown are run no sooner."""
    return time.time()


@app.task
def hold(path: str) -> int:
    """Works until the file is there, so that a worker can be killed meanwhile. Returns who finished it."""
    say("holding", os.getpid())
    while not Path(path).exists():
        time.sleep(0.05)
    return os.getpid()


if __name__ == "__main__":
    sent = [compress.delay(path) for path in sys.argv[1:]]
    for path, result in zip(sys.argv[1:], sent, strict=True):
        print(result.get(timeout=60), path)
