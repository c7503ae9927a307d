"""A Dramatiq application on an unchanged Dramatiq: files are compressed by workers. The broker is `AMQP_URL`.

    dramatiq archive_actors            and          python archive_actors.py FILE…

Set up so that nothing is lost: messages are confirmed, and what fails too often is dead-lettered. tests/examples runs
it on Leveret's broker and on RabbitMQ.
"""

from __future__ import annotations

import gzip
import os
import sys
import time
from pathlib import Path

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

broker = RabbitmqBroker(url=os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/"), confirm_delivery=True)
dramatiq.set_broker(broker)


def say(*words: object) -> None:
    """What was done, a line each, for whoever started the worker."""
    # In one piece: threads and processes share the output.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


@dramatiq.actor(queue_name="archive", max_retries=20, min_backoff=100, max_backoff=2_000)
def compress(path: str) -> None:
    """Writes PATH.gz beside the file; a repetition after a crash writes it again."""
    content = Path(path).read_bytes()
    target = Path(f"{path}.gz")
    unfinished = target.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(gzip.compress(content))
    unfinished.replace(target)
    say("compressed", path)


@dramatiq.actor(queue_name="archive", max_retries=20, min_backoff=100, max_backoff=200)
def compress_when_there(path: str) -> None:
    """The file may come later than the message: Dramatiq retries through its delay queue."""
    if not Path(path).exists():
        say("missing", path)
    compress.fn(path)


@dramatiq.actor(queue_name="archive", max_retries=2, min_backoff=100, max_backoff=100)
def compress_or_give_up(path: str) -> None:
    """After three attempts it is found in the dead-letter queue, archive.XQ."""
    say("attempt", path)
    compress.fn(path)


@dramatiq.actor(queue_name="archive")
def clock() -> None:
    """Delayed messages are run no sooner."""
    say("clock", time.time())


@dramatiq.actor(queue_name="archive", time_limit=60_000)
def hold(path: str) -> None:
    """Works until the file is there, so that a worker can be killed meanwhile."""
    say("holding", os.getpid())
    while not Path(path).exists():
        time.sleep(0.05)
    say("held", os.getpid())


if __name__ == "__main__":
    for path in sys.argv[1:]:
        compress.send(path)
